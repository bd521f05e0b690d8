"""Check jaxtyping's shapes and dtypes while tests run: before anything imports the packages that state them."""

from importlib.util import find_spec

if find_spec("jaxtyping") and find_spec("beartype"):
    from jaxtyping import install_import_hook

    ARRAY_MODULES = (
        "m2v_distill.compose",
        "m2v_distill.design",
        "m2v_distill.forward",
        "m2v_distill.pca",
        "m2v_distill.ridge",
        "m2v_distill.shards",
        "m2v_distill.store",
        "m2v_distill.tables",
        "m2v_distill.teacher",
        "m2v_distill.weighting",
        "m2v_train",
    )
    install_import_hook(ARRAY_MODULES, "beartype.beartype")
