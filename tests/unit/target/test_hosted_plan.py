"""The planner of hosted targets, as data: what is observed and wanted -> the verbs, in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlship.config.external import External
from mlship.host.local import LocalHost
from mlship.target.deployment import Deployment, LayerRef, ReleaseState, Wanted
from mlship.target.hosted import HostedAdapter
from mlship.target.hosted_plan import plan_hosted
from mlship.target.hosted_settings import HostedSettings
from mlship.target.protocol import Place

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
MODEL, RUNTIME = ("sha256:" + letter * 64 for letter in "de")
SETTINGS = {"workers": 1}


def wanted(digest: str = B, *, keep: int = 2, settings: dict[str, Any] | None = None) -> Wanted:
    return Wanted(
        reference="churn:2",
        digest=digest,
        service="churn",
        platform="linux-amd64-cp311-gnu2.28",
        settings=SETTINGS if settings is None else settings,
        layers=(
            LayerRef(digest=MODEL, size=10, title="model.tar"),
            LayerRef(digest=RUNTIME, size=99, title="runtime.tar"),
        ),
        documents=(LayerRef(digest=digest, size=1, title="manifest.json"),),
        keep=keep,
    )


def release(number: int, digest: str, state: str, *, served: bool = True) -> ReleaseState:
    return ReleaseState(
        number=number,
        digest=digest,
        reference=f"churn:{number}",
        settings_digest=wanted().settings_digest,
        state=state,  # type: ignore[arg-type]
        served=served,
    )


def observed(
    *releases: ReleaseState, live: int | None = None, supervisor: bool = True, incoming: bool = False
) -> Deployment:
    return Deployment(
        service="churn",
        releases=releases,
        live_number=live,
        last_number=max((r.number for r in releases), default=0),
        present=frozenset({RUNTIME}) if releases else frozenset(),
        exists=bool(releases),
        facts={"supervisor": supervisor and bool(releases), "incoming": incoming},
    )


FIRST = ["send model.tar", "send runtime.tar", "send manifest.json", "stage", "open", "start 1", "prove 1"]
UPGRADE = ["send model.tar", "send manifest.json", "stage", "start 2", "prove 2", "shift 2", "settle 2"]

CASES: dict[str, tuple[Wanted | None, Deployment, list[str]]] = {
    "first deploy": (wanted(), observed(), [*FIRST, "shift 1", "settle 1"]),
    "upgrade": (wanted(), observed(release(1, A, "serving"), live=1), UPGRADE),
    "nothing to do": (wanted(A), observed(release(1, A, "serving"), live=1), []),
    "nothing to do, with kept ones": (
        wanted(B),
        observed(release(1, A, "stopped"), release(2, B, "serving"), live=2),
        [],
    ),
    "other settings are another release": (
        wanted(A, settings={"workers": 2}),
        observed(release(1, A, "serving"), live=1),
        UPGRADE,
    ),
    "supervisor gone": (
        wanted(A),
        observed(release(1, A, "serving"), live=1, supervisor=False),
        ["open", "settle 1"],
    ),
    "live one died for good": (
        wanted(A),
        observed(release(1, A, "failed"), live=1),
        ["start 1", "shift 1", "settle 1"],
    ),
    "all down": (
        wanted(A),
        observed(release(1, A, "stopped"), live=1, supervisor=False),
        ["open", "start 1", "shift 1", "settle 1"],
    ),
    "killed between shift and drain": (
        wanted(B),
        observed(release(1, A, "serving"), release(2, B, "serving"), live=2),
        ["shift 2", "settle 2"],
    ),
    "killed while staging: the number is used again": (
        wanted(),
        observed(release(1, A, "serving"), release(2, B, "staged", served=False), live=1),
        UPGRADE,
    ),
    "killed before the shift: the candidate is used": (
        wanted(),
        observed(release(1, A, "serving"), release(2, B, "ready", served=False), live=1),
        UPGRADE,
    ),
    "a failed candidate of the same bundle is not": (
        wanted(),
        observed(release(1, A, "serving"), release(2, B, "failed", served=False), live=1),
        ["remove [2]", *[step.replace("2", "3") for step in UPGRADE]],
    ),
    "another's leftovers are removed first": (
        wanted(),
        observed(release(1, A, "serving"), release(2, C, "ready", served=False), live=1),
        ["remove [2]", *[step.replace("2", "3") for step in UPGRADE]],
    ),
    "back to the live one: only the candidate goes": (
        wanted(A),
        observed(release(1, A, "serving"), release(2, B, "ready", served=False), live=1),
        ["remove [2]"],
    ),
    "what a killed deploy had sent goes, though the live one is the wanted one": (
        wanted(A),
        observed(release(1, A, "serving"), live=1, incoming=True),
        ["remove []"],
    ),
    "retire beyond keep": (
        wanted(B, keep=1),
        observed(release(3, A, "stopped"), release(4, C, "serving"), live=4),
        [*[step.replace("2", "5") for step in UPGRADE], "remove [3]"],
    ),
    "keep nothing": (
        wanted(B, keep=0),
        observed(release(1, A, "serving"), live=1),
        [*UPGRADE, "remove [1]"],
    ),
    "remove what is there": (None, observed(release(1, A, "serving"), live=1), ["destroy"]),
    "remove nothing": (None, observed(), []),
}


@pytest.mark.parametrize("case", CASES)
def test_plan(case: str) -> None:
    want, seen, steps = CASES[case]
    actions = plan_hosted(want, seen, port=0, host="127.0.0.1")
    assert [told(a.verb, a.subject, a.arguments) for a in actions] == steps
    assert len({a.name for a in actions}) == len(actions), "names are unique, results are referred to by them"
    assert all(a.command for a in actions)


@pytest.mark.parametrize("case", CASES)
def test_plan_is_pure(case: str) -> None:
    want, seen, _ = CASES[case]
    assert plan_hosted(want, seen, port=0, host="h") == plan_hosted(want, seen, port=0, host="h")


def told(verb: str, subject: str, arguments: dict[str, Any]) -> str:
    if verb == "send":
        return f"send {subject}"
    if verb == "remove":
        return f"remove {arguments['releases']}"
    return f"{verb} {arguments['release']}" if verb in ("start", "prove", "shift", "settle") else verb


def test_basis_moves_with_releases_not_with_health() -> None:
    one = observed(release(1, A, "serving"), live=1)
    assert one.basis == observed(release(1, A, "failed"), live=1, supervisor=False).basis
    assert one.basis != observed(release(1, B, "serving"), live=1).basis
    assert (
        one.basis != observed(release(1, A, "serving"), release(2, B, "staged", served=False), live=1).basis
    )


def test_cleaning_up_spares_layers_that_are_not_sent_again() -> None:
    left = observed(release(1, A, "serving"), release(2, B, "failed", served=False), live=1)
    clean, *rest = plan_hosted(wanted(), left, port=0, host="h")
    assert clean.arguments["keep"] == [MODEL, RUNTIME]
    assert RUNTIME not in [action.arguments.get("digest") for action in rest if action.verb == "send"]


def test_an_external_listener_that_is_not_where_it_should_be_is_opened():
    """Also when nothing else is to be done: it is a matter of the target, not of the bundle."""
    place = {"host": "127.0.0.1", "port": 0}
    for now, external, opens in (
        (None, place, True),
        ({"host": "127.0.0.1", "port": 8443}, place, False),
        ({"host": "127.0.0.1", "port": 8443}, {**place, "port": 9443}, True),
        ({"host": "127.0.0.1", "port": 8443}, {**place, "host": "0.0.0.0"}, True),
        ({"host": "127.0.0.1", "port": 8443}, None, True),
        (None, None, False),
    ):
        seen = observed(release(1, A, "serving"), live=1)
        seen.facts["external"] = now
        for want in (wanted(A), wanted(B)):
            actions = plan_hosted(want, seen, port=0, host="127.0.0.1", external=external)
            found = [action.arguments for action in actions if action.verb == "open"]
            assert bool(found) == opens
            assert not found or found[0].get("external") == external


def test_going_back_brings_back_the_listener_of_the_release_before(tmp_path: Path) -> None:
    """A new place for it, which cannot be had, is none of the way back."""
    settings = HostedSettings(external=External(port=9443, tokens="/tokens"))
    place = Place("far", "churn", {}, tmp_path)
    adapter = HostedAdapter(place, settings, LocalHost(), base=str(tmp_path), python="python3")
    seen = observed(release(1, A, "serving"), live=1)
    seen.facts["external"] = None
    assert adapter.plan(wanted(A), seen) == ()
    forward = adapter.plan(wanted(B, settings=settings.of_release()), seen)
    (opened,) = [action.arguments["external"] for action in forward if action.verb == "open"]
    assert opened == {"host": "127.0.0.1", "port": 9443}
