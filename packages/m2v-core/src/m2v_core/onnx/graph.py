"""A model as a graph of ONNX operators: token ids to rows, their mean, and the layers of a head.

All that `StaticModel.encode` does after tokenising is in the graph. `onnx` is imported when a graph is made.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.__about__ import __version__
from m2v_core.errors import InvalidInputError, MissingPackageError
from m2v_core.head import Activation, MLPHead
from m2v_core.model import StaticModel
from m2v_core.onnx import FORMS
from m2v_core.onnx.tokenizer import exported_tokenizer
from m2v_core.pipeline import StaticModelPipeline
from m2v_core.storage.files import json_bytes

if TYPE_CHECKING:
    from onnx import ModelProto

#: Version of the operators, and of the file: what the oldest runtimes in use read. fastembed asks for onnxruntime 1.17,
#: which reads operators up to 20; transformers.js 4 brings onnxruntime 1.30, and version 2 of it 1.14, up to 18.
#: Nothing here needs more than 13, of 2020, where reductions and softmax got their present meaning.
OPSET = 13
IR_VERSION = 7

#: Bytes that a protocol buffer may have, less some for the nodes.
MAX_BYTES = 2**31 - 2**20


def onnx_model(model: StaticModel | StaticModelPipeline, *, form: str = "tokens") -> ModelProto:
    """A model, or a pipeline with its head, as an ONNX graph.

    Ids are int64, and all results float32. Tokens that do not count (unknown ones, and those after the first
    `max_length` others) are left out of the mean; a text without any token has zeros.

    Args:
        model: The model or pipeline. Its table keeps its dtype, but float64 becomes float32.
        form: Inputs and outputs:

            - tokens: `input_ids` and `attention_mask` [texts, tokens] to `token_embeddings` [texts, tokens, D] and
              `sentence_embedding` [texts, D], for a pipeline also to `logits` and `probabilities` [texts, outputs].
              The mean of a text's token vectors, over its mask, is the text's vector: if the model normalises, they are
              divided by the length of their mean, and a token that does not count has the text's vector. Where the
              mask is 0 there are zeros.
            - offsets: `input_ids` [ids], the ids of all texts, and `offsets` [texts], the place of each text's first
              one, to `embeddings` [texts, D], and the same two for a pipeline.
            - model2vec: `input_ids` and `attention_mask` to one output, `embeddings`, `probabilities` or (for a head
              without classes) `predictions`, as model2vec 0.10 exports it.

    Raises:
        InvalidInputError: The form is unknown, or the model is larger than 2 GB, the limit of a file.
        MissingPackageError: onnx is not installed.

    Example:
        >>> exported = onnx_model(tiny_model())
        >>> [value.name for value in exported.graph.output]
        ['token_embeddings', 'sentence_embedding']
    """
    static = model.model if isinstance(model, StaticModelPipeline) else model
    tokenizer = exported_tokenizer(static.stored.tokenizer_json, static.max_length)
    return graph_of(model, form, filler_id=tokenizer.filler["id"])


def graph_of(model: StaticModel | StaticModelPipeline, form: str, *, filler_id: int) -> ModelProto:
    """`onnx_model` for a tokenizer with this filler."""
    checks.one_of("form", form, FORMS)
    static, head = (model.model, model.head) if isinstance(model, StaticModelPipeline) else (model, None)
    graph = _Graph()
    ids, mask = graph.flat_inputs() if form == "offsets" else graph.padded_inputs()
    left_out = {filler_id} if static.unk_token_id is None else {filler_id, static.unk_token_id}
    known = graph.known(ids, mask, left_out, static.max_length)
    rows = graph.rows(static, graph.op("Where", known, ids, graph.whole(0)), known)
    vector, rows = graph.means(rows, known, normalize=static.normalize)
    if form == "tokens":
        other = graph.op("Unsqueeze", graph.op("And", mask, graph.op("Not", known)), graph.whole([2]))
        vectors = graph.op("Unsqueeze", vector, graph.whole([1]))
        graph.output("token_embeddings", graph.op("Where", other, vectors, rows), ["texts", "tokens", static.dim])
        graph.output("sentence_embedding", vector, ["texts", static.dim])
    elif form == "offsets" or head is None:
        graph.output("embeddings", vector, ["texts", static.dim])
    if head is not None:
        logits, width = graph.layers(head, vector), head.widths[-1] if head.layers else static.dim
        given = logits if head.activation is Activation.IDENTITY else graph.activated(head, logits)
        if form == "model2vec":
            graph.output("predictions" if given == logits else "probabilities", given, ["texts", width])
        else:
            graph.output("logits", logits, ["texts", width])
            if given != logits:
                graph.output("probabilities", given, ["texts", width])
    notes = {"normalize": static.normalize, "max_length": static.max_length}
    if head is not None and head.classes_ is not None:
        notes["classes"] = head.classes_.tolist()
    return graph.model(
        {name: json_bytes(json.dumps(value, ensure_ascii=False)).decode() for name, value in notes.items()}
    )


class _Graph:
    """A graph in the making: operators with their results, and constants. Values are known by their names."""

    def __init__(self) -> None:
        try:
            import onnx
        except ModuleNotFoundError:
            raise MissingPackageError(
                "Exporting to ONNX needs onnx, which is not installed: pip install 'm2v-core[onnx]'"
            ) from None
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._bytes = 0

    def op(self, name: str, *inputs: str, **attributes: Any) -> str:
        """An operator's result."""
        result = f"{name.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(name, inputs, [result], **attributes))
        return result

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """An array."""
        if name not in self._constants:
            self._bytes += array.nbytes
            if self._bytes > MAX_BYTES:
                raise InvalidInputError(
                    f"An ONNX file should have at most {MAX_BYTES:,} bytes; the model has {self._bytes:,} or more. "
                    f"Make it smaller first: quantize_model(model, quantize_to='int8'), or m2v quantize."
                )
            self._constants[name] = self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def whole(self, value: int | list[int]) -> str:
        """Whole numbers."""
        return self.constant(f"whole_{value}", np.array(value, np.int64))

    def real(self, value: float) -> str:
        """A number."""
        return self.constant(f"real_{value}", np.array(value, np.float32))

    def cast(self, value: str, dtype: type[Any]) -> str:
        """A value in another dtype."""
        return self.op("Cast", value, to=self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def input(self, name: str, *axes: str) -> str:
        """An input, int64."""
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.INT64, axes))
        return name

    def output(self, name: str, value: str, axes: list[str | int]) -> None:
        """Give a value, float32, a name as an output."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, axes))

    def padded_inputs(self) -> tuple[str, str]:
        """Ids and mask [texts, tokens], from two inputs."""
        ids, mask = (self.input(name, "texts", "tokens") for name in ("input_ids", "attention_mask"))
        return ids, self.cast(mask, np.bool_)

    def flat_inputs(self) -> tuple[str, str]:
        """Ids and mask [texts, tokens], from the ids of all texts and the place of each text's first one."""
        flat, starts = self.input("input_ids", "ids"), self.input("offsets", "texts")
        n_ids, zero = self.op("Shape", flat), self.whole([0])
        following = self.op("Slice", starts, self.whole([1]), self.whole([2**62]))
        lengths = self.op("Sub", self.op("Concat", following, n_ids, axis=0), starts)
        longest = self.op("ReduceMax", self.op("Concat", lengths, zero, axis=0), keepdims=0)  # of no texts, 0
        places = self.op("Range", self.whole(0), longest, self.whole(1))
        mask = self.op("Less", places, self.op("Unsqueeze", lengths, self.whole([1])))
        taken = self.op("Add", places, self.op("Unsqueeze", starts, self.whole([1])))
        with_padding = self.op("Concat", flat, zero, axis=0)
        return self.op("Gather", with_padding, self.op("Where", mask, taken, n_ids)), mask

    def known(self, ids: str, mask: str, left_out: set[int], max_length: int | None) -> str:
        """Which tokens count [texts, tokens]."""
        for index in sorted(left_out):
            mask = self.op("And", mask, self.op("Not", self.op("Equal", ids, self.whole(index))))
        if max_length is None:
            return mask
        places = self.op("CumSum", self.cast(mask, np.int64), self.whole(1))
        return self.op("And", mask, self.op("LessOrEqual", places, self.whole(max_length)))

    def rows(self, model: StaticModel, ids: str, known: str) -> str:
        """The vectors of tokens [texts, tokens, D], zeros for those that do not count."""
        table, indices = model.embedding, ids
        if table.dtype == np.float64:
            table = table.astype(np.float32)
        if model.token_mapping is not None:
            indices = self.op("Gather", self.constant("model.mapping", model.token_mapping.astype(np.int64)), ids)
        rows = self.op("Gather", self.constant("model.embeddings", table), indices)
        if table.dtype != np.float32:
            rows = self.cast(rows, np.float32)
        if model.weights is not None:
            weights = self.op("Gather", self.constant("model.weights", model.weights.astype(np.float32)), ids)
            rows = self.op("Mul", rows, self.op("Unsqueeze", weights, self.whole([2])))
        return self.op("Where", self.op("Unsqueeze", known, self.whole([2])), rows, self.real(0))

    def means(self, rows: str, known: str, *, normalize: bool) -> tuple[str, str]:
        """The means [texts, D] of the rows that count, at unit length if asked for, and the rows by the same scale.

        A product with ones is the sum, and of less rounding than ReduceSum, which adds thousands of rows one by one.
        """
        ones = self.cast(known, np.float32)
        counts = self.op("ReduceSum", ones, self.whole([1]), keepdims=1)
        sums = self.op("MatMul", self.op("Unsqueeze", ones, self.whole([1])), rows)
        total = self.op("Squeeze", sums, self.whole([1]))
        mean = self.op("Div", total, self.op("Max", counts, self.real(1)))
        mean = self.op("Where", self.op("Greater", counts, self.real(0)), mean, self.real(0))
        if not normalize:
            return mean, rows
        lengths = self.op("Sqrt", self.op("ReduceSum", self.op("Mul", mean, mean), self.whole([1]), keepdims=1))
        lengths = self.op("Where", self.op("Equal", lengths, self.real(0)), self.real(1), lengths)
        return self.op("Div", mean, lengths), self.op("Div", rows, self.op("Unsqueeze", lengths, self.whole([1])))

    def layers(self, head: MLPHead, vectors: str) -> str:
        """The logits of a head."""
        for number, layer in enumerate(head.layers):
            if number:
                vectors = self.op("Relu", vectors)
            weight = self.constant(f"head.{number}.weight", layer.weight.astype(np.float32))
            bias = self.constant(f"head.{number}.bias", layer.bias.astype(np.float32))
            vectors = self.op("Gemm", vectors, weight, bias, transB=1)
        return vectors

    def activated(self, head: MLPHead, logits: str) -> str:
        """The probabilities of a head with classes."""
        if head.activation is Activation.SOFTMAX:
            return self.op("Softmax", logits, axis=-1)
        return self.op("Sigmoid", logits)

    def model(self, notes: dict[str, str]) -> ModelProto:
        """The finished model, with notes for programs."""
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, "m2v", self._inputs, self._outputs, list(self._constants.values()))
        model: ModelProto = helper.make_model(
            graph,
            producer_name="m2v-core",
            producer_version=__version__,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        helper.set_model_props(model, notes)
        return model
