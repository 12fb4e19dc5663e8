"""The gate `quality`, where the rows are: a bundle answers them well enough, here and now.

The rows stay where they are: in no bundle, in no registry. What goes along is an attestation: the digest of
the rows, the metric, its value and the bounds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.open import OpenBundle, open_bundle
from mlship.bundle.quality.answers import answers_to
from mlship.bundle.quality.asked import Asked, asked_of, quality_of
from mlship.bundle.quality.held_out import HeldOut, read_held_out
from mlship.bundle.quality.metrics import Undefined, measure
from mlship.bundle.rows.examples import Tensor
from mlship.bundle.rows.record import record
from mlship.bundle.rows.trial import BOOT
from mlship.config import Project
from mlship.errors import PolicyError
from mlship.ops.attested import Rated, attested, check_bounds, named, question_of
from mlship.ops.context import Context
from mlship.ops.unpacked import unpacked_here
from mlship.reference import Reference
from mlship.store.records import whoami
from mlship.trust.quality import ATTACHED_AS, UNSIGNED_AS, Compared, Quality, Question
from mlship_runtime.bundle.tree import open_tree
from mlship_runtime.bundle.verify import verify_tree
from mlship_runtime.supervision.spawn import clean_environment

if TYPE_CHECKING:
    from mlship.registry.protocol import Registry
    from mlship.trust.private import PrivateKey

_BOUNDS = ("min", "max", "margin")


def measured_quality(
    ctx: Context, signed_by: Sequence[str], bundle: OpenBundle, registry: Registry, key: PrivateKey | None
) -> str:
    """What the bundle reaches on the held-out rows, here and now; or, if a trusted key attests that already,
    what that says. A new result is attached to the bundle, as an attestation if there is a `key`.

    Raises ConfigError for rows or a metric that do not fit, PolicyError if the bundle is not good enough,
    BundleError if it does not answer.
    """
    project, section = ctx.project, quality_of(ctx.project)
    assert project is not None  # noqa: S101 - it has the section
    asked = asked_of(project, bundle.spec)
    held_out = read_held_out(project, bundle.spec, asked)
    asked = asked.about(project, held_out.truth)
    question = question_of(project, section, asked)
    other = named(registry, bundle, section)
    for name, found in attested(project, signed_by, bundle, question):
        with suppress(PolicyError):
            check_bounds(Rated(section, asked, found), bundle)
            if _same_comparison(found, bundle, other):
                return f"{Rated(section, asked, found).words}, as {name} attests"
    rated = _measured(ctx, signed_by, bundle, registry, (asked, held_out, question), other)
    check_bounds(rated, bundle)
    statement = rated.found.statement(bundle.digest)
    if key:
        registry.attach(bundle.reference.name, bundle.digest, ATTACHED_AS, key.sign_statement(statement))
    else:
        registry.attach(bundle.reference.name, bundle.digest, UNSIGNED_AS, statement)
    return f"{rated.words}{_comparison(rated, other)}{'' if key else '; noted, but not signed (--key)'}"


def _measured(
    ctx: Context,
    signed_by: Sequence[str],
    bundle: OpenBundle,
    registry: Registry,
    what: tuple[Asked, HeldOut, Question],
    other: str | None,
) -> Rated:
    asked, held_out, question = what
    project, section = ctx.project_or_error(), quality_of(ctx.project)
    compared = None
    if other and other != bundle.digest:
        against = open_bundle(registry, Reference(bundle.reference.name, digest=other))
        known = next(attested(project, signed_by, against, question), None)
        value = known[1].value if known else _value(ctx, against, *_again(project, against))
        compared = Compared(other, value)
    bounds = {name: getattr(section, name) for name in _BOUNDS if getattr(section, name) is not None}
    found = Quality(
        question=question,
        count=held_out.rows,
        value=_value(ctx, bundle, asked, held_out),
        bounds=bounds if compared else {name: bounds[name] for name in bounds if name != "margin"},
        compared=compared,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        by=whoami(),
    )
    return Rated(section, asked, found)


def _again(project: Project, bundle: OpenBundle) -> tuple[Asked, HeldOut]:
    """The same rows as another bundle takes them."""
    asked = asked_of(project, bundle.spec)
    held_out = read_held_out(project, bundle.spec, asked)
    return asked.about(project, held_out.truth), held_out


def _value(ctx: Context, bundle: OpenBundle, asked: Asked, held_out: HeldOut) -> float:
    section = quality_of(ctx.project)
    with tempfile.TemporaryDirectory(prefix="mlship-quality-") as scratch:
        release, python = unpacked_here(ctx, bundle, Path(scratch))
        with as_bundle_error():
            tree = open_tree(release)
            verify_tree(tree)
        boot, reduction = Path(tree.path(BOOT)), bundle.spec.reduction or {}
        ctx.progress.phase(f"measuring {bundle.reference}", held_out.rows)

        def ask(batch: Sequence[Tensor]) -> Sequence[Tensor]:
            given = record([python], boot, release, batch, reduction.get("module"), clean_environment())
            ctx.progress.advance(batch[0]["shape"][0])
            return given.outputs

        answered = answers_to(held_out, asked, ask, str(bundle.reference))
    try:
        return measure(section.metric, answered)
    except Undefined as error:
        project = ctx.project_or_error()
        what = f"= {section.metric} has no value for these rows"
        raise project.error("quality", "metric", what=what, cause=str(error)) from error


def _comparison(rated: Rated, other: str | None) -> str:
    tag, compared = rated.section.not_worse_than, rated.found.compared
    if tag is None:
        return ""
    if compared:
        return f" ({tag}: {compared.value:.6g})"
    return f" (which is {tag} already)" if other else f" (there is no {tag} yet to compare with)"


def _same_comparison(found: Quality, bundle: OpenBundle, other: str | None) -> bool:
    compared = found.compared.digest if found.compared else None
    return other == bundle.digest or compared == other
