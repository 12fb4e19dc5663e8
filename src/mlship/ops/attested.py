"""What trusted keys attest of a bundle's quality, held against what `[quality]` asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlship.bundle.open import OpenBundle
from mlship.bundle.quality.asked import Asked, asked_of, quality_of
from mlship.bundle.quality.held_out import files_digests
from mlship.bundle.quality.metrics import METRICS
from mlship.config import Project
from mlship.config.sections import QualitySection
from mlship.errors import PolicyError
from mlship.ops.context import Context
from mlship.result import Result
from mlship.trust.quality import ATTACHED_AS, Quality, Question, read_quality
from mlship.trust.roots import load_roots
from mlship_runtime.errors import InvalidBundle

if TYPE_CHECKING:
    from mlship.registry.protocol import Registry


@dataclass(frozen=True)
class Rated:
    """What a bundle reached, and what the project asks of it."""

    section: QualitySection
    asked: Asked
    found: Quality

    @property
    def words(self) -> str:
        return f"{self.section.metric} {self.found.value:.6g} on {self.found.count} rows"


class Attestation(Result, frozen=True, kw_only=True):
    """What the trusted key `name` attests: `value` of `metric` on `rows` rows, whose file has the sha256
    `rows_sha256`; in comparison with the bundle `compared_digest`, if there was one. `at` is UTC."""

    name: str
    metric: str
    value: float
    rows: int
    rows_sha256: str
    compared_digest: str | None
    compared_value: float | None
    at: str
    by: str


def attestations_of(ctx: Context, bundle: OpenBundle) -> tuple[Attestation, ...]:
    """The quality that keys of [trust] attest; what others say is left out."""
    if ctx.project is None:
        return ()
    found = attested(ctx.project, (), bundle, Question("", "", "", "", ""))
    return tuple(
        Attestation(
            name=name,
            metric=one.question.metric,
            value=one.value,
            rows=one.count,
            rows_sha256=one.question.rows,
            compared_digest=one.compared.digest if one.compared else None,
            compared_value=one.compared.value if one.compared else None,
            at=one.at,
            by=one.by,
        )
        for name, one in found
    )


def attested_quality(ctx: Context, signed_by: Sequence[str], bundle: OpenBundle, registry: Registry) -> str:
    """What a trusted key (of `signed_by`, if that names any) attests of the bundle. Raises PolicyError if
    none does, or what it attests is not what [quality] asks for."""
    project, section = ctx.project, quality_of(ctx.project)
    assert project is not None  # noqa: S101 - it has the section
    asked = asked_of(project, bundle.spec)
    current = named(registry, bundle, section)
    unfit = None
    for name, found in attested(project, signed_by, bundle, question_of(project, section, asked)):
        try:
            check_bounds(Rated(section, asked, found), bundle)
            _check_compared(section, found, bundle, current)
        except PolicyError as error:
            unfit = unfit or error
            continue
        return f"{Rated(section, asked, found).words}, as {name} attests"
    raise unfit or PolicyError(
        f"nobody who is trusted attests the quality of {bundle.reference}",
        cause=f"{section.metric} on the rows of [quality]",
        fix=f"Where the rows are: mlship promote {bundle.reference} TAG --require quality --key FILE",
    )


def question_of(project: Project, section: QualitySection, asked: Asked) -> Question:
    rows, answers = files_digests(project) or ("", "")
    return Question(section.metric, asked.output.name, asked.positive, rows, answers)


def attested(
    project: Project, signed_by: Sequence[str], bundle: OpenBundle, question: Question
) -> Iterator[tuple[str, Quality]]:
    """Name of a trusted key and what it says in answer to `question`, in which what is not known here is
    empty: nothing is asked about that."""
    roots = load_roots(project)
    if signed_by:
        roots = roots.only(signed_by)
    asked = {name: value for name, value in vars(question).items() if value}
    for envelope in bundle.attached(ATTACHED_AS):
        with suppress(InvalidBundle):
            key, found = read_quality(envelope, roots.trusted, bundle.digest)
            if asked.items() <= vars(found.question).items():
                yield roots.name_of(key.id), found


def check_bounds(rated: Rated, bundle: OpenBundle) -> None:
    section, found = rated.section, rated.found
    why = ""
    if section.min is not None and found.value < section.min:
        why = f"below min = {section.min:g}"
    if section.max is not None and found.value > section.max:
        why = f"above max = {section.max:g}"
    if section.margin is not None and found.compared:
        against = found.compared.value
        better = METRICS[section.metric].larger_is_better
        if (against - found.value if better else found.value - against) > section.margin:
            why = f"{section.not_worse_than} has {against:.6g}, and {section.margin:g} is the margin"
    if why:
        raise PolicyError(f"{bundle.reference} does not pass the gate quality: {rated.words}", cause=why)


def _check_compared(section: QualitySection, found: Quality, bundle: OpenBundle, current: str | None) -> None:
    """The tag may name this bundle by now, having been moved to it."""
    if section.not_worse_than is None or current in (None, bundle.digest):
        return
    if found.compared is None or found.compared.digest != current:
        raise PolicyError(
            f"the quality of {bundle.reference} is not compared with what {section.not_worse_than} is now",
            fix="Promote it again, where the rows are",
        )


def named(registry: Registry, bundle: OpenBundle, section: QualitySection) -> str | None:
    """The digest that the bundle must not be worse than."""
    if section.not_worse_than is None:
        return None
    tagged = registry.read_tag(bundle.reference.name, section.not_worse_than)
    return tagged.digest if tagged else None
