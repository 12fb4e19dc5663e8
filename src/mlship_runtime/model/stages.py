"""Reduction and model, one after the other: what a bundle does in two steps, or in one session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mlship_runtime.bundle.fusion import CannotFuse, fuse
from mlship_runtime.bundle.spec import FileEntry, Spec
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.model.assembly import Feed, check_fed
from mlship_runtime.model.datatypes import Array
from mlship_runtime.model.engine import Engine, read_hashed
from mlship_runtime.model.reduction import Reduction, graph_reduction, load_reduction


class Unpacked(Protocol):
    """What is needed of an unpacked bundle (`tree.BundleTree`)."""

    @property
    def digest(self) -> str: ...

    @property
    def spec(self) -> Spec: ...

    def path(self, name: str) -> str: ...

    def roots_of(self, role: str, platform: str = "") -> tuple[str, ...]: ...


class Stages:
    """The reduction, if there is one, and the model in a session of its own. Raises InvalidBundle."""

    def __init__(self, tree: Unpacked, threads: int) -> None:
        self._spec = spec = tree.spec
        self.session = _engine_of(tree, threads)
        self.reduction = _reduction_of(tree, threads)
        self._feeds = tuple(Feed(node, spec.assemble.get(node.name, ())) for node in self.session.inputs)
        specs = spec.inputs if self.reduction is None else spec.reduced
        if specs:  # of a reduction in the making nothing is known
            check_fed(self._feeds, [tensor.name for tensor in specs], "model")

    def reduce(self, columns: Mapping[str, Array]) -> Mapping[str, Array]:
        """What the model reads: the reduction's result, or `columns` themselves where there is none."""
        if self.reduction is None:
            return columns
        columns = {spec.name: columns[spec.name] for spec in self._spec.inputs}  # the order is the schema's
        return self.reduction(columns, len(next(iter(columns.values()))))

    def run(self, reduced: Mapping[str, Array]) -> dict[str, Array]:
        """The model's outputs for what `reduce` gave."""
        feed = {each.input: each.assemble(reduced) for each in self._feeds}
        return dict(zip(self.session.names, self.session.run(feed)))


class Whole:
    """Reduction and model, two ONNX graphs, as one graph in one session. Raises InvalidBundle."""

    def __init__(self, tree: Unpacked, threads: int) -> None:
        spec = tree.spec
        description = spec.reduction or {}
        try:
            fused = fuse(_bytes_of(tree, description["path"]), _model_of(tree), spec.assemble, spec.reduced)
        except CannotFuse as reason:
            raise InvalidBundle("reduction and model do not go into one graph", cause=str(reason)) from reason
        from mlship_runtime.model.session import Session

        self._session = Session(fused.data, [o.name for o in spec.outputs], threads, _weights_of(tree))
        sources = {called: name for name, called in fused.inputs.items()}
        assemble = description["assemble"]
        self._feeds = tuple(
            Feed(node, assemble.get(sources[node.name], ()), sources[node.name])
            for node in self._session.inputs
        )
        check_fed(self._feeds, [tensor.name for tensor in spec.inputs], "reduction")

    def __call__(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """The model's outputs for raw columns."""
        feed = {each.input: each.assemble(columns) for each in self._feeds}
        return dict(zip(self._session.names, self._session.run(feed)))


def _engine_of(tree: Unpacked, threads: int) -> Engine:
    """What runs the model; nothing of the other engine is imported."""
    names = [output.name for output in tree.spec.outputs]
    if tree.spec.engine == "python":
        from mlship_runtime.model.estimator import Estimator

        return Estimator(_model_of(tree), tree.spec.model, tree.roots_of("model"), names, threads)
    from mlship_runtime.model.session import Session

    return Session(_model_of(tree), names, threads, _weights_of(tree))


def _model_of(tree: Unpacked) -> bytes:
    return _bytes_of(tree, tree.spec.model["path"])


def _bytes_of(tree: Unpacked, path: str) -> bytes:
    """The file, from the very bytes that are hashed."""
    return read_hashed(tree.path(path), _entry_of(tree.spec, path))


def _entry_of(spec: Spec, path: str) -> FileEntry:
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


def _reduction_of(tree: Unpacked, threads: int) -> Reduction | None:
    description = tree.spec.reduction
    if description is None:
        return None
    if description["kind"] == "onnx":
        data = _bytes_of(tree, description["path"])
        return graph_reduction(data, description["assemble"], tree.spec, threads)
    return load_reduction(tree.roots_of("reduction"), description, tree.spec.reduced)
