"""Tries a model until it answers as the original: in one precision, in the other, or as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlship.bundle.archive import Layer, write_layer
from mlship.bundle.audit.secrets import refuse_secrets
from mlship.bundle.document import Content
from mlship.bundle.lock import (
    LockedParity,
)
from mlship.bundle.models.convert import Converted, convert
from mlship.bundle.models.model_layers import model_layers
from mlship.bundle.models.pickles import refuse_pickles
from mlship.bundle.models.proof import LOCKED, ONNX, Disparity, check_fused, check_parity, check_reduced
from mlship.bundle.models.reducing import (
    Reduced,
    Reducing,
    as_model,
    check_alone,
    check_rows,
)
from mlship.bundle.packages.runtime import Settled, for_this_machine
from mlship.bundle.packages.runtime_layers import platform_layers
from mlship.bundle.packages.wheels import fetch
from mlship.bundle.rows import golden
from mlship.bundle.rows.examples import Examples
from mlship.bundle.rows.record import Recorded
from mlship.bundle.rows.trial import try_bundle
from mlship.config import Project
from mlship.errors import BuildError
from mlship.progress import Progress

PRECISIONS = ("FP32", "FP64")


@dataclass(frozen=True)
class Proved:
    """A model with its layers, what it answered, and how far that is from the original."""

    converted: Converted
    own: list[Layer]
    answers: Recorded
    parity: LockedParity


@dataclass(frozen=True)
class Ways:
    """How the model is made: weights beyond `shard_bytes` are cut up, `anew` repeats no kept conversion, and
    `precision` is tried first."""

    shard_bytes: int
    anew: bool
    precision: str | None


class Proving:
    """The proof of one build, in its scratch folder, by the locked packages."""

    def __init__(
        self,
        project: Project,
        examples: Examples,
        ground_floor: Layer,
        settled: Settled,
        folder: Path,
        ways: Ways,
        progress: Progress,
    ) -> None:
        self.project, self.examples, self.ways = project, examples, ways
        self.ground_floor, self.settled = ground_floor, settled
        self.folder, self.progress = folder, progress

    def proved(self) -> Proved:
        """The conversion in the first precision that is proved equal to the original; if none is, raises the
        error of the first. A scaler in front of a forest often needs FP64, which costs the others speed."""
        reduced = self._reduced()
        first: BuildError | None = None
        order = [self.ways.precision] if self.ways.precision else []
        for precision in dict.fromkeys([*order, *PRECISIONS]):
            try:
                return self._converted(precision, reduced)
            except Disparity as error:
                first = first or error
                self.progress.say(f"Numbers in {precision} do not answer as the original")
            except BuildError:
                if first is None:
                    raise
        raise first or AssertionError("there is at least one precision")

    def as_it_is(self, taken: Converted) -> Proved:
        """A model that is not converted, proved as others are. Raises BuildError."""
        folder = self.folder / taken.precision
        folder.mkdir()
        return self._proved(taken, folder)

    def _converted(self, precision: str, reduced: Reduced | None) -> Proved:
        folder = self.folder / precision
        folder.mkdir()
        self.progress.phase("convert")
        shard_bytes, anew = self.ways.shard_bytes, self.ways.anew
        made = convert(self.project, self.examples, precision, folder, shard_bytes, reduced, anew=anew)
        return self._proved(made, folder)

    def _proved(self, converted: Converted, folder: Path) -> Proved:
        self.progress.say(_conversion(converted))
        own = self._own_layers(converted, folder)
        content = Content(self.project, self.examples, converted, self.settled.locked)
        answers = self._try(content, [*own, self.ground_floor], folder)
        parity = self._prove(converted, answers)
        self._prove_fused(converted, answers)
        return Proved(converted, own, answers, parity)

    def _reduced(self) -> Reduced | None:
        """What [reduction] graph makes of the examples: the graph is taken and tried as a model is."""
        project, folder = as_model(self.project), self.folder / "reduction"
        if project is None:
            return None
        folder.mkdir()
        try:
            found = convert(project, self.examples, PRECISIONS[0], folder, anew=self.ways.anew)
            if found.shards:
                raise BuildError("it has more weights than a reduction may have", cause="64 MiB are allowed")
            layers = [*model_layers(found, folder), self.ground_floor]
            content = Content(project, self.examples, found, self.settled.locked)
            answers = self._try(content, layers, folder)
            check_rows(answers.outputs, self.examples.rows)
            alone = [self.examples.rows // 2]
            check_alone(answers.outputs, self._try(content, layers, folder, alone).outputs, alone)
        except BuildError as error:
            where = self.project.where("reduction", "graph")
            raise BuildError(f"{where}: {error.what}", cause=error.cause, fix=error.fix) from error
        graph = Reducing(found.graph, found.assemble, found.opset, found.converter)
        return Reduced(graph, answers.outputs)

    def _own_layers(self, converted: Converted, folder: Path) -> list[Layer]:
        layers = model_layers(converted, folder)
        if converted.unconverted:
            refuse_secrets(self.project, converted.unconverted.code)
        if converted.reducing is None:
            refuse_secrets(self.project, converted.reduction)
            refuse_pickles(converted.reduction)
        if converted.reduction:
            files = [(f"reduction/{place}", data) for place, data in converted.reduction.items()]
            layers.append(write_layer(folder / "reduction.tar", "reduction", files))
        return layers

    def _try(
        self,
        content: Content,
        layers: Sequence[Layer],
        folder: Path,
        rows: Sequence[int] | None = None,
    ) -> Recorded:
        platform, wheels, urls = for_this_machine(self.settled)
        fetch(wheels, urls, self.settled.locked.python, self.progress)
        runtime = platform_layers(platform, wheels, self.settled.locked.trim)
        self.progress.phase("record")
        answers = try_bundle(content, [*layers, *runtime], platform, folder, rows=rows)
        if content.converted.reduced and rows is None:
            check_reduced(content.converted.reduced, answers.reduced)
        return answers

    def _prove(self, converted: Converted, answers: Recorded) -> LockedParity:
        tolerance = self.project.model.tolerance
        limits = {"abs": tolerance.abs, "rel": tolerance.rel}
        who = LOCKED if converted.unconverted else ONNX
        found = check_parity(converted.reference, answers.outputs, limits, who)
        if found.rows:
            equal = f"decides as the original on {found.rows} rows, numbers within {found.max_abs:.2g}"
            self.progress.say(f"{who[0].upper()}{who[1:]} {equal}")
        return found

    def _prove_fused(self, converted: Converted, answers: Recorded) -> None:
        if answers.apart is not None:
            error = check_fused(
                answers.apart, answers.outputs, golden.tolerances(self.project, answers.outputs)
            )
            self.progress.say(
                f"Reduction and model are one session, with equal answers (numbers within {error:.2g})"
            )
        elif converted.reducing:
            self.progress.say(f"Reduction and model stay two sessions: {converted.reducing.apart}")


def _conversion(converted: Converted) -> str:
    size = converted.size / 1e3
    if converted.unconverted:
        return f"Took the model as it is, {size:.0f} kB ({converted.unconverted.found.serialization})"
    if not converted.reference:
        return f"Took the ONNX model as it is, {size:.0f} kB"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(converted.converter.items()))
    done = "Kept the model's conversion" if converted.of_before else "Converted the model"
    return f"{done} to ONNX, {size:.0f} kB ({versions})"
