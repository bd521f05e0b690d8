"""The examples in docstrings run, those of modules that the documentation does not list too."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import m2v_distill
from m2v_distill import Teacher, distill, featurize

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
from doctest_helpers import teacher_folder, tiny_model

MODULES = sorted(info.name for info in pkgutil.walk_packages(m2v_distill.__path__, "m2v_distill."))
NAMES = {"Teacher": Teacher, "distill": distill, "featurize": featurize, "jax": jax, "np": np}
NAMES |= {"teacher_folder": teacher_folder, "tiny_model": tiny_model}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    assert doctest.testmod(module, extraglobs=NAMES, optionflags=flags).failed == 0
