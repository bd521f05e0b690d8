"""Settings of Sphinx. `nox -s docs` builds the pages; `tests/test_pages.py` and `test_examples.py` run the examples."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "m2v"
author = "The m2v authors"
project_copyright = "2026, the m2v authors"
myst_enable_extensions = ["dollarmath"]
extensions = [
    "mathml",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
default_role = "py:obj"  # names in docstrings are links, or else code
html_theme = "furo"
html_title = "m2v"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["m2v.css"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "  # copied without them, and without outputs
copybutton_prompt_is_regexp = True
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autoclass_content = "class"
napoleon_use_ivar = True
autodoc_mock_imports = [  # libraries with an adapter, which are not installed here
    "bertopic",
    "chonkie",
    "daft",
    "datasets",
    "duckdb",
    "haystack",
    "keybert",
    "langchain_core",
    "llama_index",
    "mteb",
    "orjson",
    "polars",
    "prometheus_client",
    "pydantic",
    "pyspark",
    "spacy",
    "starlette",
    "uvicorn",
]
doctest_test_doctest_blocks = ""  # pytest runs the examples: tests/test_examples.py and tests/test_pages.py
