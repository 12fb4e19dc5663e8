"""The planner of several hosts, as data: what is seen on each and wanted -> turns of steps."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from test_hosted_plan import A, B, C, observed, release, wanted

from mlship.errors import TargetError
from mlship.target.deployment import Deployment, OnHost, Wanted
from mlship.target.hosted_plan import plan_hosted
from mlship.target.plan import Action
from mlship.target.several_plan import plan_several
from mlship.target.several_seen import drawn_together

UP = release(1, A, "serving")
LIVE = observed(UP, live=1)
EMPTY = observed()
FRESH = "send send send stage open start{n} prove{n}"
NEXT = "send send stage start{n} prove{n}"


def everywhere(want: Wanted, *hosts: str) -> Wanted:
    return msgspec.structs.replace(want, hosts=dict.fromkeys(hosts, want))


def each(**hosts: Deployment) -> Deployment:
    return drawn_together("churn", [OnHost(host=host, seen=seen) for host, seen in hosts.items()])


def turns(actions: tuple[Action, ...]) -> list[dict[str, str]]:
    """Of every turn the steps on each host."""
    found: dict[int, dict[str, list[str]]] = {}
    for action in actions:
        number = (
            action.arguments.get("release", "")
            if action.verb in ("start", "prove", "shift", "settle")
            else ""
        )
        found.setdefault(action.turn, {}).setdefault(action.host, []).append(f"{action.verb}{number}")
    assert list(found) == sorted(found), "turns come in their order"
    return [{host: " ".join(steps) for host, steps in turn.items()} for turn in found.values()]


def planned(want: Wanted | None, seen: Deployment, wave: int = 1) -> tuple[Action, ...]:
    def plan_on(_: str, one: Wanted | None, here: Deployment, number: int | None) -> tuple[Action, ...]:
        return plan_hosted(one, here, port=0, host="127.0.0.1", number=number)

    return plan_several(want, seen, wave=wave, plan_on=plan_on)


def all_of(steps: str, hosts: str = "ab", n: int = 1) -> dict[str, str]:
    return dict.fromkeys(hosts, steps.format(n=n))


TAKE = all_of("take")
CASES: dict[str, tuple[Wanted | None, Deployment, int, list[dict[str, str]]]] = {
    "first deploy: ready and proved on both before any has traffic": (
        everywhere(wanted(), "a", "b"),
        each(a=EMPTY, b=EMPTY),
        1,
        [TAKE, all_of(FRESH), {"a": "shift1 settle1"}, {"b": "shift1 settle1"}],
    ),
    "upgrade in one wave": (
        everywhere(wanted(), "a", "b"),
        each(a=LIVE, b=LIVE),
        2,
        [TAKE, all_of(NEXT, n=2), all_of("shift2 settle2")],
    ),
    "three hosts in waves of two": (
        everywhere(wanted(), "a", "b", "c"),
        each(a=LIVE, b=LIVE, c=LIVE),
        2,
        [
            all_of("take", "abc"),
            all_of(NEXT, "abc", 2),
            all_of("shift2 settle2", "ab"),
            {"c": "shift2 settle2"},
        ],
    ),
    "nothing to do": (everywhere(wanted(A), "a", "b"), each(a=LIVE, b=LIVE), 1, []),
    "a host that is new gets the release under its number, and the other nothing": (
        everywhere(wanted(A), "a", "b"),
        each(a=LIVE, b=EMPTY),
        1,
        [TAKE, {"b": FRESH.format(n=1)}, {"b": "shift1 settle1"}],
    ),
    "a host that is behind, too": (
        everywhere(wanted(B), "a", "b"),
        each(a=observed(release(1, A, "stopped"), release(2, B, "serving"), live=2), b=LIVE),
        1,
        [TAKE, {"b": NEXT.format(n=2)}, {"b": "shift2 settle2"}],
    ),
    "an empty one in the first place": (
        everywhere(wanted(A), "a", "b"),
        each(a=EMPTY, b=LIVE),
        1,
        [TAKE, {"a": FRESH.format(n=1)}, {"a": "shift1 settle1"}],
    ),
    "a number that is another's there is not used: both get a new one": (
        everywhere(wanted(A), "a", "b"),
        each(a=LIVE, b=observed(release(1, C, "serving"), live=1)),
        1,
        [TAKE, all_of(NEXT, n=2), {"a": "shift2 settle2"}, {"b": "shift2 settle2"}],
    ),
    "one bundle under two numbers gets one": (
        everywhere(wanted(A), "a", "b"),
        each(a=LIVE, b=observed(release(4, A, "serving"), live=4)),
        1,
        [TAKE, {"b": NEXT.format(n=1)}, {"b": "shift1 settle1"}],
    ),
    "broken off between two waves: finished": (
        everywhere(wanted(B), "a", "b"),
        each(
            a=observed(release(1, A, "stopped"), release(2, B, "serving"), live=2),
            b=observed(UP, release(2, B, "ready", served=False), live=1),
        ),
        1,
        [TAKE, {"b": NEXT.format(n=2)}, {"b": "shift2 settle2"}],
    ),
    "broken off between two waves: back, under the number that is still live": (
        everywhere(wanted(A), "a", "b"),
        each(
            a=observed(release(1, A, "stopped"), release(2, B, "serving"), live=2),
            b=observed(UP, release(2, B, "ready", served=False), live=1),
        ),
        1,
        [TAKE, {"a": NEXT.format(n=1), "b": "remove"}, {"a": "shift1 settle1"}],
    ),
    "both back: a number for both": (
        everywhere(wanted(A), "a", "b"),
        each(
            a=observed(release(1, A, "stopped"), release(2, B, "serving"), live=2),
            b=observed(release(1, A, "stopped"), release(2, B, "serving"), live=2),
        ),
        1,
        [TAKE, all_of(NEXT, n=3), {"a": "shift3 settle3"}, {"b": "shift3 settle3"}],
    ),
    "candidates that wait on both are used": (
        everywhere(wanted(B), "a", "b"),
        each(
            a=observed(UP, release(2, B, "ready", served=False), live=1),
            b=observed(UP, release(2, B, "staged", served=False), live=1),
        ),
        1,
        [TAKE, all_of(NEXT, n=2), {"a": "shift2 settle2"}, {"b": "shift2 settle2"}],
    ),
    "a candidate that failed on one is staged again there": (
        everywhere(wanted(B), "a", "b"),
        each(
            a=observed(UP, release(2, B, "ready", served=False), live=1),
            b=observed(UP, release(2, B, "failed", served=False), live=1),
        ),
        2,
        [
            TAKE,
            {"a": NEXT.format(n=2), "b": "remove " + NEXT.format(n=2)},
            all_of("shift2 settle2"),
        ],
    ),
    "each back to its own": (
        msgspec.structs.replace(wanted(A), hosts={"a": wanted(A), "b": wanted(C), "c": None}),
        each(
            a=observed(release(1, A, "stopped"), release(2, B, "serving"), live=2),
            b=observed(release(1, C, "stopped"), release(2, B, "serving"), live=2),
            c=observed(release(2, B, "serving"), live=2),
        ),
        3,
        [
            all_of("take", "abc"),
            {"a": NEXT.format(n=3), "b": NEXT.format(n=4), "c": "destroy"},
            {"a": "shift3 settle3", "b": "shift4 settle4"},
        ],
    ),
    "what is old goes when all have settled": (
        everywhere(wanted(B, keep=0), "a", "b"),
        each(a=LIVE, b=LIVE),
        1,
        [TAKE, all_of(NEXT, n=2), {"a": "shift2 settle2"}, {"b": "shift2 settle2"}, all_of("remove")],
    ),
    "a supervisor that is gone is started on its host": (
        everywhere(wanted(A), "a", "b"),
        each(a=LIVE, b=observed(UP, live=1, supervisor=False)),
        1,
        [TAKE, {"b": "open"}, {"b": "settle1"}],
    ),
    "removed, and last from the first": (
        None,
        each(a=LIVE, b=LIVE, c=EMPTY),
        1,
        [all_of("take"), {"b": "destroy"}, {"a": "destroy"}],
    ),
    "nothing to remove": (None, each(a=EMPTY, b=EMPTY), 1, []),
}


@pytest.mark.parametrize("case", CASES)
def test_plan(case: str) -> None:
    want, seen, wave, steps = CASES[case]
    actions = planned(want, seen, wave)
    assert turns(actions) == steps
    assert len({action.name for action in actions}) == len(actions)
    for action in actions:
        assert action.subject.endswith(f" on {action.host}")
        assert action.command.startswith(f"{action.host}: ")
    assert planned(want, seen, wave) == actions, "it is pure"


@pytest.mark.parametrize("want", [everywhere(wanted(A), "a", "b"), None])
def test_nothing_is_planned_on_some_of_the_hosts_only(want: Wanted | None) -> None:
    hosts = [OnHost(host="a", seen=LIVE), OnHost(host="b", seen=None, trouble="no route")]
    seen = drawn_together("churn", hosts)
    with pytest.raises(TargetError, match=r"b cannot be reached.*no route") as refused:
        planned(want, seen)
    assert "take it out of `hosts`" in refused.value.fix
    back = planned(want, seen.of_reached())
    assert {action.host for action in back} == ({"a"} if want is None else set()), "but for going back"


def test_what_several_hosts_run_as_one() -> None:
    behind = each(a=observed(release(1, A, "stopped"), release(2, B, "serving"), live=2), b=LIVE, c=EMPTY)
    assert (behind.live_number, behind.healthy, behind.exists, behind.last_number) == (2, False, True, 2)
    assert behind.problems == (
        "b runs release 1 of churn:1, not release 2 of churn:2 (the next deploy brings it there)",
        "c runs nothing, not release 2 of churn:2 (the next deploy brings it there)",
    )
    assert [(r.number, r.state, r.served) for r in behind.releases] == [
        (1, "stopped", False),
        (2, "serving", False),
    ], "it is not on all: nobody goes back to it"
    lost = drawn_together(
        "churn", [OnHost(host="a", seen=None, trouble="no route"), OnHost(host="b", seen=LIVE)]
    )
    assert (lost.live_number, lost.healthy, lost.problems) == (1, False, ("a cannot be reached: no route",))


def test_basis_moves_with_each_host() -> None:
    one = each(a=LIVE, b=LIVE)
    assert one.basis == each(a=LIVE, b=observed(release(1, A, "failed"), live=1, supervisor=False)).basis
    others: list[dict[str, Any]] = [
        {"a": LIVE, "b": EMPTY},
        {"a": LIVE, "c": LIVE},
        {"a": LIVE},
        {"a": LIVE, "b": observed(release(1, B, "serving"), live=1)},
    ]
    assert len({one.basis, *(each(**other).basis for other in others)}) == 5
