"""From a project to a bundle: examples -> convert -> lock -> layers -> try -> golden -> publish."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mlship.bundle.archive import Layer, write_layer
from mlship.bundle.audit.card import read_card, write_card
from mlship.bundle.audit.room import check_budget
from mlship.bundle.audit.secrets import refuse_secrets
from mlship.bundle.document import GOLDEN_PATH, Content, write_documents
from mlship.bundle.lock import (
    Lock,
    LockedGolden,
    LockedModel,
    LockedParity,
    LockedRuntime,
    lock_text,
    read_lock,
    write_atomically,
)
from mlship.bundle.models.convert import Converted, convert, leave
from mlship.bundle.models.mlflow import with_signature
from mlship.bundle.models.model_layers import model_digest, model_layers
from mlship.bundle.models.pickles import refuse_pickles
from mlship.bundle.models.proof import LOCKED, ONNX, Disparity, check_fused, check_parity, check_reduced
from mlship.bundle.models.reducing import (
    Reduced,
    Reducing,
    as_model,
    check_alone,
    check_rows,
    with_graph_inputs,
)
from mlship.bundle.models.shards import SHARD_BYTES
from mlship.bundle.models.unconverted import Found, find
from mlship.bundle.packages.emulated import try_elsewhere
from mlship.bundle.packages.platforms import named
from mlship.bundle.packages.runtime import Settled, for_this_machine, settle
from mlship.bundle.packages.runtime_layers import ground_floor_layer, platform_layers
from mlship.bundle.packages.wheels import fetch
from mlship.bundle.publish import BuildStore, publish
from mlship.bundle.rows import golden, seen
from mlship.bundle.rows.examples import Examples, read_examples
from mlship.bundle.rows.record import Recorded
from mlship.bundle.rows.trial import try_bundle
from mlship.config import Project
from mlship.digest import sha256
from mlship.errors import BuildError
from mlship.progress import SILENT, Progress
from mlship.reference import Reference
from mlship_runtime.bundle.canonical import encode
from mlship_runtime.bundle.manifest import Manifest, read_manifest
from mlship_runtime.bundle.spec import Spec, read_spec
from mlship_runtime.errors import RuntimeFault

PRECISIONS = ("FP32", "FP64")


@dataclass(frozen=True)
class _Proved:
    """A conversion with its layers, what it answered and how far that is from the original."""

    converted: Converted
    own: list[Layer]
    answers: Recorded
    parity: LockedParity


@dataclass(frozen=True)
class Built:
    """A finished bundle. `changed` are the parts of mlship.lock that this build wrote (all of them the first
    time)."""

    reference: Reference
    digest: str
    manifest: Manifest
    spec: Spec
    changed: tuple[str, ...]
    size: int
    sent: int


def build_bundle(
    project: Project,
    registry: BuildStore,
    *,
    locked: bool = False,
    upgrade: bool = False,
    allow_pickle: bool = False,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = SILENT,
) -> Built:
    """Build the project's bundle into `registry`, tagged with its version, and bring mlship.lock up to date.

    `locked` refuses to change the lock, `upgrade` renews it; without `allow_pickle` no model travels that is
    not ONNX; weights beyond `shard_bytes` are cut up. Raises BuildError or ConfigError; nothing is published
    and the lock stays as it was then.
    """
    before = read_lock(project)
    if locked and before is None:
        raise BuildError("there is no mlship.lock", fix="Build once without --locked and commit the file")
    with _scratch() as folder:
        work = _Build(project, before, folder, upgrade, progress, shard_bytes, allow_pickle)
        lock, layers, content = work.run()
        changed = _changed(before, lock)
        if locked and before and changed:
            raise _not_as_locked(before, lock, changed)
        documents = write_documents(content, layers)
        size = sum(layer.size for layer in layers) + len(documents.spec)
        check_budget(project, layers, size)
        published = publish(project, registry, documents, layers, progress)
    if changed:
        write_atomically(project.lock_file, lock_text(lock))
    digest = sha256(documents.manifest)
    built = {"schemaVersion": 1, "reference": str(project.reference), "digest": digest}
    write_atomically(project.state / "built.json", msgspec.json.encode(built))
    progress.say(f"Built {project.reference}, {len(layers) + 1} layers, {size / 1e6:.1f} MB, {digest}")
    return Built(
        reference=project.reference,
        digest=digest,
        manifest=read_manifest(documents.manifest),
        spec=read_spec(documents.spec),
        changed=changed,
        size=size,
        sent=published,
    )


def lock_only(
    project: Project, *, upgrade: bool = False, allow_pickle: bool = False, progress: Progress = SILENT
) -> tuple[str, ...]:
    """Bring mlship.lock up to date without building into a registry; returns the parts that changed.

    Everything is tried as in a build, for the lock holds what a build finds out. `upgrade` takes the newest
    packages and records everything anew.
    """
    before = read_lock(project)
    with _scratch() as folder:
        lock, _, _ = _Build(project, before, folder, upgrade, progress, allow_pickle=allow_pickle).run()
    changed = _changed(before, lock)
    if changed:
        write_atomically(project.lock_file, lock_text(lock))
    return changed


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for one build; what the ground floor or the disk refuses meanwhile leaves as BuildError."""
    try:
        with tempfile.TemporaryDirectory(prefix="mlship-build-") as folder:
            yield Path(folder)
    except RuntimeFault as fault:
        raise BuildError(fault.what, cause=fault.cause, fix=fault.fix) from fault
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        raise BuildError(
            f"the build could not read or write{place}",
            cause=error.strerror or str(error),
            fix="Free some space or correct the permissions, then build again",
        ) from error


class _Build:
    """One run in a scratch folder; `before` is the lock as it is, `kept` what of it may be repeated."""

    def __init__(
        self,
        project: Project,
        before: Lock | None,
        folder: Path,
        upgrade: bool,
        progress: Progress,
        shard_bytes: int = SHARD_BYTES,
        allow_pickle: bool = False,
    ) -> None:
        self.project = with_graph_inputs(with_signature(project))
        self.before, self.upgrade = before, upgrade
        self.shard_bytes, self.allow_pickle = shard_bytes, allow_pickle
        self.unconverted: Converted | None = None
        self.kept = None if upgrade else before
        self.folder, self.progress = folder, progress

    def run(self) -> tuple[Lock, list[Layer], Content]:
        """The lock as it must be now, the bundle's layers, and what its spec says."""
        refuse_secrets(self.project, {})
        found = self.project.model.engine == "python" and find(self.project, allow_pickle=self.allow_pickle)
        card = read_card(self.project)
        examples = read_examples(self.project)
        self.progress.say(f"Read {examples.rows} examples, {len(examples.schema)} columns")
        if found:
            self._leave(examples, found)
        ground_floor = ground_floor_layer()
        settled = settle(
            self.project,
            self.before.runtime if self.before else None,
            ground_floor.digest,
            upgrade=self.upgrade,
            progress=self.progress,
        )
        runtime = [ground_floor, *self._runtime_layers(settled)]
        reduced = self._reduced(examples, ground_floor, settled)
        proved = self._first_proved(examples, ground_floor, settled, reduced)
        converted, own, answers, parity = proved.converted, proved.own, proved.answers, proved.parity
        inputs = self._inputs(examples, own, settled.locked)
        kept = self.kept
        if kept and kept.golden and kept.parity and dict(kept.golden.inputs) == inputs:
            # Nothing has changed: what another processor finds in the last digits is not packed.
            golden.check_locked(self.project, kept.golden, answers.outputs)
            recorded, parity = kept.golden, kept.parity
        else:
            recorded = self._record(examples, converted, answers, inputs)
            tried = Content(self.project, examples, converted, settled.locked)
            try_elsewhere(
                tried, [*own, *runtime], settled.locked, recorded, self.folder, progress=self.progress
            )
        document = encode(golden.golden_document(examples, recorded))
        layers = [
            *own,
            *runtime,
            write_layer(self.folder / "golden.tar", "golden", [(GOLDEN_PATH, document)]),
        ]
        lock = Lock(
            runtime=settled.locked,
            model=LockedModel(
                graph=model_digest(own),
                precision=converted.precision,
                opset=converted.opset,
                converter=dict(converted.converter),
            ),
            parity=parity,
            golden=recorded,
        )
        final = Content(
            self.project,
            examples,
            converted,
            settled.locked,
            recorded.outputs,
            len(recorded.rows),
            {**recorded.seen, "inputs": seen.of_inputs(self.project, examples.tensors)},
            parity,
        )
        return lock, [*layers, write_card(final, layers, card, self.folder)], final

    def _leave(self, examples: Examples, found: Found) -> None:
        """Take the model as it is; what it needs is resolved with what the project states."""
        self.progress.phase("take")
        self.unconverted = leave(self.project, examples, found, self.folder)
        assert self.unconverted.unconverted is not None  # noqa: S101 - leave() gives it
        stated = self.project.runtime
        needed = (*stated.requirements, *self.unconverted.unconverted.packages)
        runtime = msgspec.structs.replace(stated, requirements=needed)
        self.project = msgspec.structs.replace(self.project, runtime=runtime)

    def _reduced(self, examples: Examples, ground_floor: Layer, settled: Settled) -> Reduced | None:
        """What [reduction] graph makes of the examples: the graph is taken and tried as a model is."""
        project, folder = as_model(self.project), self.folder / "reduction"
        if project is None:
            return None
        folder.mkdir()
        try:
            found = convert(project, examples, PRECISIONS[0], folder, anew=self.upgrade)
            if found.shards:
                raise BuildError("it has more weights than a reduction may have", cause="64 MiB are allowed")
            layers = [*model_layers(found, folder), ground_floor]
            content = Content(project, examples, found, settled.locked)
            answers = self._try(content, layers, settled, folder)
            check_rows(answers.outputs, examples.rows)
            alone = [examples.rows // 2]
            check_alone(answers.outputs, self._try(content, layers, settled, folder, alone).outputs, alone)
        except BuildError as error:
            where = self.project.where("reduction", "graph")
            raise BuildError(f"{where}: {error.what}", cause=error.cause, fix=error.fix) from error
        graph = Reducing(found.graph, found.assemble, found.opset, found.converter)
        return Reduced(graph, answers.outputs)

    def _first_proved(
        self, examples: Examples, ground_floor: Layer, settled: Settled, reduced: Reduced | None
    ) -> _Proved:
        """The conversion in the first precision that is proved equal to the original; if none is, the error
        of the first. A scaler in front of a forest often needs FP64, which costs the others speed."""
        if self.unconverted:
            return self._proved(examples, ground_floor, settled, self.unconverted.precision, None)
        order = [self.kept.model.precision] if self.kept and self.kept.model else []
        first: BuildError | None = None
        for precision in dict.fromkeys([*order, *PRECISIONS]):
            try:
                return self._proved(examples, ground_floor, settled, precision, reduced)
            except Disparity as error:
                first = first or error
                self.progress.say(f"Numbers in {precision} do not answer as the original")
            except BuildError:
                if first is None:
                    raise
        raise first or AssertionError("there is at least one precision")

    def _proved(
        self,
        examples: Examples,
        ground_floor: Layer,
        settled: Settled,
        precision: str,
        reduced: Reduced | None,
    ) -> _Proved:
        folder = self.folder / precision
        folder.mkdir()
        if self.unconverted:
            converted = self.unconverted
        else:
            self.progress.phase("convert")
            converted = convert(
                self.project, examples, precision, folder, self.shard_bytes, reduced, anew=self.upgrade
            )
        self.progress.say(_conversion(converted))
        own = self._own_layers(converted, folder)
        content = Content(self.project, examples, converted, settled.locked)
        answers = self._try(content, [*own, ground_floor], settled, folder)
        parity = self._prove(converted, answers)
        self._prove_fused(converted, answers)
        return _Proved(converted, own, answers, parity)

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

    def _runtime_layers(self, settled: Settled) -> list[Layer]:
        runtime = settled.locked
        wheels = [wheel for name in runtime.platforms for wheel in runtime.wheels(name)]
        fetch(wheels, settled.urls, runtime.python, self.progress)
        self.progress.phase("pack", len(runtime.platforms))
        layers = []
        for name in sorted(runtime.platforms):
            layers += platform_layers(named(name), runtime.wheels(name), runtime.trim)
            self.progress.advance()
        return layers

    def _try(
        self,
        content: Content,
        layers: Sequence[Layer],
        settled: Settled,
        folder: Path,
        rows: Sequence[int] | None = None,
    ) -> Recorded:
        platform, wheels, urls = for_this_machine(settled)
        fetch(wheels, urls, settled.locked.python, self.progress)
        runtime = platform_layers(platform, wheels, settled.locked.trim)
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

    def _record(
        self, examples: Examples, converted: Converted, answers: Recorded, inputs: dict[str, str]
    ) -> LockedGolden:
        rows = golden.choose(self.project, examples, answers.outputs, converted.margins)
        self.progress.say(f"Recorded the answers to {len(rows)} golden examples")
        found = {
            "reduced": seen.of_reduced(self.project, answers.reduced),
            "outputs": seen.of_outputs(self.project, answers.outputs),
        }
        return golden.recorded(inputs, rows, answers.outputs, found)

    def _inputs(self, examples: Examples, own: Sequence[Layer], runtime: LockedRuntime) -> dict[str, str]:
        """Digests of all that the recorded numbers depend on."""
        tolerance = self.project.golden.tolerance
        models = [layer.digest for layer in own if layer.role == "model"]
        settings = [self.project.golden.rows, self.project.golden.seed, tolerance.abs, tolerance.rel]
        return {
            "examples": examples.digest,
            "runtime": runtime.digest,
            "settings": sha256(encode([*settings, *seen.hidden(self.project)])),
            "model": sha256(encode(models)) if len(models) > 1 else models[0],
            **{layer.role: layer.digest for layer in own if layer.role != "model"},
        }


def _changed(before: Lock | None, after: Lock) -> tuple[str, ...]:
    return tuple(before.differs(after)) if before else ("runtime", "model", "parity", "golden")


def _not_as_locked(before: Lock, after: Lock, changed: Sequence[str]) -> BuildError:
    one, two = before.runtime, after.runtime
    if one.ground_floor != two.ground_floor:
        return BuildError(
            f"mlship.lock was written by another mlship ({one.mlship}, this is {two.mlship})",
            cause="what mlship itself puts into the bundle is not the same",
            fix=f"Install mlship-toolchain=={one.mlship}, or build without --locked and commit mlship.lock",
        )
    return BuildError(
        "mlship.lock does not fit the project",
        cause=f"these parts would change: {', '.join(changed)}",
        fix="Build without --locked, look at the changes, and commit mlship.lock",
    )


def _conversion(converted: Converted) -> str:
    size = converted.size / 1e3
    if converted.unconverted:
        return f"Took the model as it is, {size:.0f} kB ({converted.unconverted.found.serialization})"
    if not converted.reference:
        return f"Took the ONNX model as it is, {size:.0f} kB"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(converted.converter.items()))
    done = "Kept the model's conversion" if converted.of_before else "Converted the model"
    return f"{done} to ONNX, {size:.0f} kB ({versions})"
