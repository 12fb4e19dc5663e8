"""An adapter whose target is an object in memory, and which fails where it is told to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlship.bundle.open import OpenBundle
from mlship.errors import MlshipError, TargetError
from mlship.target.deployment import Deployment, LayerRef, Problem, Proof, ReleaseState, Wanted
from mlship.target.hosted_plan import plan_hosted
from mlship.target.plan import Action
from mlship.target.protocol import Given, Offer, Place
from mlship.trust.demand import Demand
from mlship_runtime.client import Request, Response

GOLDEN = {
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]}],
    "outputs": [{"name": "y", "datatype": "FP64", "shape": [2], "data": [2.0, 4.0]}],
    "tolerance": {"y": {"abs": 1e-6, "rel": 1e-6}},
}


def wanted(letter: str = "a", *, keep: int = 2) -> Wanted:
    digest = "sha256:" + letter * 64
    layer = LayerRef(digest=digest, size=1, title="model.tar")
    return Wanted(
        reference=f"churn:{letter}",
        digest=digest,
        service="churn",
        platform="linux-amd64-cp311-gnu2.28",
        settings={"workers": 1},
        layers=(layer,),
        documents=(),
        keep=keep,
    )


class ScriptedAdapter:
    """`fail` maps a verb to the error that its action raises (once); `did` lists what was done."""

    offers: frozenset[Offer] = frozenset({"logs"})

    def __init__(self, data: Path, fail: Mapping[str, MlshipError] | None = None) -> None:
        self.place = Place(name="here", service="churn", settings={}, data=data)
        self.releases: dict[int, ReleaseState] = {}
        self.live: int | None = None
        self.held = False
        self.port = 0
        self.fail = dict(fail or {})
        self.did: list[str] = []
        self.fences: list[int] = []
        self.demands: list[tuple[str, Demand | None]] = []
        self.proof = Proof(digest="", rows=2, max_abs=0.0, max_rel=0.0, by="test")

    def wanted(self, bundle: OpenBundle) -> Wanted:
        raise NotImplementedError

    def check(self, bundle: OpenBundle) -> list[Problem]:
        return []

    def observe(self) -> Deployment:
        return Deployment(
            service="churn",
            releases=tuple(self.releases.values()),
            live_number=self.live,
            last_number=max(self.releases, default=0),
            healthy=self.live is not None and self.releases[self.live].state == "serving",
            exists=self.held,
            fence=max(self.fences, default=0),
            facts={"supervisor": self.held},
        )

    def plan(
        self, wanted: Wanted | None, observed: Deployment, number: int | None = None
    ) -> tuple[Action, ...]:
        return plan_hosted(wanted, observed, port=self.port, host="127.0.0.1", number=number)

    def run(self, action: Action, given: Given) -> dict[str, Any]:
        self.fences.append(given.fence)
        self.demands.append((action.verb, given.demand))
        if action.verb in self.fail:
            raise self.fail.pop(action.verb)
        self.did.append(action.verb)
        match action.verb:
            case "open":
                self.held = True
            case "stage":
                self._stage(action.arguments)
            case "start":
                self._state(action.arguments["release"], "ready")
            case "shift":
                self._shift(action.arguments["release"])
            case "remove":
                for number in action.arguments["releases"]:
                    self.releases.pop(number, None)
            case "destroy":
                self.releases, self.live, self.held = {}, None, False
        live = self.releases.get(self.live or 0)
        return {"done": action.verb, "digest": live.digest if live else None}

    def invoke(self, request: Request, release: int | None = None) -> Response:
        return Response(200, {}, json.dumps({}).encode())

    def prove(self, release: int, golden: Mapping[str, Any]) -> Proof:
        if "prove" in self.fail:
            raise self.fail.pop("prove")
        self.did.append("prove")
        return Proof(digest=self.releases[release].digest, rows=2, max_abs=0.0, max_rel=0.0, by="test")

    def golden(self, release: int) -> Mapping[str, Any]:
        return GOLDEN

    def logs(self, release: int | None, lines: int, within: float | None = None) -> Iterator[str]:
        if release not in self.releases:
            raise TargetError("no logs")
        yield f"release {release} wrote this"

    def ledger_url(self) -> str:
        return f"dir://{self.place.data}/ledger"

    def _stage(self, given: Mapping[str, Any]) -> None:
        number = given["release"]
        self.releases[number] = ReleaseState(
            number=number,
            digest=given["digest"],
            reference=given["reference"],
            settings_digest=given["settingsDigest"],
            settings=given["settings"],
            platform=given["platform"],
            state="staged",
            served=False,
        )

    def _state(self, number: int, state: Any, **more: Any) -> None:
        old = self.releases[number]
        fields = {f: getattr(old, f) for f in old.__struct_fields__}
        self.releases[number] = ReleaseState(**{**fields, "state": state, **more})

    def _shift(self, number: int) -> None:
        if self.live is not None and self.live != number:
            self._state(self.live, "stopped")
        self._state(number, "serving", served=True)
        self.live = number
