"""What is different between two bundles inside their layers: golden answers and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

from mlship.bundle.models.graph_reader import Graph, Weight, read_graph
from mlship.bundle.open import OpenBundle
from mlship.bundle.rows.wire import Unreadable
from mlship.errors import BundleError
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.ustar import CHUNK, ChunkStream

Values = list[Any]


@dataclass(frozen=True)
class GoldenDifference:
    """Rows are the same where their inputs are. `changed` of the `compared` ones have another answer, in
    `decisions` of them one that is no float; `largest` is the largest difference of a float."""

    compared: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    decisions: int = 0
    largest: float = 0.0


@dataclass(frozen=True)
class WeightDifference:
    """The names that changed, and how many are the same; `unreadable` says why nothing was compared."""

    same: int = 0
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    operators: tuple[tuple[str, int, int], ...] = ()
    unreadable: str = ""


def golden_difference(before: OpenBundle, after: OpenBundle) -> GoldenDifference:
    """Compare the golden examples; raises BundleError if one of them is damaged."""
    if _layer(before, "golden") == _layer(after, "golden"):
        return GoldenDifference(compared=after.spec.golden["rows"])
    one, two = _answers(before), _answers(after)
    common = [key for key in one if key in two]
    changed = decisions = 0
    largest = 0.0
    for key in common:
        if one[key] == two[key]:
            continue
        changed += 1
        decided, distance = _distance(one[key], two[key])
        decisions += decided
        largest = max(largest, distance)
    return GoldenDifference(
        len(common), len(two) - len(common), len(one) - len(common), changed, decisions, largest
    )


def weight_difference(before: OpenBundle, after: OpenBundle) -> WeightDifference:
    """Compare the weights of the two graphs, by name."""
    if same_model(before, after):
        return WeightDifference()
    if any(bundle.spec.engine != "onnx" for bundle in (before, after)):
        return WeightDifference(unreadable="a model that is no ONNX graph has no weights by name")
    shared_files = _hashes(before) & _hashes(after)
    try:
        one, two = _graph(before, shared_files), _graph(after, shared_files)
    except Unreadable as reason:
        return WeightDifference(unreadable=str(reason))
    shared = one.weights.keys() & two.weights.keys()
    changed = {name for name in shared if one.weights[name] != two.weights[name]}
    operators = sorted({*one.operators, *two.operators})
    return WeightDifference(
        same=len(shared) - len(changed),
        changed=tuple(sorted(changed)),
        added=tuple(sorted(two.weights.keys() - shared)),
        removed=tuple(sorted(one.weights.keys() - shared)),
        operators=tuple(
            (name, one.operators[name], two.operators[name])
            for name in operators
            if one.operators[name] != two.operators[name]
        ),
    )


def same_model(before: OpenBundle, after: OpenBundle) -> bool:
    """Whether the model's layers are the same bytes."""
    return _layer(before, "model") == _layer(after, "model")


def _layer(bundle: OpenBundle, role: str) -> tuple[str, ...]:
    return tuple(layer.digest for layer in bundle.manifest.layers if layer.role == role)


def _graph(bundle: OpenBundle, shared_files: set[str]) -> Graph:
    path = bundle.spec.model["path"]
    graph = read_graph(ChunkStream(bundle.read(path)), bundle.entry(path).size)
    graph.weights |= _external(bundle, graph, shared_files)
    return graph


def _hashes(bundle: OpenBundle) -> set[str]:
    return {entry.sha256 for entries in bundle.spec.files.values() for entry in entries}


def _external(bundle: OpenBundle, graph: Graph, shared_files: set[str]) -> dict[str, Weight]:
    """The weights that lie in other files, with the hash of their bytes there; a file that both bundles have
    is not read, as its hash and the place in it say the same."""
    places: dict[str, dict[tuple[int, int], list[str]]] = {}
    for name, weight in graph.weights.items():
        if weight.external:
            place = dict(weight.external)
            try:
                span = int(place.get("offset", 0)), int(place["length"])
            except (KeyError, ValueError):
                raise Unreadable(f"it does not say where {name[:80]!r} ends") from None
            places.setdefault(place.get("location", ""), {}).setdefault(span, []).append(name)
    found = {}
    for location, spans in places.items():
        for span, sha256 in _spans(bundle, f"model/{location}", sorted(spans), shared_files):
            for name in spans[span]:
                weight = graph.weights[name]
                found[name] = Weight(weight.datatype, weight.shape, sha256)
    return found


def _spans(
    bundle: OpenBundle, path: str, spans: list[tuple[int, int]], shared_files: set[str]
) -> Iterator[tuple[tuple[int, int], str]]:
    """Each span (offset, length) of a file with the hash of its bytes."""
    try:
        entry = bundle.entry(path)
    except BundleError as error:
        raise Unreadable(error.what) from error
    if entry.sha256 in shared_files:
        yield from ((span, f"{entry.sha256}@{span[0]}+{span[1]}") for span in spans)
        return
    stream, position = ChunkStream(bundle.read(path)), 0
    for offset, length in spans:
        if offset < position or offset + length > entry.size:
            raise Unreadable("its weights overlap, or end behind their file")
        for _ in _passed(stream, offset - position):
            continue
        hasher, position = hashlib.sha256(), offset + length
        for chunk in _passed(stream, length):
            hasher.update(chunk)
        yield (offset, length), hasher.hexdigest()


def _passed(stream: ChunkStream, count: int) -> Iterator[bytes]:
    while count and (chunk := stream.read(min(count, CHUNK))):
        count -= len(chunk)
        yield chunk


def _answers(bundle: OpenBundle) -> dict[bytes, dict[str, tuple[str, Values]]]:
    """Answers (datatype and values by output) by the row that they are of."""
    golden = bundle.golden()
    try:
        inputs, outputs = list(_columns(golden["inputs"])), list(_columns(golden["outputs"]))
        rows = bundle.spec.golden["rows"]
        return {
            canonical.encode([[name, values[row]] for name, _, values in inputs]): {
                name: (datatype, values[row]) for name, datatype, values in outputs
            }
            for row in range(rows)
        }
    except (LookupError, TypeError, ValueError, ZeroDivisionError) as error:
        raise BundleError(
            f"the golden examples of {bundle.reference} are damaged", cause=str(error)
        ) from error


def _columns(tensors: Any) -> Iterator[tuple[str, str, list[Values]]]:
    for tensor in tensors:
        width = prod(tensor["shape"][1:])
        data = tensor["data"]
        yield tensor["name"], tensor["datatype"], [data[at : at + width] for at in range(0, len(data), width)]


def _distance(
    one: Mapping[str, tuple[str, Values]], two: Mapping[str, tuple[str, Values]]
) -> tuple[bool, float]:
    """Whether more than floats changed, and the largest difference of floats."""
    decided, largest = one.keys() != two.keys(), 0.0
    for name in one.keys() & two.keys():
        (kind, old), (other, new) = one[name], two[name]
        if kind != other or len(old) != len(new) or not kind.startswith("FP"):
            decided = decided or (kind, old) != (other, new)
            continue
        gaps = [abs(a - b) for a, b in zip(old, new, strict=True) if _number(a) and _number(b)]
        largest = max([largest, *gaps])
    return decided, largest


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)
