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
        "m2v_train.batches",
        "m2v_train.fitting",
        "m2v_train.inputs",
        "m2v_train.labels",
        "m2v_train.loop",
        "m2v_train.losses",
        "m2v_train.module",
        "m2v_train.optimizer",
        "m2v_train.ragged",
        "m2v_train.split",
        "m2v_train.steps",
    )
    install_import_hook(ARRAY_MODULES, "beartype.beartype")
