"""From checkpoints to modules: tensors are renamed by a table and fill a module; none may be left over or missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ml_dtypes  # noqa: F401 - adds bfloat16 to NumPy, for safetensors
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from m2v_core.errors import ModelFormatError, ModelNotFoundError
from m2v_core.storage.files import read_json
from m2v_core.storage.tensor_file import lazy_tensors
from m2v_distill.teacher.pickled import open_pickled

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLED_FILE = "pytorch_model.bin"
PICKLED_INDEX = "pytorch_model.bin.index.json"

#: Files of a folder's weights, each the only one or the index of shards; the first one that exists counts.
FILES = (SINGLE_FILE, INDEX_FILE, PICKLED_FILE, PICKLED_INDEX)

#: Tensors by name, each a function that reads it.
Checkpoint = Mapping[str, Callable[[], NDArray[Any]]]

#: Function that places a tensor, given its path in the module.
Place = Callable[[str, NDArray[Any]], Any]

Module = TypeVar("Module", bound=nnx.Module)


@dataclass(frozen=True)
class Rule:
    """One line of a weight table: a tensor's name in PyTorch and its path in the module.

    Attributes:
        source: Name in PyTorch; each `{i}` stands for a number, such as that of a layer.
        target: Path in the module, with `{i}` for the same numbers in the same order.
        transpose: Whether to transpose a matrix: PyTorch stores a dense layer as [out, in], we as [in, out].
        part: Part (k, n) of a tensor: the k-th of n equal parts along the first axis, where a checkpoint fuses layers.
        optional: Whether the checkpoint may have the tensor although the module does not use it.
    """

    source: str
    target: str
    transpose: bool = False
    part: tuple[int, int] = (0, 1)
    optional: bool = False


def linear(source: str, target: str, part: tuple[int, int] = (0, 1)) -> tuple[Rule, Rule]:
    """The rules of a dense layer, with or without bias."""
    return (
        Rule(f"{source}.weight", f"{target}.kernel", transpose=True, part=part),
        Rule(f"{source}.bias", f"{target}.bias", part=part),
    )


def norm(source: str, target: str) -> tuple[Rule, Rule]:
    """The rules of a LayerNorm."""
    return Rule(f"{source}.weight", f"{target}.scale"), Rule(f"{source}.bias", f"{target}.bias")


def embed(source: str, target: str) -> tuple[Rule]:
    """The rule of an embedding table."""
    return (Rule(f"{source}.weight", f"{target}.embedding"),)


@dataclass(frozen=True)
class WeightTable:
    """The names of tensors in the checkpoints of a family.

    Attributes:
        rules: Rules, one for each tensor of the module.
        prefixes: Possible prefixes of all source names, as in a checkpoint of a model with a task head.
        ignored: Regular expressions of names that the module does not use: task heads and buffers.
    """

    rules: tuple[Rule, ...]
    prefixes: tuple[str, ...]
    ignored: tuple[str, ...]

    def prefix_of(self, names: Mapping[str, object]) -> str:
        """The prefix that a checkpoint uses for the first tensor of the table; "" if none fits."""
        anchor = self.rules[0].source
        return next((prefix for prefix in self.prefixes if prefix + anchor in names), "")

    def renamed(self, names: Mapping[str, object]) -> tuple[dict[str, tuple[str, Rule]], list[str]]:
        """A map from paths in the module to (name in the checkpoint, rule), and a list of unknown names."""
        prefix = self.prefix_of(names)
        patterns = [(_pattern(rule.source), rule) for rule in self.rules]
        found: dict[str, tuple[str, Rule]] = {}
        unknown = []
        for name in names:
            # The first BERT checkpoints call LayerNorm's parameters gamma and beta.
            plain = name.removeprefix(prefix).replace("LayerNorm.gamma", "LayerNorm.weight")
            plain = plain.replace("LayerNorm.beta", "LayerNorm.bias")
            known = any(re.fullmatch(skip, plain) for skip in self.ignored)
            for pattern, rule in patterns:
                if name.startswith(prefix) and (match := pattern.fullmatch(plain)):
                    found[_numbered(rule.target, match)] = (name, rule)
                    known = True
            if not known:
                unknown.append(name)
        return found, unknown


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\{i\}", r"(\d+)"))


def _numbered(name: str, match: re.Match[str]) -> str:
    for number in match.groups():
        name = name.replace("{i}", number, 1)
    return name


def weights_file(folder: Path) -> Path:
    """The file of a folder's weights: the only one, or the index of the shards."""
    return next((folder / name for name in FILES if (folder / name).is_file()), folder / SINGLE_FILE)


def open_checkpoint(folder: Path) -> Checkpoint:
    """The tensors of a folder, in one file or in shards: safetensors, which are not read yet, else pickled ones.

    Raises:
        ModelNotFoundError: There are none.
        ModelFormatError: A file is damaged, or the index names a tensor that is missing.
        MissingPackageError: They are pickled, and PyTorch is not installed.
    """
    index = weights_file(folder)
    if not index.is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "nothing"
        raise ModelNotFoundError(
            f"{folder}: expected weights in {SINGLE_FILE}, or in {PICKLED_FILE} (either may be in shards); found "
            f"{found}. Weights of another name have to be renamed. Exports for other runtimes (ONNX, OpenVINO, "
            f"GGUF, TensorFlow, ...) are not read: take the model that they were made from."
        )
    if index.suffix != ".json":
        return _open(index, index.name)
    weight_map: Any = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(_is_plain(name) for name in weight_map.values()):
        raise ModelFormatError(f'{index}: "weight_map" should name a file of this folder for each tensor.')
    shards = {name: _open(folder / name, index.name) for name in sorted(set(weight_map.values()))}
    for tensor, shard in weight_map.items():
        if tensor not in shards[shard]:
            raise ModelFormatError(f"{folder / shard}: expected the tensor {tensor} by {index.name}; it is not there.")
    return {tensor: shards[shard][tensor] for tensor, shard in weight_map.items()}


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and name not in ("", "..") and Path(name).name == name and "\\" not in name


def _open(path: Path, index: str) -> Checkpoint:
    if not path.is_file():
        raise ModelNotFoundError(f"{path} is missing: {index} names it. Download the model again.")
    if index in (PICKLED_FILE, PICKLED_INDEX):
        return open_pickled(path)
    return lazy_tensors(path)


def fill(
    make: Callable[[], Module], checkpoint: Checkpoint, table: WeightTable, where: str, place: Place | None = None
) -> Module:
    """A module with the weights of a checkpoint.

    The module is only traced for its shapes, and tensors are read one by one, so no memory is used twice.

    Args:
        make: Function that makes the module.
        checkpoint: Tensors.
        table: Names of the tensors.
        where: Name of the checkpoint in errors.
        place: Function that places a tensor. Default: a float32 array of the host.

    Raises:
        ModelFormatError: Tensors are missing, unknown or of another shape; all of them are listed.
    """
    place = place or _as_float32
    graph, state = nnx.split(nnx.eval_shape(make))
    flat = {".".join(map(str, path)): (path, variable) for path, variable in nnx.to_flat_state(state)}
    found, unknown = table.renamed(checkpoint)
    missing = sorted(set(flat) - set(found))
    surplus = sorted(path for path in set(found) - set(flat) if not found[path][1].optional)
    problems = [f"found {name}, which is unknown" for name in unknown]
    problems += [f"found {found[path][0]}, which the module does not have" for path in surplus]
    problems += [f"expected {name}; found no such tensor" for name in _sources(missing, table)]
    arrays = {}
    for path in sorted(set(flat) & set(found), key=lambda path: found[path][0]):
        name, rule = found[path]
        array = checkpoint[name]()
        expected = flat[path][1].shape[::-1] if rule.transpose else flat[path][1].shape
        index, parts = rule.part
        whole = (expected[0] * parts, *expected[1:]) if parts > 1 else expected
        if array.shape != whole or array.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
            problems.append(f"expected {name} as float {whole}; found {array.dtype.name} {array.shape}")
        elif not problems:
            if parts > 1:
                array = array[index * expected[0] : (index + 1) * expected[0]]
            arrays[path] = place(path, array.T if rule.transpose else array)
    if problems:
        listed = "\n  ".join(problems[:40] + ([f"... and {len(problems) - 40} more"] if len(problems) > 40 else []))
        raise ModelFormatError(
            f"{where}: the weights do not fit the architecture that config.json describes:\n  {listed}\n"
            f"Weights of another implementation have to get transformers' names. If the repository has the code for "
            f"them, run it in PyTorch: trust_remote_code=True, backend='torch'."
        )
    filled = nnx.from_flat_state([(path, variable.replace(arrays[key])) for key, (path, variable) in flat.items()])
    return nnx.merge(graph, filled)


def _as_float32(_path: str, array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32, copy=False)


def _sources(paths: list[str], table: WeightTable) -> Iterator[str]:
    """The names that a checkpoint would have for these paths in the module."""
    patterns = [(_pattern(rule.target), rule) for rule in table.rules]
    for path in paths:
        matches = ((pattern.fullmatch(path), rule) for pattern, rule in patterns)
        found = next((_numbered(rule.source, match) for match, rule in matches if match), None)
        yield found or f"{path} (which the weight table lacks)"
