"""How results about policies look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlship.cli.blocks import Block, Facts, Line, Table
from mlship.cli.views import brief

if TYPE_CHECKING:
    from mlship.ops.policy import Audited, Explained, PolicySet, PolicyShown
    from mlship.trust.audit_log import Entry

NO_DOMAIN = "(no domain)"


def shown(result: PolicyShown) -> Iterator[Block]:
    yield Line(f"{result.name}, version {result.version}: the policy of {result.place}")
    signer = [("signed by", result.signer)] if result.signer else []
    yield Facts([("domain", result.domain), ("rules", ", ".join(result.rules) or "none"), *signer])
    yield Line("")
    yield from (Line(line) for line in result.text.splitlines())


def was_set(result: PolicySet) -> Iterator[Block]:
    if not result.changed:
        yield Line(f"{result.place} has this policy already, version {result.version}")
        return
    before = f" (it was version {result.before})" if result.before is not None else ""
    yield Line(f"{result.place} has the policy {result.name}, version {result.version}{before}")
    yield Facts([("domain", result.domain), ("signed", "yes" if result.signed else "no")])


def explained(result: Explained) -> Iterator[Block]:
    may = "may go" if result.allowed else "may not go"
    yield Line(f"{brief(result.reference)} {may} from {result.source} to {result.to}")
    rows = [("its rows", ", ".join(result.row_labels))] if result.row_labels else []
    needed = [("needed", result.needed)] if result.needed else []
    yield Facts(
        [
            ("domains", f"{result.source_domain or NO_DOMAIN} to {result.to_domain or NO_DOMAIN}"),
            ("labels", ", ".join(result.labels) or "none"),
            *rows,
            ("decided by", f"{result.policy}: {result.rule}"),
            ("why", result.why),
            *needed,
        ]
    )
    yield Table(
        "what each policy says",
        ("policy", "says", "rule", "why"),
        [(x.policy, "yes" if x.allowed else "no", x.rule, x.why) for x in result.verdicts],
    )


def audited(result: Audited) -> Iterator[Block]:
    if not result.entries:
        yield Line(f"nothing has crossed: {result.log} is empty")
    else:
        yield Table(
            "",
            ("number", "when", "by", "what", "bundle", "from", "to", "rule"),
            [_row(entry) for entry in result.entries],
            frozenset({0}),
        )
    if result.unfinished:
        numbers = ", ".join(str(number) for number in result.unfinished)
        yield Line(f"no end is known of number {numbers}: still going on, or broken off")
    if result.verified:
        yield Line(f"{len(result.entries)} records, each as it was written; the last is {result.last or '-'}")


def _row(entry: Entry) -> tuple[str, ...]:
    fact = entry.fact
    source, to = ((end.domain or NO_DOMAIN) if end else "" for end in (fact.source, fact.to))
    what = f"{fact.verb} {fact.kind}" + (f" (of {fact.of})" if fact.of else "")
    if fact.kind == "policy":
        what, rule = "policy set", ", ".join(fact.policies)
    else:
        rule = fact.rule
    return str(entry.sequence), entry.at, entry.by, what, brief(fact.reference), source, to, rule
