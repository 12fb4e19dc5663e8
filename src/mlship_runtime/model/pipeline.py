"""Raw columns to predictions: reduce, assemble the model's inputs, run the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.model.bound_row import BoundRow
from mlship_runtime.model.datatypes import Array, column_type
from mlship_runtime.model.engine import Node
from mlship_runtime.model.stages import Stages, Unpacked, Whole

_UNKNOWN = object()
# As the V2 protocol calls what computes.
_PLATFORMS = {"onnx": "onnx_onnxv1", "python": "python"}


class Pipeline:
    """One bundle, loaded: its model from the very bytes that were hashed. Raises InvalidBundle.

    While a bundle is being built its schema may name no outputs yet: then all of the graph's are answered.
    `fused` says whether reduction and model are one session; then the parts are loaded only if asked for."""

    def __init__(self, tree: Unpacked, threads: int = 1) -> None:
        spec = tree.spec
        self.digest = tree.digest
        self.spec = spec
        self._tree, self._threads = tree, threads
        self._apart: Stages | None = None
        self._whole: Whole | None = None
        self._direct = False
        self._row: Any = _UNKNOWN
        if spec.reduction is not None and spec.reduction.get("fused"):
            self._whole = Whole(tree, threads)
        else:
            stages = self._stages()
            # Inputs that are the model's own, name by name and type by type, need no assembling.
            self._direct = stages.reduction is None and _same(spec.inputs, stages.session.inputs)

    @property
    def fused(self) -> bool:
        return self._whole is not None

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs for `columns` (checked: see `columns.check_columns`), batch first, in schema order.
        Raises ReductionFailed, ModelFailed, and BadInput for numbers too large for the model's type."""
        if self._whole is not None:
            return self._whole(columns)
        stages = self._stages()
        if self._direct:
            return dict(zip(stages.session.names, stages.session.run(columns)))
        return stages.run(stages.reduce(columns))

    def row(self) -> BoundRow | None:
        """A quicker way to predict for one row, where the model reads the only input of the schema as it is
        and there is one."""
        if self._row is _UNKNOWN:
            direct = self._direct and len(self.spec.inputs) == 1 and not self.spec.inputs[0].nullable
            self._row = self._stages().session.row() if direct else None
        found: BoundRow | None = self._row
        return found

    def check_row(self, columns: Mapping[str, Array]) -> None:
        """Give the quicker way up unless it gives for each row, bit for bit, what the other way gives."""
        row = self.row()
        if row is None:
            return
        ((name, rows),) = columns.items()
        try:
            for at, values in enumerate(rows.tolist()):
                row.load(values)
                row.run()
                alone = self.predict({name: rows[at : at + 1]})
                if [array.tobytes() for array in alone.values()] != row.bytes():
                    self._row = None
        except RuntimeError:
            self._row = None

    def reduce(self, columns: Mapping[str, Array]) -> Mapping[str, Array]:
        """What the model reads: the reduction's result, or `columns` themselves where there is none."""
        return self._stages().reduce(columns)

    def run(self, reduced: Mapping[str, Array]) -> dict[str, Array]:
        """The model's outputs for what `reduce` gave."""
        return self._stages().run(reduced)

    @property
    def metadata(self) -> dict[str, Any]:
        """V2 model metadata."""
        return {
            "name": self.spec.name,
            "versions": [self.digest],
            "platform": _PLATFORMS[self.spec.engine],
            "inputs": [_described(spec) for spec in self.spec.inputs],
            "outputs": [_described(spec) for spec in self.spec.outputs],
        }

    def _stages(self) -> Stages:
        if self._apart is None:
            self._apart = Stages(self._tree, self._threads)
        return self._apart


def _same(inputs: Sequence[TensorSpec], nodes: Sequence[Node]) -> bool:
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
