"""`mlship build`: the project's bundle, in the project's own store."""

from __future__ import annotations

from typing import Any

from mlship.config import Project
from mlship.config.files import check_files
from mlship.ops.context import Context
from mlship.result import Result


class BuildReport(Result, frozen=True, kw_only=True):
    """What was built. `size` of all layers in bytes, `written` of those that were not in the store yet;
    `lock_changed` are the parts of mlship.lock that this build wrote; `model` is the form of its model: onnx,
    pickle or skops; `registered` is the version in MLflow that it was made from (models:/churn/3), if that is
    known."""

    reference: str
    digest: str
    layers: int
    size: int
    written: int
    platforms: tuple[str, ...]
    golden_rows: int
    parity_rows: int
    parity_max_abs: float
    model: str
    registered: str
    lock_changed: tuple[str, ...]


def build(
    ctx: Context, *, locked: bool = False, allow_pickle: bool = False, source: str | None = None
) -> BuildReport:
    """Build the project. `source` names a model in MLflow that is fetched before; `locked` refuses to change
    mlship.lock; `allow_pickle` lets a model travel that is not converted.

    Raises ConfigError for missing files, PolicyError for labels that may go nowhere, BuildError for whatever
    cannot become a bundle.
    """
    from mlship.bundle.audit.materials import materials_of
    from mlship.bundle.build import build_bundle
    from mlship.bundle.models.mlflow import registered_in
    from mlship.ops.labels import check_labels

    project = ctx.project_or_error()
    check_labels(ctx)
    if source is not None:
        from mlship.ops.fetch_model import fetch_for_build

        fetch_for_build(ctx, source, locked=locked)
    check_files(project)
    materials = materials_of(project)
    built = build_bundle(
        project, ctx.build_registry(), locked=locked, allow_pickle=allow_pickle, progress=ctx.progress
    )
    _keep_provenance(project, built.digest, materials, locked=locked)
    parity = built.spec.parity
    return BuildReport(
        reference=str(built.reference),
        digest=built.digest,
        layers=len(built.manifest.layers),
        size=built.size,
        written=built.sent,
        platforms=built.manifest.platforms,
        golden_rows=built.spec.golden["rows"],
        parity_rows=parity["rows"],
        parity_max_abs=parity["maxAbs"],
        model=built.spec.form,
        registered=registered_in(built.spec),
        lock_changed=built.changed,
    )


def _keep_provenance(project: Project, digest: str, materials: list[dict[str, Any]], *, locked: bool) -> None:
    """What the bundle was made of, for whoever signs it; of the last build that made it."""
    from importlib.metadata import version

    from mlship.bundle.lock import write_atomically
    from mlship.trust.provenance import predicate, record_file
    from mlship_runtime.bundle import canonical

    file = record_file(project.state, digest)
    said = predicate(materials, mlship=version("mlship-toolchain"), locked=locked)
    write_atomically(file, canonical.encode(said))
