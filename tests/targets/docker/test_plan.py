"""Plans for services in containers: pure, so told from Deployments that are made up."""

from __future__ import annotations

import inspect
import re
from typing import Any

import msgspec
import pytest

from mlship.target.deployment import Deployment, LayerRef, ReleaseState, Wanted
from mlship.target.protocol import Adapter
from mlship_docker.adapter import DockerAdapter
from mlship_docker.names import FRONT, INDEX, RELEASE, SERVICE, TARGET, Names
from mlship_docker.plan import Opening, plan_docker

NAMES = Names("prod", "churn")
OPENING = Opening("127.0.0.1", 0, "")
LAYERS = tuple(LayerRef(digest=f"sha256:{n}", size=10**n, title=f"layer {n}") for n in range(4))


def wanted(bundle: str = "a", keep: int = 1, **settings: Any) -> Wanted:
    said = {"workers": 1, "restart": "unless-stopped", "image": f"image-{bundle}", "manifest": "m"}
    return Wanted(
        reference=f"churn:{bundle}",
        digest=bundle,
        service="churn",
        platform="p",
        settings={**said, "repository": "", **settings},
        layers=LAYERS,
        documents=(),
        keep=keep,
    )


def release(number: int, want: Wanted, state: Any = "stopped", *, served: bool = True) -> ReleaseState:
    return ReleaseState(
        number=number,
        digest=want.digest,
        reference=want.reference,
        settings_digest=want.settings_digest,
        settings=want.settings,
        state=state,
        served=served,
    )


def seen(*releases: ReleaseState, live: int | None = None, **facts: Any) -> Deployment:
    known = {
        "front": bool(releases),
        "port": 4711 if releases else 0,
        "host": "127.0.0.1",
        "chains": [],
        "partial": True,
        "running": [live] if live else [],
        "containers": {str(r.number): 1 for r in releases},
        "restart": {str(r.number): "unless-stopped" for r in releases},
    }
    return Deployment(
        service="churn",
        releases=releases,
        live_number=live,
        last_number=max((r.number for r in releases), default=0),
        present=frozenset({"image-a"}) if releases else frozenset(),
        exists=bool(releases),
        facts={**known, **facts},
    )


def verbs(want: Wanted | None, observed: Deployment) -> list[str]:
    return [action.verb for action in plan_docker(want, observed, NAMES, OPENING)]


WHOLE = ["send", "open", "stage", "start", "prove", "shift", "settle"]


def test_from_nothing() -> None:
    assert verbs(wanted(), seen()) == WHOLE
    assert verbs(None, seen()) == []


def test_what_is_as_wanted_is_left_alone() -> None:
    assert verbs(wanted(), seen(release(1, wanted(), "serving"), live=1)) == []


@pytest.mark.parametrize(
    ("state", "facts", "does"),
    [
        ("starting", {}, ["start", "shift", "settle"]),
        ("serving", {"front": False}, ["open", "start", "shift", "settle"]),
        ("serving", {"restart": {"1": "no"}}, ["settle"]),
        ("serving", {"running": [1, 7]}, ["settle"]),
        ("stopped", {"containers": {"1": 0}}, ["stage", "start", "shift", "settle"]),
    ],
)
def test_what_is_not_as_it_should_be_is_mended(state: str, facts: dict[str, Any], does: list[str]) -> None:
    assert verbs(wanted(), seen(release(1, wanted(), state), live=1, **facts)) == does


def test_an_upgrade_keeps_the_front_and_retires_what_is_beyond_the_kept() -> None:
    old = [release(1, wanted("x")), release(2, wanted("y")), release(3, wanted("a"), "serving")]
    actions = plan_docker(wanted("b"), seen(*old, live=3), NAMES, OPENING)
    assert [a.verb for a in actions] == ["send", "stage", "start", "prove", "shift", "settle", "remove"]
    assert actions[-1].arguments == {"releases": [1, 2], "keep": ["image-b", "m"]}
    assert actions[1].arguments["release"] == 4


def test_a_broken_off_candidate_is_taken_up_again_or_cleaned_away() -> None:
    live, begun = release(1, wanted("a"), "serving"), release(2, wanted("b"), "staged", served=False)
    assert verbs(wanted("b"), seen(live, begun, live=1))[:2] == ["send", "stage"]
    failed = msgspec.structs.replace(begun, state="failed")
    assert verbs(wanted("b"), seen(live, failed, live=1))[0] == "remove"
    assert verbs(wanted("c"), seen(live, begun, live=1))[0] == "remove"


def test_only_the_layers_above_what_an_engine_has_are_sent() -> None:
    have = [[LAYERS[0].digest, LAYERS[1].digest, "another"], ["another", LAYERS[1].digest]]
    (send, *_) = plan_docker(wanted(), seen(chains=have), NAMES, OPENING)
    assert send.bytes == 1100
    (send, *_) = plan_docker(wanted(), seen(chains=have, partial=False), NAMES, OPENING)
    assert send.bytes == 1111
    (send, *_) = plan_docker(wanted(repository="r/x"), seen(chains=have), NAMES, OPENING)
    assert "docker pull r/x" in send.command


def test_the_port_stays_where_it_was_opened() -> None:
    observed = seen(release(1, wanted(), "serving"), live=1, front=False)
    (opens, *_) = plan_docker(wanted(), observed, NAMES, Opening("127.0.0.1", 9, "net"))
    assert opens.arguments["port"] == 4711


def test_it_takes_what_every_adapter_is_asked() -> None:
    asked = [name for name in vars(Adapter) if not name.startswith("_") and callable(getattr(Adapter, name))]
    for name in asked:
        wanted_of, has = (inspect.signature(getattr(kind, name)) for kind in (Adapter, DockerAdapter))
        assert list(has.parameters)[1:] == list(wanted_of.parameters)[1:] or name == "invoke", name


def inspected(name: str, **labels: str) -> dict[str, Any]:
    return {"Name": f"/{name}", "Config": {"Labels": {TARGET: "prod", SERVICE: "churn", **labels}}}


def test_both_name_and_labels_make_a_container_ours() -> None:
    ours = {RELEASE: "3", INDEX: "0"}
    assert NAMES.number(inspected("mlship-prod-churn-r3-0", **ours)) == 3
    assert NAMES.number(inspected("mlship-prod-churn-r4-0", **ours)) is None
    assert NAMES.number(inspected("web", **ours)) is None
    assert NAMES.number({"Name": "/mlship-prod-churn-r3-0", "Config": {"Labels": None}}) is None
    assert NAMES.number(inspected("mlship-prod-churn-r3-0", **ours, **{TARGET: "other"})) is None
    assert NAMES.is_front(inspected("mlship-prod-churn", **{RELEASE: FRONT}))
    assert not NAMES.is_front(inspected("mlship-prod-churn-r3-0", **{RELEASE: FRONT}))


@pytest.mark.parametrize("service", ["a..b", "x", "a_b-c.9", "0"])
def test_names_of_images_are_such_that_engines_take_them(service: str) -> None:

    part = r"[a-z0-9]+(?:-[a-z0-9]+)*"
    assert re.fullmatch(
        f"{part}/{part}:[0-9a-f]{{12}}", Names("Prod 1", service).image("sha256:" + "ab" * 32)
    )
