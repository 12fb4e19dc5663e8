"""Who may cross: a table, and what holds for every policy there could be."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.trust.policy import Allow, Deny, Head, Policy
from mlship.trust.residency import SYNTHETIC_ROWS, Crossing, Label, decide, with_examples

PERSONAL, INTERNAL, TEAM = (
    Label("sensitivity", "personal"),
    Label("sensitivity", "internal"),
    Label("team", "risk"),
)


def policy(
    allow: dict[str, Allow] | None = None, deny: dict[str, Deny] | None = None, name: str = "p", **more: Any
) -> Policy:
    head = Head(schema=1, name=name, version=1, domain="eu", **more)
    return Policy(head, allow or {}, deny or {})


def way(source: str, to: str, *labels: Label, stays: bool = False) -> Crossing:
    return Crossing(source, to, frozenset(labels), stays)


TO_CLOUD = Allow(labels={"sensitivity": ("internal",)}, source=("eu",), to=("cloud",))
ANYTHING = Allow(labels={"sensitivity": ("*",)}, source=("*",), to=("*",))
TABLE = {
    "nothing sensitive": (policy(), way("eu", "us", TEAM), True, "sensitive"),
    "no labels": (policy(), way("eu", "us"), True, "sensitive"),
    "sensitive, no rule": (policy(), way("eu", "us", PERSONAL), False, "sensitive"),
    "none is harmless": (policy(), way("eu", "us", Label("sensitivity", "none")), True, "sensitive"),
    "within": (policy(), way("eu", "eu", PERSONAL), True, "domain"),
    "in one place": (policy(), way("", "", PERSONAL, stays=True), True, "domain"),
    "two places without a domain": (policy(), way("", "", PERSONAL), False, "sensitive"),
    "allowed": (policy({"a": TO_CLOUD}), way("eu", "cloud", INTERNAL), True, "allow.a"),
    "another value": (policy({"a": TO_CLOUD}), way("eu", "cloud", PERSONAL), False, "sensitive"),
    "one of two": (policy({"a": TO_CLOUD}), way("eu", "cloud", INTERNAL, PERSONAL), False, "sensitive"),
    "the way back": (policy({"a": TO_CLOUD}), way("cloud", "eu", INTERNAL), False, "sensitive"),
    "any, to a domain": (policy({"a": ANYTHING}), way("eu", "us", PERSONAL), True, "allow.a"),
    "any, to a file": (policy({"a": ANYTHING}), way("eu", "file", PERSONAL), True, "allow.a"),
    "any, to nowhere": (policy({"a": ANYTHING}), way("eu", "", PERSONAL), False, "sensitive"),
    "any, from nowhere": (policy({"a": ANYTHING}), way("", "eu", PERSONAL), False, "sensitive"),
    "denied": (policy({"a": ANYTHING}, {"d": Deny(to=("us",))}), way("eu", "us"), False, "deny.d"),
    "denied within": (policy({}, {"d": Deny(to=("eu",))}), way("eu", "eu", TEAM), False, "deny.d"),
    "denied to nowhere": (policy({}, {"d": Deny()}), way("eu", ""), False, "deny.d"),
    "another one is denied": (policy({}, {"d": Deny(to=("us",))}), way("eu", "cloud"), True, "sensitive"),
    "denied by a label": (
        policy({}, {"d": Deny(labels={"team": ("risk",)})}), way("eu", "cloud", TEAM), False, "deny.d",
    ),
    "denied by another label": (
        policy({}, {"d": Deny(labels={"team": ("ads",)})}), way("eu", "cloud", TEAM), True, "sensitive",
    ),
    "also sensitive": (policy(sensitive={"team": ("risk",)}), way("eu", "cloud", TEAM), False, "sensitive"),
    "a label is missing": (
        policy({"a": ANYTHING}, require_labels=("x",)), way("eu", "cloud", TEAM), False, "require_labels",
    ),
    "a label is missing within": (
        policy(require_labels=("sensitivity",)), way("eu", "eu", stays=True), False, "require_labels",
    ),
    "the label is there": (
        policy(require_labels=("team",)), way("eu", "cloud", TEAM), True, "sensitive",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("one", "crossing", "allowed", "rule"), TABLE.values(), ids=TABLE)
def test_one_policy(one: Policy, crossing: Crossing, allowed: bool, rule: str) -> None:
    decision = decide(crossing, [one])
    assert (decision.allowed, decision.verdict.rule) == (allowed, rule)
    assert bool(decision.verdict.needed) is not allowed


def test_without_any_policy_the_sensitive_stays() -> None:
    assert decide(way("", "", PERSONAL), []).allowed
    assert decide(way("eu", "eu", PERSONAL), []).allowed
    assert decide(way("eu", "us", TEAM), []).allowed
    assert decide(way("", "file", PERSONAL), []).allowed
    assert not decide(way("eu", "file", PERSONAL), []).allowed
    assert not decide(way("eu", "us", PERSONAL), []).allowed
    assert not decide(way("", "us", PERSONAL), []).allowed


def test_every_policy_must_allow_it() -> None:
    mild, strict = policy({"a": ANYTHING}, name="mild"), policy(name="strict")
    decision = decide(way("eu", "us", PERSONAL), [mild, strict])
    assert (decision.allowed, decision.verdict.policy, len(decision.verdicts)) == (False, "strict", 2)


def test_where_it_is_the_rows_alone_that_is_what_is_said() -> None:
    crossing = way("eu", "us", TEAM)
    rows = frozenset({PERSONAL})
    assert with_examples(crossing, rows, [policy()]).verdict.needed == SYNTHETIC_ROWS
    bundle_too = with_examples(way("eu", "us", INTERNAL), rows, [policy()])
    assert not bundle_too.allowed
    assert bundle_too.verdict.needed != SYNTHETIC_ROWS
    assert with_examples(crossing, rows, [policy({"a": ANYTHING})]).allowed
    assert with_examples(crossing, frozenset(), [policy()]).allowed


FEW = settings(max_examples=40)
DOMAINS = st.sampled_from(["", "eu", "us", "cloud", "file"])
WORDS = st.sampled_from(["sensitivity", "team"])
VALUES = st.sampled_from(["none", "personal", "risk"])
LABELS = st.frozensets(st.builds(Label, WORDS, VALUES), max_size=3)
MATCHED = st.dictionaries(
    WORDS, st.lists(VALUES | st.just("*"), min_size=1, max_size=2).map(tuple), max_size=2
)
ENDS = st.lists(st.sampled_from(["*", "eu", "us", "cloud", "file"]), min_size=1, max_size=2).map(tuple)
ALLOWS = st.builds(Allow, labels=MATCHED, source=ENDS, to=ENDS)
DENIES = st.builds(Deny, labels=MATCHED, source=ENDS, to=ENDS)
RULES = st.sampled_from("abc")
POLICIES = st.builds(
    policy,
    st.dictionaries(RULES, ALLOWS, max_size=3),
    st.dictionaries(RULES, DENIES, max_size=2),
    name=st.sampled_from(["p", "q"]),
    sensitive=MATCHED,
    require_labels=st.lists(WORDS, max_size=1).map(tuple),
)
CROSSINGS = st.builds(Crossing, DOMAINS, DOMAINS, LABELS, st.just(False))


@FEW
@given(CROSSINGS, st.lists(POLICIES, max_size=2), POLICIES)
def test_a_policy_more_never_allows_more(crossing: Crossing, policies: list[Policy], more: Policy) -> None:
    """But for the first: what it says stands in place of the default."""
    if policies and decide(crossing, [*policies, more]).allowed:
        assert decide(crossing, policies).allowed


@FEW
@given(CROSSINGS, POLICIES, ALLOWS | DENIES, WORDS, VALUES)
def test_a_stricter_policy_never_allows_more(
    crossing: Crossing, one: Policy, rule: Allow | Deny, word: str, value: str
) -> None:
    stricter = [
        replace(one, deny={**one.deny, "z": Deny(labels=rule.labels, source=rule.source, to=rule.to)}),
        *(replace(one, allow={k: v for k, v in one.allow.items() if k != name}) for name in one.allow),
        replace(one, head=msgspec.structs.replace(one.head, require_labels=(*one.head.require_labels, word))),
        replace(
            one,
            head=msgspec.structs.replace(
                one.head, sensitive={**one.head.sensitive, word: (*one.head.sensitive.get(word, ()), value)}
            ),
        ),
    ]
    for other in stricter:
        if decide(crossing, [other]).allowed:
            assert decide(crossing, [one]).allowed


@FEW
@given(CROSSINGS, POLICIES, st.builds(Label, st.just("team"), VALUES))
def test_a_label_more_never_allows_more(crossing: Crossing, one: Policy, label: Label) -> None:
    """Unless it is one that the policy asks for."""
    one = replace(one, head=msgspec.structs.replace(one.head, require_labels=()))
    if decide(crossing._replace(labels=crossing.labels | {label}), [one]).allowed:
        assert decide(crossing, [one]).allowed


@FEW
@given(CROSSINGS, st.lists(POLICIES, max_size=3), st.randoms(use_true_random=False))
def test_the_order_means_nothing(crossing: Crossing, policies: list[Policy], dice: random.Random) -> None:
    def shuffled(table: dict[str, Any]) -> dict[str, Any]:
        items = list(table.items())
        dice.shuffle(items)
        return dict(items)

    others = [Policy(one.head, shuffled(dict(one.allow)), shuffled(dict(one.deny))) for one in policies]
    dice.shuffle(others)
    assert decide(crossing, others) == decide(crossing, policies)


@FEW
@given(CROSSINGS, POLICIES)
def test_the_sensitive_needs_a_rule(crossing: Crossing, one: Policy) -> None:
    """Deny by default: with no rule of any kind nothing sensitive leaves its domain."""
    bare = replace(one, allow={}, deny={})
    leaves = decide(crossing._replace(labels=frozenset({PERSONAL})), [bare])
    assert leaves.allowed is (crossing.is_within and "team" not in one.head.require_labels)
