"""What a build can tell of where its bundle may go: from its labels and the project's own rules alone."""

from __future__ import annotations

from collections.abc import Mapping

from mlship.bundle.document import row_labels
from mlship.config import Project
from mlship.errors import MlshipError
from mlship.ops.context import Context
from mlship.ops.places import Places, users_log
from mlship.trust.audit_log import End, Fact
from mlship.trust.residency import Crossing, Label, Verdict, refusal, with_examples

HERE = "this project"


def check_labels(ctx: Context) -> None:
    """Raise PolicyError (and note it) if the bundle may not even be here, or may go to none of the registries
    and targets of mlship.toml that state a domain; where it may go to some, the others are warned of."""
    places = Places(ctx)
    if ctx.project is None or not places.used:
        return
    project, name = ctx.project, str(ctx.project.reference)
    here = _refused(project, places, places.own_domain, stays=True)
    if here:
        _note(ctx, places, {HERE: here})
        raise refusal(here, name, HERE)
    ends = _ends(project)
    refused = {end: verdict for end, domain in ends.items() if (verdict := _refused(project, places, domain))}
    if refused and len(refused) == len(ends):
        _note(ctx, places, refused)
        (end, verdict), *more = refused.items()
        raise refusal(verdict, name, f"{end} (nor to {len(more)} more)" if more else end)
    ctx.warnings.extend(str(refusal(verdict, name, end)) for end, verdict in refused.items())


def _ends(project: Project) -> dict[str, str]:
    """The domain of each place that mlship.toml states one of."""
    return {
        f"the {kind} {name}": section.domain
        for kind, sections in (("registry", project.registries), ("target", project.targets))
        for name, section in sections.items()
        if section.domain
    }


def _refused(project: Project, places: Places, domain: str, *, stays: bool = False) -> Verdict | None:
    bundle, rows = _labels(project)
    policies = [places.own_policy] if places.own_policy else []
    decision = with_examples(Crossing(places.own_domain, domain, bundle, stays), rows, policies)
    return None if decision.allowed else decision.verdict


def _labels(project: Project) -> tuple[frozenset[Label], frozenset[Label]]:
    """Those of the bundle, and those of its rows."""
    bundle, rows = (
        frozenset(Label(*pair) for pair in labels.items())
        for labels in (project.bundle.labels, row_labels(project))
    )
    return bundle, rows


def _note(ctx: Context, places: Places, refused: Mapping[str, Verdict]) -> None:
    """That nothing was built, and for which places; a refusal is one also where it cannot be noted."""
    project = ctx.project_or_error()
    bundle, rows = _labels(project)
    ends = _ends(project)
    for end, verdict in refused.items():
        fact = Fact(
            kind="refused",
            verb="build",
            reference=str(project.reference),
            labels=tuple(str(label) for label in sorted(bundle | rows)),
            source=End(name=HERE, url="", domain=places.own_domain),
            to=End(name=end, url="", domain=ends.get(end, places.own_domain)),
            rule=f"{verdict.policy}: {verdict.rule}",
            why=verdict.why,
        )
        try:
            users_log().append(fact)
        except MlshipError as trouble:
            ctx.warnings.append(f"the refusal is not in {users_log().where}: {trouble}")
