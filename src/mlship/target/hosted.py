"""The adapter of every target that is a host with Python on it: the same code whatever the Host is."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import TargetError
from mlship.host.protocol import Host
from mlship.host.site import Site
from mlship.target.deployment import (
    Deployment,
    LayerRef,
    Problem,
    Proof,
    ReleaseState,
    Vitals,
    Wanted,
    WorkerState,
)
from mlship.target.endpoints import endpoints, inside_address
from mlship.target.hosted_plan import plan_hosted
from mlship.target.hosted_settings import HostedSettings
from mlship.target.plan import Action
from mlship.target.protocol import Given, Offer, Place

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.target.following import LogSource
    from mlship_runtime.client import Request, Response

_ENDING = 35.0  # seconds over its deadline in which a worker that does not even answer is ended


class HostedAdapter:
    """Runs a service under a base folder of a host, by far-side commands of the ground floor."""

    offers: frozenset[Offer] = frozenset({"logs", "follow", "tunnel"})

    def __init__(self, place: Place, settings: HostedSettings, host: Host, *, base: str, python: str) -> None:
        self.place, self.settings, self.host = place, settings, host
        self.site = Site(host, base, place.service, python)

    def wanted(self, bundle: OpenBundle) -> Wanted:
        """Layers for the platform of this host, with the interpreter that fits them."""
        from mlship.target.hosted_platform import fitting_platform

        platform, python = fitting_platform(self.site, bundle, self.settings.python)
        manifest = bundle.manifest
        spec = manifest.spec_layer
        layers = [layer for layer in manifest.layers_for(platform) if layer.digest != spec.digest]
        return Wanted(
            reference=str(bundle.reference),
            digest=bundle.digest,
            service=self.place.service,
            platform=platform,
            settings={**self.settings.of_release(), "python": python},
            layers=tuple(LayerRef(digest=x.digest, size=x.size, title=x.title) for x in layers),
            documents=(
                LayerRef(digest=bundle.digest, size=len(bundle.manifest_bytes), title="manifest.json"),
                LayerRef(digest=spec.digest, size=spec.size, title="mlship.json"),
            ),
            keep=self.place.keep,
        )

    def check(self, bundle: OpenBundle) -> list[Problem]:
        """Python, platform, disk and port of the host."""
        from mlship.target.hosted_preflight import preflight

        return preflight(self.site, bundle, self.settings, self.observe())

    def observe(self) -> Deployment:
        """One far-side command; reads only."""
        seen = self.site.call("observe", units=self.settings.units, target=self.place.name)
        releases = tuple(_release(r) for r in seen["releases"])
        live = next((r for r in releases if r.number == seen["live"]), None)
        supervised = bool(seen["supervisor"] and seen["supervisor"]["alive"])
        silent = _silent(seen)
        return Deployment(
            service=self.place.service,
            releases=releases,
            live_number=seen["live"],
            last_number=max((r.number for r in releases), default=0),
            healthy=live is not None and live.state == "serving" and supervised and not silent,
            endpoints=endpoints(seen, live, self.host) if live else (),
            present=frozenset(seen["layers"]),
            problems=_problems(live, supervised, silent),
            exists=bool(seen["service"]),
            left=seen["left"],
            fence=seen["fence"],
            vitals=_vitals(seen),
            keeper=_keeper(seen["keeper"]),
            facts={
                "supervisor": supervised,
                "incoming": seen["incoming"],
                "host": seen["host"],
                "port": seen["port"],
                "external": seen["external"],
                "units": seen["keeper"]["chosen"],
                "trouble": seen["keeper"]["trouble"],
                "stranger": seen.get("stranger"),
                "memory": seen["memory"],
                "files": seen["files"],
                "sockets": {str(r["number"]): [w["socket"] for w in r["workers"]] for r in seen["releases"]},
                "workers": {str(r["number"]): r["workers"] for r in seen["releases"]},
                "logs": {str(r["number"]): r["logs"] for r in seen["releases"]},
            },
        )

    def plan(
        self, wanted: Wanted | None, observed: Deployment, number: int | None = None
    ) -> tuple[Action, ...]:
        """See hosted_plan. The external listener belongs to the release: going back to one brings back its
        own, or none."""
        settings, outside = self.settings, wanted.settings.get("external") if wanted else None
        external = {"host": outside["host"], "port": outside["port"]} if outside else None
        units = str(observed.facts.get("units") or settings.units)
        return plan_hosted(
            wanted,
            observed,
            port=settings.port,
            host=settings.host,
            external=external,
            units=units,
            number=number,
        )

    def run(self, action: Action, given: Given) -> dict[str, Any]:
        """Do one action; the table below is all there is."""
        return _VERBS[action.verb](self, action, given)

    def invoke(self, asked: Request, release: int | None = None) -> Response:
        """By the port that the live release serves, or by a release's own Unix socket."""
        from mlship.host.http import request

        seen = self.observe()
        if release is None:
            if seen.live is None:
                raise TargetError(
                    f"nothing is live on {self.place.name}", fix="Deploy something first: mlship deploy"
                )
            return request(self.host, inside_address(seen.facts), asked)
        sockets = seen.facts["sockets"].get(str(release))
        if not sockets:
            raise TargetError(f"release {release} does not run on {self.place.name}", fix="See mlship status")
        return request(self.host, f"unix:{sockets[0]}", asked)

    def carry(self, seen: Deployment, timeout: float) -> socket.socket:
        """By the connection that the host has."""
        return self.host.connect(inside_address(seen.facts), timeout=timeout)

    def prove(self, release: int, golden: Mapping[str, Any]) -> Proof:
        """Through the candidate's own socket, which has no traffic."""
        from mlship.target.golden import prove_by_invoking

        return prove_by_invoking(self, release, golden)

    def golden(self, release: int) -> Mapping[str, Any]:
        """Read from the release's unpacked golden layer, whose files were verified when they were staged."""
        where = self.site.call("path", release=release, file="golden/golden.json")
        examples, spec = self._fetched(where["path"]), self._fetched(where["spec"])
        return {**examples, "tolerance": spec["golden"]["tolerance"]}

    def logs(self, release: int | None, lines: int, within: float | None = None) -> Iterator[str]:
        """The end of a release's log file (of the live one, or else of the last)."""
        seen = self.observe()
        number = release or seen.live_number or max((r.number for r in seen.releases), default=None)
        if number is None:
            raise TargetError(
                f"nothing runs on {self.place.name} as {self.place.service}", fix="mlship deploy"
            )
        path = seen.facts["logs"].get(str(number))
        if path is None:
            raise TargetError(f"release {number} has no log on {self.place.name}", fix="See mlship history")
        yield from self.site.call("logs", file=path, lines=lines, age=within)["lines"]

    def follow(self, release: int | None, lines: int, within: float | None = None) -> tuple[LogSource, ...]:
        """The log files of this host, while they grow."""
        from mlship.target.following import HostedLog

        return (HostedLog(self.site, release, lines, within),)

    def ledger_url(self) -> str:
        """Beside the releases' data, in the user's data folder."""
        return f"dir://{(self.place.data / 'ledger').absolute()}"

    def _fetched(self, path: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "file.json")
            self.host.get(path, copy)
            content: dict[str, Any] = json.loads(copy.read_bytes())
        return content

    def _send(self, action: Action, given: Given) -> dict[str, Any]:
        digest, size = action.arguments["digest"], action.arguments["size"]
        if given.bundle is None:
            raise TargetError(
                f"{action.subject} is no longer on {self.place.name}", fix="Deploy it from a registry"
            )
        with tempfile.TemporaryDirectory(prefix="mlship-send-") as folder:
            content = given.bundle.file(digest) or given.bundle.fetch(digest, Path(folder))
            self.site.send(content, digest)
        return {"sent": size}

    def _stage(self, action: Action, given: Given) -> dict[str, Any]:
        """The values of environment variables go to the host beside the action, which is journalled. Those of
        an earlier release are there already. So does a signature that the host is to check.
        """
        settings = action.arguments["settings"]
        own = settings.get("environmentDigest") == self.settings.environment_digest
        more: dict[str, Any] = {"environment": dict(self.settings.environment)} if own else {}
        if given.demand is not None:
            more["demand"] = given.demand.request()
        return self._call(action, given, "stage", within=600, more=more)

    def _take(self, action: Action, given: Given) -> dict[str, Any]:
        return self._call(action, given, "take")

    def _open(self, action: Action, given: Given) -> dict[str, Any]:
        return self._call(action, given, "open", within=180)

    def _start(self, action: Action, given: Given) -> dict[str, Any]:
        wait = given.timeout or self.settings.ready_timeout
        return self._call(action, given, "start", within=wait + 15, more={"timeout": wait})

    def _shift(self, action: Action, given: Given) -> dict[str, Any]:
        return self._call(action, given, "shift", more={"drain": self._drain(given)})

    def _settle(self, action: Action, given: Given) -> dict[str, Any]:
        wait = self._drain(given) + _ENDING
        return self._call(action, given, "settle", within=wait + 15, more={"timeout": wait})

    def _drain(self, given: Given) -> float:
        """Seconds in which the release before must have given up its connections."""
        return min(self.settings.drain_timeout, given.timeout or self.settings.drain_timeout)

    def _remove(self, action: Action, given: Given) -> dict[str, Any]:
        return self._call(action, given, "remove", within=self.settings.drain_timeout + 30)

    def _destroy(self, action: Action, given: Given) -> dict[str, Any]:
        return self._call(action, given, "destroy", within=120)

    def _call(
        self,
        action: Action,
        given: Given,
        verb: str,
        *,
        within: float = 60,
        more: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        given_too = {"fence": given.fence, "target": self.place.name}
        return self.site.call(verb, within=within, **given_too, **{**action.arguments, **(more or {})})


_VERBS: dict[str, Callable[[HostedAdapter, Action, Given], dict[str, Any]]] = {
    "take": HostedAdapter._take,
    "send": HostedAdapter._send,
    "stage": HostedAdapter._stage,
    "open": HostedAdapter._open,
    "start": HostedAdapter._start,
    "shift": HostedAdapter._shift,
    "settle": HostedAdapter._settle,
    "remove": HostedAdapter._remove,
    "destroy": HostedAdapter._destroy,
}


def _release(seen: Mapping[str, Any]) -> ReleaseState:
    return ReleaseState(
        number=seen["number"],
        digest=seen["digest"],
        reference=seen["reference"],
        settings_digest=seen["settingsDigest"],
        settings=seen["settings"],
        platform=seen["platform"],
        state=seen["state"],
        served=seen["served"],
        error=seen["error"] or "",
        signed_by=seen["signedBy"] or "",
    )


def _keeper(seen: Mapping[str, Any]) -> str:
    """Who keeps the service, and why not somebody better."""
    kept = seen["kept"] or seen["chosen"]
    if kept in ("system", "user"):
        return ("systemd" if kept == "system" else "systemd --user") + f" ({', '.join(seen['names'])})"
    return "a process of its own" + (f" (no units: {seen['why']})" if seen["why"] else "")


def _vitals(seen: Mapping[str, Any]) -> Vitals | None:
    """Of the live release; supervisors of before told nothing of it."""
    live = next((release for release in seen["releases"] if release["number"] == seen["live"]), None)
    if live is None:
        return None
    known = ("pid", "state", "memory", "descriptors")
    ends = live["health"]["ends"]
    return Vitals(
        workers=tuple(WorkerState(**{key: worker[key] for key in known}) for worker in live["workers"]),
        restarts=live["health"]["restarts"],
        ends=tuple(f"{end['time']} process {end['pid']} {end['detail']}" for end in ends),
        ceiling=live["ceiling"],
        waiting=seen["waiting"],
    )


def _silent(seen: Mapping[str, Any]) -> list[int]:
    """The processes of the live release that do not answer."""
    live = (release for release in seen["releases"] if release["number"] == seen["live"])
    return [worker["pid"] for release in live for worker in release["workers"] if not worker["answers"]]


def _problems(live: ReleaseState | None, supervised: bool, silent: list[int]) -> tuple[str, ...]:
    found = [
        f"process {pid} of the live release does not answer (kill -9 {pid} there: a new one is started)"
        for pid in silent
    ]
    if live is not None and not supervised:
        found.append("nobody watches the release: its supervisor is gone (mlship repair starts it again)")
    if live is not None and live.state != "serving":
        found.append(f"the live release is {live.state}: {live.error}".rstrip(": "))
    return tuple(found)
