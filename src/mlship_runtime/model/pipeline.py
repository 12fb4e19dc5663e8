"""Raw columns to predictions: reduce, assemble the model's inputs, run the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mlship_runtime.bundle.spec import FileEntry, Spec, TensorSpec
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.model.assembly import Feed
from mlship_runtime.model.datatypes import Array, column_type
from mlship_runtime.model.reduction import Reduction, load_reduction
from mlship_runtime.model.session import ModelTensor, Session, read_hashed


class Unpacked(Protocol):
    """What the pipeline needs of an unpacked bundle (`tree.BundleTree`)."""

    @property
    def digest(self) -> str: ...

    @property
    def spec(self) -> Spec: ...

    def path(self, name: str) -> str: ...

    def roots_of(self, role: str, platform: str = "") -> tuple[str, ...]: ...


class Pipeline:
    """One bundle, loaded: its model from the very bytes that were hashed. Raises InvalidBundle.

    While a bundle is being built its schema may name no outputs yet: then all of the graph's are answered."""

    def __init__(self, tree: Unpacked, threads: int = 1) -> None:
        spec = tree.spec
        self.digest = tree.digest
        self.spec = spec
        model = read_hashed(tree.path(spec.model["path"]), _entry_of(spec))
        names = [output.name for output in spec.outputs]
        self._session = Session(model, names, threads, _weights_of(tree))
        self._reduction = _reduction_of(tree)
        self._feeds = tuple(Feed(node, spec.assemble.get(node.name, ())) for node in self._session.inputs)
        self._check_sources()
        # Inputs that are the model's own, name by name and type by type, need no assembling.
        self._direct = self._reduction is None and _same(spec.inputs, self._session.inputs)

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs for `columns` (checked: see `columns.check_columns`), batch first, in schema order.
        Raises ReductionFailed, ModelFailed, and BadInput for numbers too large for the model's type."""
        if self._direct:
            return dict(zip(self._session.names, self._session.run(columns)))
        return self.run(self.reduce(columns))

    def reduce(self, columns: Mapping[str, Array]) -> Mapping[str, Array]:
        """What the model reads: the reduction's result, or `columns` themselves where there is none."""
        if self._reduction is None:
            return columns
        columns = {spec.name: columns[spec.name] for spec in self.spec.inputs}  # the order is the schema's
        return self._reduction(columns, len(next(iter(columns.values()))))

    def run(self, reduced: Mapping[str, Array]) -> dict[str, Array]:
        """The model's outputs for what `reduce` gave."""
        feed = {each.name: each.assemble(reduced) for each in self._feeds}
        return dict(zip(self._session.names, self._session.run(feed)))

    @property
    def metadata(self) -> dict[str, Any]:
        """V2 model metadata."""
        return {
            "name": self.spec.name,
            "versions": [self.digest],
            "platform": "onnx_onnxv1",
            "inputs": [_described(spec) for spec in self.spec.inputs],
            "outputs": [_described(spec) for spec in self.spec.outputs],
        }

    def _check_sources(self) -> None:
        """Fail at load, not at the first request, when the schema cannot feed the model."""
        specs = self.spec.inputs if self._reduction is None else self.spec.reduced
        known = {spec.name for spec in specs}
        for feed in self._feeds:
            missing = set(feed.columns or (feed.name,)) - known
            if known and feed.name not in known and missing:
                cause = f"the schema has no {', '.join(sorted(missing))}"
                raise InvalidBundle(f"nothing feeds the model's input {feed.name!r}", cause=cause)


def _entry_of(spec: Spec) -> FileEntry:
    path = spec.model["path"]
    for entries in spec.files.values():
        for entry in entries:
            if entry.path == path:
                return entry
    raise InvalidBundle(f"the file index has no {path!r}")


def _weights_of(tree: Unpacked) -> dict[str, str]:
    """Where each file that lies beside the graph in the bundle is on this machine, layer by layer."""
    graph = tree.spec.model["path"]
    folder = graph.rpartition("/")[0] + "/"
    paths = [entry.path for entries in tree.spec.files.values() for entry in entries if entry.path != graph]
    return {path[len(folder) :]: tree.path(path) for path in paths if path.startswith(folder)}


def _reduction_of(tree: Unpacked) -> Reduction | None:
    description = tree.spec.reduction
    if description is None:
        return None
    return load_reduction(tree.roots_of("reduction"), description, tree.spec.reduced)


def _same(inputs: Sequence[TensorSpec], nodes: Sequence[ModelTensor]) -> bool:
    """Whether columns of the schema can go into the model as they are."""
    columns = {spec.name: (column_type(spec), len(spec.shape)) for spec in inputs}
    return columns == {node.name: (node.dtype, len(node.shape)) for node in nodes} and not any(
        spec.nullable and spec.datatype == "BYTES" for spec in inputs
    )


def _described(spec: TensorSpec) -> dict[str, Any]:
    found: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
    if spec.classes:
        found["parameters"] = {"classes": list(spec.classes)}
    return found
