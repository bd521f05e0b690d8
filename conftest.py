"""Check jaxtyping's shapes and dtypes while tests run: before anything imports the modules that state them.

Public functions check their arguments themselves, with better errors, so the modules that hold only those are left out.
"""

from importlib.util import find_spec

if find_spec("jaxtyping") and find_spec("beartype"):
    from jaxtyping import install_import_hook

    CHECKED = (
        "m2v_distill.corpus.shards",
        "m2v_distill.corpus.store",
        "m2v_distill.fit",
        "m2v_distill.table",
        "m2v_distill.teacher",
        "m2v_train.data",
        "m2v_train.engine",
    )
    install_import_hook(CHECKED, "beartype.beartype")
