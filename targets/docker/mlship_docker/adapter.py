"""The `docker` adapter: what the core asks, and the table of what it can do."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlship.errors import ConfigError, TargetError
from mlship.target.deployment import Deployment, LayerRef, Problem, Proof, Wanted
from mlship.target.plan import Action
from mlship.target.protocol import Given, Offer, Place
from mlship.target.settings import read_settings
from mlship_docker import lifecycle
from mlship_docker.engine import Engine
from mlship_docker.finding import EngineAddress, find_engine
from mlship_docker.front import PORT, Front
from mlship_docker.lifecycle import Service
from mlship_docker.logs import last_lines
from mlship_docker.names import Names
from mlship_docker.plan import Opening, plan_docker
from mlship_docker.seen import Seen, deployment, file_in, look
from mlship_docker.settings import DockerSettings
from mlship_runtime.supervision.listening import reach

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.target.following import LogSource
    from mlship_docker.images import TargetImage
    from mlship_runtime.client import Request, Response

_GOLDEN, _SPEC = "/golden/golden.json", "/mlship/mlship.json"


class DockerAdapter:
    """One service on one engine."""

    offers: frozenset[Offer] = frozenset({"logs", "tunnel"})

    def __init__(self, place: Place, settings: DockerSettings, address: EngineAddress) -> None:
        self.place, self.settings = place, settings
        self.engine = Engine(address)
        self.names = Names(place.name, place.service)
        self._made: dict[str, TargetImage] = {}

    @cached_property
    def _service(self) -> Service:
        return Service(self.engine, self.names, self.settings)

    def image_of(self, bundle: OpenBundle) -> TargetImage:
        """What the bundle is on this engine, put together once."""
        from mlship_docker.images import make

        if bundle.digest not in self._made:
            self._made[bundle.digest] = make(self.place, self.settings, self.engine, bundle)
        return self._made[bundle.digest]

    def wanted(self, bundle: OpenBundle) -> Wanted:
        """The bundle's image over the base, for the platform of the engine."""
        from mlship_docker.images import settings_of

        image, spec = self.image_of(bundle), bundle.manifest.spec_layer
        return Wanted(
            reference=str(bundle.reference),
            digest=bundle.digest,
            service=self.place.service,
            platform=image.made.images[0].platform,
            settings={**self.settings.of_release(), **settings_of(image, self.settings.repository)},
            layers=image.layers,
            documents=(
                LayerRef(digest=bundle.digest, size=len(bundle.manifest_bytes), title="manifest.json"),
                LayerRef(digest=spec.digest, size=spec.size, title="mlship.json"),
            ),
            keep=self.place.keep,
        )

    def check(self, bundle: OpenBundle) -> list[Problem]:
        """Reach, rights, API, platform, names, port and room of the engine."""
        from mlship_docker.preflight import preflight

        return preflight(self, bundle)

    def observe(self) -> Deployment:
        """From the engine's containers and their labels, and the front; reads only."""
        return deployment(self.engine, self.names, self._look())

    def plan(self, wanted: Wanted | None, observed: Deployment) -> tuple[Action, ...]:
        """See plan_docker."""
        settings = self.settings
        opening = Opening(settings.host, settings.port, settings.network)
        return plan_docker(wanted, observed, self.names, opening)

    def run(self, action: Action, given: Given) -> dict[str, Any]:
        """Do one action; the table below is all there is."""
        return _VERBS[action.verb](self, action, given)

    def invoke(self, asked: Request, release: int | None = None) -> Response:
        """By the published port, or by a release's own socket, which the front leads to."""
        from mlship_runtime.client import Line, Unanswered

        seen = self.observe()
        if release is None:
            if seen.live is None:
                raise TargetError(
                    f"nothing is live on {self.place.name}", fix="Deploy something first: mlship deploy"
                )
            where = PORT
        else:
            where = seen.facts["sockets"].get(str(release), "")
            if not where:
                raise TargetError(
                    f"release {release} does not run on {self.place.name}", fix="See mlship status"
                )
        with Line(lambda timeout: self._connected(seen, where, timeout)) as line:
            try:
                return line.exchange(asked)
            except Unanswered as fault:
                what = f"no whole answer from {self.names.front} ({where})"
                raise TargetError(what, cause=fault.cause, fix="See mlship logs") from fault

    def carry(self, seen: Deployment, timeout: float) -> socket.socket:
        """By the published port of an engine on this machine, else through the engine."""
        return self._connected(seen, PORT, timeout)

    def prove(self, release: int, golden: Mapping[str, Any]) -> Proof:
        """Through the candidate's own socket, which has no traffic."""
        from mlship.target.golden import prove_by_invoking

        return prove_by_invoking(self, release, golden)

    def golden(self, release: int) -> Mapping[str, Any]:
        """Out of a container of the release, whether it runs or not."""
        containers = self._look().releases.get(release)
        if not containers:
            raise TargetError(f"release {release} is not on {self.place.name}", fix="See mlship status")
        examples, spec = (
            json.loads(file_in(self.engine, containers[0]["Id"], path)) for path in (_GOLDEN, _SPEC)
        )
        return {**examples, "tolerance": spec["golden"]["tolerance"]}

    def logs(self, release: int | None, lines: int, within: float | None = None) -> Iterator[str]:
        """What the containers of a release wrote last (of the live one, or else of the last)."""
        seen = self._look()
        number = release or seen.live or max(seen.releases, default=None)
        if number is None:
            raise TargetError(
                f"nothing runs on {self.place.name} as {self.place.service}", fix="mlship deploy"
            )
        if number not in seen.releases:
            raise TargetError(f"release {number} has no log on {self.place.name}", fix="See mlship history")
        yield from last_lines(self.engine, seen.releases[number], lines, within)

    def follow(self, release: int | None, lines: int, within: float | None = None) -> tuple[LogSource, ...]:
        """Not offered."""
        raise TargetError("a docker target does not follow logs", fix="Use: docker logs --follow")

    def ledger_url(self) -> str:
        """Beside the releases' data, in the user's data folder; another machine's engine is not only ours.
        Raises ConfigError for that."""
        if not self.engine.address.is_local:
            raise ConfigError(
                f"target {self.place.name} is an engine on another machine, and has no `ledger`",
                cause="whoever else deploys there must see the same lock and history",
                fix="Set ledger = URL of a store that all of you reach: s3://, azblob://, ssh://",
            )
        return f"dir://{(self.place.data / 'ledger').absolute()}"

    def _look(self) -> Seen:
        return look(self.engine, self.names)

    def _connected(self, seen: Deployment, where: str, timeout: float) -> socket.socket:
        if where == PORT and self.engine.address.is_local:
            host, port = seen.facts["host"], seen.facts["port"]
            try:
                return socket.create_connection((reach(host), port), timeout=timeout)
            except OSError as error:
                raise TargetError(
                    f"nothing answers at {host}:{port}",
                    cause=error.strerror or str(error),
                    fix="See mlship status",
                ) from error
        front = self._look().front
        if front is None:
            raise TargetError(f"the front of {self.place.name} is not there", fix="Run: mlship repair")
        return Front(self.engine, front).connect(where, timeout)

    def _send(self, action: Action, given: Given) -> dict[str, Any]:
        from mlship_docker.stock import bring

        if given.bundle is None:
            raise TargetError(
                f"{action.subject} is no longer on {self.place.name}", fix="Deploy it from a registry"
            )
        image = self.image_of(given.bundle)
        if image.id != action.arguments["image"]:
            raise TargetError("the base is another one by now", fix="Plan again")
        repository = action.arguments["repository"]
        return {"sent": bring(self.engine, self.names, image, repository, given.progress)}

    def _open(self, action: Action, given: Given) -> dict[str, Any]:
        return self._service.open(action.arguments, given.fence)

    def _stage(self, action: Action, given: Given) -> dict[str, Any]:
        return self._service.stage(action.arguments, given.fence)

    def _start(self, action: Action, given: Given) -> dict[str, Any]:
        wait = given.timeout or self.settings.ready_timeout
        return self._service.start(action.arguments, given.fence, wait)

    def _shift(self, action: Action, given: Given) -> dict[str, Any]:
        return self._service.shift(action.arguments, given.fence, self._drain(given))

    def _settle(self, action: Action, given: Given) -> dict[str, Any]:
        bake = self.settings.bake if given.bundle is not None else 0.0  # an earlier one has been watched
        self._service.settle(action.arguments, given.fence, self._drain(given), bake)
        return {"digest": self._served()}

    def _remove(self, action: Action, given: Given) -> dict[str, Any]:
        return self._service.remove(action.arguments, given.fence)

    def _destroy(self, action: Action, given: Given) -> dict[str, Any]:
        return self._service.destroy(given.fence)

    def _drain(self, given: Given) -> float:
        return min(self.settings.drain_timeout, given.timeout or self.settings.drain_timeout)

    def _served(self) -> str:
        """The digest that the port answers with; asked until it does, for a moment: an engine's forwarding
        may lag behind."""
        from mlship_runtime.client import Request
        from mlship_runtime.supervision.probe import DIGEST_HEADER, PATH

        end = time.monotonic() + lifecycle.SLACK
        while True:
            try:
                return str(self.invoke(Request(PATH, b"", method="GET")).headers.get(DIGEST_HEADER, ""))
            except TargetError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.2)


_VERBS: dict[str, Callable[[DockerAdapter, Action, Given], dict[str, Any]]] = {
    "send": DockerAdapter._send,
    "open": DockerAdapter._open,
    "stage": DockerAdapter._stage,
    "start": DockerAdapter._start,
    "shift": DockerAdapter._shift,
    "settle": DockerAdapter._settle,
    "remove": DockerAdapter._remove,
    "destroy": DockerAdapter._destroy,
}


def adapter(place: Place) -> DockerAdapter:
    """Bind `docker` to a place; no engine is asked before it is needed. Raises ConfigError for settings that
    it does not have, and for an engine's address that cannot be."""
    settings = read_settings(place, DockerSettings)
    settings.check(place.name)
    return DockerAdapter(place, settings, find_engine(place, settings, os.environ))
