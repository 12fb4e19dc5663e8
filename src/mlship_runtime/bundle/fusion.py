"""Two ONNX files as one: the reduction's graph before the model's. No ONNX library is needed for it.

The model's names stay, for outputs are called by them; what the reduction has gets a prefix, but for inputs
whose names are free. Between the two, operators do what `model.assembly` does with arrays.
Sources: onnx.proto; the operators Cast, Concat, Flatten and Identity of opset 13.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlship_runtime.bundle import graph_parts as parts
from mlship_runtime.bundle.graph_parts import GraphFile, Value
from mlship_runtime.bundle.protobuf import encoded, fields, message, not_onnx
from mlship_runtime.bundle.spec import TensorSpec

# TensorProto.DataType by the names of the Open Inference Protocol V2.
ELEMENTS = {
    "FP32": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "BYTES": 8,
    "BOOL": 9, "FP16": 10, "FP64": 11, "UINT32": 12, "UINT64": 13,
}  # fmt: skip
_DATATYPES = {number: name for name, number in ELEMENTS.items()}
_OPSET, _IR_VERSION = 13, 7  # of the operators between the two
_REPLACED = (parts.IR_VERSION, parts.GRAPH, parts.OPSETS)
_INT, _ATTRIBUTE = 2, 5


class CannotFuse(Exception):
    """Why two graphs must stay apart, in words that end a sentence."""


@dataclass(frozen=True)
class Fused:
    """`data` is an ONNX file; `inputs` says what each input of the reduction is called in it."""

    data: bytes
    inputs: Mapping[str, str]


def fuse(
    reduction: bytes, model: bytes, assemble: Mapping[str, Sequence[str]], reduced: Sequence[TensorSpec]
) -> Fused:
    """The reduction, of whose outputs `reduced` are fed to the model as `assemble` says, and the model.

    Raises CannotFuse where the two do not go into one graph or would not answer the same there, and
    InvalidBundle for what is no ONNX file.
    """
    try:
        return _fused(GraphFile(reduction), GraphFile(model), assemble, reduced)
    except RecursionError:
        raise not_onnx("its parts lie too deep in each other") from None


def _fused(
    first: GraphFile, second: GraphFile, assemble: Mapping[str, Sequence[str]], reduced: Sequence[TensorSpec]
) -> Fused:
    prefix, joint = _unused("reduction", first, second), _unused("joint", first, second)
    taken = second.names
    inputs = {name: prefix + name if name in taken else name for name in first.inputs}
    given = {spec.name: spec for spec in reduced}
    if lacking := [name for name in given if name not in first.outputs]:
        raise CannotFuse(f"the reduction has no output {lacking[0]!a}")
    between = _Between(joint, {name: inputs.get(name, prefix + name) for name in given}, given)
    for name, value in second.inputs.items():
        between.feed(name, value, assemble.get(name, ()))
    versions = _versions(first, second, plain=between.plain)

    def change(name: str) -> str:
        return inputs.get(name, prefix + name)

    own = (parts.NODES, parts.WEIGHTS, parts.SPARSE, parts.INPUTS)
    graph = [*first.renamed(own, change, prefix), *between.nodes, *second.without_inputs()]
    opsets = [
        message(parts.OPSETS, message(1, parts.bytes_of(domain)) + _number(2, version))
        for domain, version in versions.items()
    ]
    needed = _IR_VERSION if versions[""] >= _OPSET else 0
    ir_version = max(first.ir_version, second.ir_version, needed)
    model = second.data
    rest = [model[b:e] for number, _, b, _, e in fields(model, 0, len(model)) if number not in _REPLACED]
    whole = [
        _number(parts.IR_VERSION, ir_version), *rest, message(parts.GRAPH, b"".join(graph)), *opsets,
        *_functions(first, second),
    ]  # fmt: skip
    return Fused(b"".join(whole), inputs)


class _Between:
    """The nodes that make the model's inputs of what the reduction gives (`called`, in the fused graph)."""

    def __init__(self, joint: str, called: Mapping[str, str], given: Mapping[str, TensorSpec]) -> None:
        self._joint, self._called, self._given = joint, called, given
        self.nodes: list[bytes] = []
        self.plain = True

    def feed(self, name: str, value: Value, columns: Sequence[str]) -> None:
        """Make the input `name` of the tensor of that name, or else of `columns` side by side."""
        whole = name in self._given
        found = []
        for column in (name,) if whole else columns:
            if column not in self._given:
                raise CannotFuse(f"the reduction does not give {column!a}, which the model reads")
            spec = self._given[column]
            tensor = self._cast(self._called[column], spec, name, value)
            flat = len(spec.shape) == 1 and value.rank == 2 if whole else len(spec.shape) != 2
            found.append(self._node("Flatten", [tensor], axis=1) if flat else tensor)
        if not found:
            raise CannotFuse(f"nothing feeds the model's input {name!a}")
        if len(found) > 1:
            self._node("Concat", found, name, axis=1)
        else:
            self._node("Identity", found, name)

    def _cast(self, tensor: str, spec: TensorSpec, name: str, value: Value) -> str:
        wanted = _DATATYPES.get(value.element, "")
        if spec.datatype == wanted:
            return tensor
        if not _widens(spec.datatype, wanted):
            raise CannotFuse(
                f"the model reads {name!a} as {wanted or 'no tensor'}, the reduction gives {spec.datatype}"
            )
        return self._node("Cast", [tensor], to=value.element)

    def _node(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: int) -> str:
        output = output or f"{self._joint}{len(self.nodes)}"
        self.plain = self.plain and operator == "Identity"
        node = [message(1, parts.bytes_of(name)) for name in inputs]
        node.append(message(2, parts.bytes_of(output)))
        node.append(message(3, f"{self._joint}node{len(self.nodes)}".encode()))
        node.append(message(4, operator.encode()))
        for key, value in attributes.items():
            node.append(message(_ATTRIBUTE, message(1, key.encode()) + _number(3, value) + _number(20, _INT)))
        self.nodes.append(message(parts.NODES, b"".join(node)))
        return output


def _widens(given: str, wanted: str) -> bool:
    """Whether every value of one datatype is one of the other, or a whole number becomes a fraction, which
    no input is refused for."""
    if "BYTES" in (given, wanted) or not wanted or wanted == "BOOL":
        return False
    if given == "BOOL" or (not given.startswith("FP") and wanted.startswith("FP")):
        return True
    (sign, bits), (to_sign, to_bits) = _split(given), _split(wanted)
    return (sign == to_sign and bits < to_bits) or (sign == "UINT" and to_sign == "INT" and bits < to_bits)


def _split(datatype: str) -> tuple[str, int]:
    letters = datatype.rstrip("0123456789")
    return letters, int(datatype[len(letters) :])


def _versions(first: GraphFile, second: GraphFile, *, plain: bool) -> dict[str, int]:
    """One version of each operator set; what a graph declares and does not use does not count."""
    one, two = first.domains, second.domains
    found = {domain: version for domain, version in first.opsets.items() if domain in one}
    for domain, version in second.opsets.items():
        if domain in found and domain not in two:
            continue
        if found.setdefault(domain, version) != version:
            raise CannotFuse(
                f"the reduction has opset {found[domain]}, the model {version}"
                + (f" of {domain!a}" if domain else "")
            )
    if found.setdefault("", _OPSET) < _OPSET and not plain:
        raise CannotFuse(f"opset {found['']} is older than {_OPSET}")
    return dict(sorted(found.items()))


def _functions(first: GraphFile, second: GraphFile) -> Iterator[bytes]:
    for key, function in first.functions.items():
        if second.functions.get(key, function) != function:
            raise CannotFuse(f"both have a function {key[1]!a}, and these differ")
        if key not in second.functions:
            yield message(parts.FUNCTIONS, function)


def _unused(word: str, *files: GraphFile) -> str:
    """A prefix of names that is nowhere in these files."""
    count = 0
    while any(f"{word}{count or ''}/".encode() in file.data for file in files):
        count += 1
    return f"{word}{count or ''}/"


def _number(field: int, value: int) -> bytes:
    return encoded(field << 3) + encoded(value)
