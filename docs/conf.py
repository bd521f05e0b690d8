"""Sphinx's settings; `nox -s docs` builds with warnings as errors and runs every example."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "m2v"
author = "The m2v authors"
project_copyright = "2026, the m2v authors"
myst_enable_extensions = ["dollarmath"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "m2v"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autoclass_content = "class"
napoleon_use_ivar = True
doctest_test_doctest_blocks = "default"
doctest_global_setup = """
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from doctest_helpers import teacher_folder, tiny_model
from m2v_core.aliases import aliased, renamed
from m2v_core.cli.info import describe
from m2v_core.cluster import clustered
from m2v_core.data.columns import as_label, read_columns
from m2v_core.evaluation import classification_report, label_rows, report_table
from m2v_core.storage.format import Config
from m2v_core.head import Layer, MLPHead, sigmoid, softmax
from m2v_core.model import StaticModel, quantize_model
from m2v_core.tokenize.word_cache import shares
from m2v_core.tokenize.pieces import cut, joined, keys
from m2v_core.pipeline import StaticModelPipeline
from m2v_core.encode.pool import embed
from m2v_core.quantize import int8_rows
from m2v_core.tokenize.ragged import merged, without
from m2v_core.storage.narrow import widened
from m2v_core.encode.rows import token_rows, with_zero_rows
from m2v_core.data.sources import as_array, as_column, in_parts, is_missing, plain, plain_rows, rows_of, shown
from m2v_core.tokenize.splitting import Splitting
from m2v_core.tokenize.tokens import Vocabulary
from m2v_distill import DistillConfig, FeatureStore, Teacher, distill, distill_from_model, featurize, token_counts
from m2v_distill.corpus.read import distinct, read_texts
from m2v_distill.teacher.engine.placement import Placement
from m2v_train.engine.batches import rounded
from m2v_train.classification import StaticModelForClassification
from m2v_train.config import TrainConfig
from m2v_core.devices import device_name
from m2v_train.engine.devices import mesh_of
from m2v_train.data.inputs import TokenTexts, as_texts, as_vectors, check_aligned, check_has_tokens
from m2v_train.data.labels import as_labels, class_weights
from m2v_train.legacy import head_of
from m2v_train.engine.loop import ahead, batch_size_of, validation_interval
from m2v_train.engine.module import Tokens, head_dims, text_vectors
from m2v_train.engine.optimizer import Clock
from m2v_train.plots import confusion_matrix, confusions, learning_curves
from m2v_train.data.ragged import lengths_of, take_rows
from m2v_train.data.split import split_indices
from m2v_train.vectors import StaticModelForPairSimilarity, StaticModelForRegression, StaticModelForSimilarity
from m2v_hub.client import checked_token
from m2v_hub.names import checked_revision, checked_subfolder, is_inside
from m2v_hub.staging import parsed_variants
from m2v_hub.card.card import Result, card_for
from m2v_hub.card.facts import hub_id
from m2v_hub.card.merge import updated, updated_metadata
from m2v_hub.card.render import escaped, literal, number, plain, size
"""
