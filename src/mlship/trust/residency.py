"""Whether a bundle may cross from one domain to another: pure, the same for any order of rules and policies.

Every policy decides for itself, and one that refuses is enough. So a policy more, or a stricter one, never
allows more. In each policy:

1. a label that it requires and the bundle does not carry: refused;
2. a deny rule that fits, within a domain, too: refused;
3. within one domain: allowed;
4. each sensitive label needs an allow rule of its own that fits: without one, refused.

A place that states no domain is in none, and no allow rule fits it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from mlship.errors import PolicyError
from mlship.reference import FILE_DOMAIN
from mlship.result import Result
from mlship.trust.policy import ANY, Allow, Deny, Policy

SENSITIVITY = "sensitivity"  # the label that is sensitive in every policy, unless its value is:
HARMLESS = "none"
BUILT_IN = "mlship"  # whose decision it is where there is no policy
SYNTHETIC_ROWS = 'rows made from the schema: [golden] from = "synthetic"'


class Label(NamedTuple):
    """A name and a value, of a bundle or of the examples that it carries."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


class Crossing(NamedTuple):
    """From which domain to which (empty: not stated), with which labels; `stays` if it is one place, whatever
    its domain."""

    source: str
    to: str
    labels: frozenset[Label]
    stays: bool = False

    @property
    def is_within(self) -> bool:
        """Whether it stays in one domain."""
        return self.stays or self.source == self.to != ""

    @property
    def is_unspoken(self) -> bool:
        """Whether, without a policy, nobody has a say: it stays, or neither end states a domain."""
        return self.stays or self.source == self.to or {self.source, self.to} <= {"", FILE_DOMAIN}


class Verdict(Result, frozen=True, kw_only=True):
    """What one policy says: by which rule, why, and what would be needed (of a refusal)."""

    allowed: bool
    policy: str
    rule: str
    why: str
    needed: str = ""


class Decision(Result, frozen=True, kw_only=True):
    """Of all policies together, each with its own verdict; `verdict` is the one that decides."""

    verdict: Verdict
    verdicts: tuple[Verdict, ...]

    @property
    def allowed(self) -> bool:
        return self.verdict.allowed


def decide(crossing: Crossing, policies: Iterable[Policy]) -> Decision:
    """Allowed if every policy allows it. Without any policy, what is sensitive stays in its domain."""
    found = sorted(
        (_by_policy(crossing, policy) for policy in policies),
        key=lambda verdict: (verdict.allowed, verdict.policy, verdict.rule, verdict.why),
    )
    verdicts = tuple(found) or (_without_policy(crossing),)
    return Decision(verdict=verdicts[0], verdicts=verdicts)


def _by_policy(crossing: Crossing, policy: Policy) -> Verdict:
    missing = sorted(set(policy.head.require_labels) - {label.name for label in crossing.labels})
    if missing:
        return _refused(
            policy.name,
            "require_labels",
            f"the bundle does not say its {missing[0]}",
            f"build it with {missing[0]} in labels of [bundle]",
        )
    for name, rule in sorted(policy.deny.items()):
        if _denies(rule, crossing):
            needed = "another place, or a bundle without what the rule names"
            return _refused(policy.name, f"deny.{name}", rule.why or _said(crossing), needed)
    if crossing.is_within:
        return Verdict(
            allowed=True, policy=policy.name, rule="domain", why=f"it stays within {shown(crossing.source)}"
        )
    return _by_labels(crossing, policy.name, policy.head.sensitive, policy.allow)


def _without_policy(crossing: Crossing) -> Verdict:
    if crossing.is_unspoken:
        return Verdict(allowed=True, policy=BUILT_IN, rule="domain", why="it leaves no domain that is stated")
    return _by_labels(crossing, BUILT_IN, {}, {})


def _by_labels(
    crossing: Crossing, policy: str, sensitive: Mapping[str, Collection[str]], allow: Mapping[str, Allow]
) -> Verdict:
    used: set[str] = set()
    for label in sorted(crossing.labels):
        if not is_sensitive(label, sensitive):
            continue
        fitting = [name for name, rule in sorted(allow.items()) if _allows(rule, label, crossing)]
        if not fitting:
            return _refused(
                policy,
                "sensitive",
                f"{label} is sensitive, and no rule lets it go{_way(crossing)}",
                _needed(label, crossing),
            )
        used.add(f"allow.{fitting[0]}")
    if not used:
        return Verdict(allowed=True, policy=policy, rule="sensitive", why="no label of it is sensitive")
    why = "; ".join(allow[rule.removeprefix("allow.")].why or _said(crossing) for rule in sorted(used))
    return Verdict(allowed=True, policy=policy, rule=", ".join(sorted(used)), why=why)


def is_sensitive(label: Label, sensitive: Mapping[str, Collection[str]]) -> bool:
    """Whether a label may cross by an allow rule only."""
    always = label.name == SENSITIVITY and label.value != HARMLESS
    return always or _in(label.value, sensitive.get(label.name, ()))


def _denies(rule: Deny, crossing: Crossing) -> bool:
    if not _in(crossing.source, rule.source) or not _in(crossing.to, rule.to):
        return False
    return not rule.labels or any(_in(x.value, rule.labels.get(x.name, ())) for x in crossing.labels)


def _allows(rule: Allow, label: Label, crossing: Crossing) -> bool:
    if not crossing.source or not crossing.to or not _in(label.value, rule.labels.get(label.name, ())):
        return False
    return _in(crossing.source, rule.source) and _in(crossing.to, rule.to)


def _in(word: str, words: Collection[str]) -> bool:
    return ANY in words or word in words


def _refused(policy: str, rule: str, why: str, needed: str) -> Verdict:
    return Verdict(allowed=False, policy=policy, rule=rule, why=why, needed=needed)


def _needed(label: Label, crossing: Crossing) -> str:
    for end, domain in (("it comes from", crossing.source), ("it goes to", crossing.to)):
        if not domain:
            return f"a domain for the place that {end}, and an allow rule for {label}"
    return (
        f'an allow rule with labels = {{ {label.name} = ["{label.value}"] }}, '
        f'from = ["{crossing.source}"], to = ["{crossing.to}"]'
    )


def _said(crossing: Crossing) -> str:
    return f"it goes{_way(crossing)}"


def _way(crossing: Crossing) -> str:
    return f" from {shown(crossing.source)} to {shown(crossing.to)}"


def shown(domain: str) -> str:
    """A domain in a sentence."""
    return domain or "a place without a domain"


def with_examples(crossing: Crossing, examples: frozenset[Label], policies: Collection[Policy]) -> Decision:
    """`decide` for a bundle that carries rows with labels of their own. Where it is they alone that may not
    cross, what is needed are rows that nobody has lived."""
    decision = decide(crossing._replace(labels=crossing.labels | examples), policies)
    if decision.allowed or not examples or not decide(crossing, policies).allowed:
        return decision
    needed = replace(decision.verdict, needed=SYNTHETIC_ROWS)
    return Decision(verdict=needed, verdicts=(needed, *decision.verdicts[1:]))


def refusal(verdict: Verdict, what: str, to: str) -> PolicyError:
    """The error for a crossing that is refused."""
    return PolicyError(
        f"{what} may not go to {to}: {verdict.policy} refuses it by {verdict.rule}",
        cause=verdict.why,
        fix=f"It needs {verdict.needed}; see mlship policy explain",
    )
