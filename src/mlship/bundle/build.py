"""From a project to a bundle: examples -> convert -> lock -> layers -> try -> golden -> publish."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mlship.bundle.archive import Layer, write_layer
from mlship.bundle.audit.card import read_card, write_card
from mlship.bundle.audit.room import check_budget
from mlship.bundle.audit.secrets import refuse_secrets
from mlship.bundle.document import GOLDEN_PATH, Content, row_labels, write_documents
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
from mlship.bundle.models.convert import Converted, leave
from mlship.bundle.models.mlflow import registered, with_signature
from mlship.bundle.models.model_layers import model_digest
from mlship.bundle.models.reducing import (
    with_graph_inputs,
)
from mlship.bundle.models.shards import SHARD_BYTES
from mlship.bundle.models.unconverted import Found, find
from mlship.bundle.packages.emulated import try_elsewhere
from mlship.bundle.packages.platforms import named
from mlship.bundle.packages.runtime import Settled, settle
from mlship.bundle.packages.runtime_layers import ground_floor_layer, platform_layers
from mlship.bundle.packages.wheels import fetch
from mlship.bundle.proving import Proved, Proving, Ways
from mlship.bundle.publish import BuildStore, publish
from mlship.bundle.rows import golden, seen
from mlship.bundle.rows.examples import Examples, read_examples
from mlship.bundle.rows.record import Recorded
from mlship.config import Project
from mlship.digest import sha256
from mlship.errors import BuildError
from mlship.progress import SILENT, Progress
from mlship.reference import Reference
from mlship_runtime.bundle.canonical import encode
from mlship_runtime.bundle.manifest import Manifest, read_manifest
from mlship_runtime.bundle.spec import Spec, read_spec
from mlship_runtime.errors import RuntimeFault


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
        self.kept = None if upgrade else before
        self.folder, self.progress = folder, progress

    def run(self) -> tuple[Lock, list[Layer], Content]:
        """The lock as it must be now, the bundle's layers, and what its spec says."""
        refuse_secrets(self.project, {})
        found = self.project.model.engine == "python" and find(self.project, allow_pickle=self.allow_pickle)
        card = read_card(self.project)
        examples = read_examples(self.project)
        self.progress.say(f"Read {examples.rows} examples, {len(examples.schema)} columns")
        taken = self._leave(examples, found) if found else None
        ground_floor = ground_floor_layer()
        settled = settle(
            self.project,
            self.before.runtime if self.before else None,
            ground_floor.digest,
            upgrade=self.upgrade,
            progress=self.progress,
        )
        runtime = [ground_floor, *self._runtime_layers(settled)]
        precision = self.kept.model.precision if self.kept and self.kept.model else None
        ways = Ways(self.shard_bytes, self.upgrade, precision)
        proving = Proving(self.project, examples, ground_floor, settled, self.folder, ways, self.progress)
        proved = proving.as_it_is(taken) if taken else proving.proved()
        converted, own = proved.converted, proved.own
        recorded, parity = self._recorded(examples, proved, runtime, settled.locked)
        recorded = replace(recorded, labels=row_labels(self.project))
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
                registered=registered(self.project),
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

    def _leave(self, examples: Examples, found: Found) -> Converted:
        """Take the model as it is; what it needs is resolved with what the project states."""
        self.progress.phase("take")
        taken = leave(self.project, examples, found, self.folder)
        assert taken.unconverted is not None  # noqa: S101 - leave() gives it
        stated = self.project.runtime
        runtime = replace(stated, requirements=(*stated.requirements, *taken.unconverted.packages))
        self.project = replace(self.project, runtime=runtime)
        return taken

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

    def _recorded(
        self, examples: Examples, proved: Proved, runtime: Sequence[Layer], locked: LockedRuntime
    ) -> tuple[LockedGolden, LockedParity]:
        """The golden answers and the parity that the lock is to hold: those that it has, when nothing has
        changed, for what another processor finds in the last digits is not packed."""
        inputs = self._inputs(examples, proved.own, locked)
        kept = self.kept
        if kept and kept.golden and kept.parity and dict(kept.golden.inputs) == inputs:
            golden.check_locked(self.project, kept.golden, proved.answers.outputs)
            return kept.golden, kept.parity
        recorded = self._record(examples, proved.converted, proved.answers, inputs)
        tried = Content(self.project, examples, proved.converted, locked)
        try_elsewhere(tried, [*proved.own, *runtime], locked, recorded, self.folder, progress=self.progress)
        return recorded, proved.parity

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
