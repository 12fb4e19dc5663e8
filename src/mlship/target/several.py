"""One service on several hosts: each does what it does alone, and the plan says when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from mlship.errors import TargetError
from mlship.target.deployment import Deployment, OnHost, Problem, Proof, Wanted
from mlship.target.plan import Action
from mlship.target.protocol import Adapter, Given, Offer, Place
from mlship.target.several_plan import plan_several
from mlship.target.several_seen import drawn_together
from mlship.target.turns import side_by_side

if TYPE_CHECKING:
    import socket

    from mlship.bundle.open import OpenBundle
    from mlship.target.following import Heard, LogSource
    from mlship_runtime.client import Request, Response

Found = TypeVar("Found")


class OneHost(Adapter, Protocol):
    """What each of them is: an adapter that can be told the number of the release."""

    def plan(
        self, wanted: Wanted | None, observed: Deployment, number: int | None = None
    ) -> tuple[Action, ...]:
        """See Adapter.plan."""
        ...


class SeveralHosts:
    """Several hosts of one place by name, in the order in which they get traffic; the ledger is on the first.
    `wave`: how many of them get it at once. All of them are asked side by side, each over its own connection.
    """

    offers: frozenset[Offer] = frozenset({"logs", "follow", "tunnel", "hosts"})

    def __init__(self, place: Place, adapters: Mapping[str, OneHost], *, wave: int = 1) -> None:
        self.place, self.wave = place, wave
        self._adapters = dict(adapters)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(self._adapters)

    def on(self, host: str) -> OneHost:
        """See HostsAdapter."""
        return self._adapters[host]

    def wanted(self, bundle: OpenBundle) -> Wanted:
        """The layers for the platforms of all hosts; each host may have another one."""
        each = self._on_all(lambda adapter: _wanted_on(adapter, bundle))
        first, *_ = each.values()
        layers = {layer.digest: layer for want in each.values() for layer in want.layers}
        return msgspec.structs.replace(first, layers=tuple(layers.values()), hosts=dict(each))

    def check(self, bundle: OpenBundle) -> list[Problem]:
        """The pre-flight of every host."""
        each = self._on_all(lambda adapter: _problems_on(adapter, bundle))
        return [
            msgspec.structs.replace(problem, what=f"{host}: {problem.what}")
            for host, problems in each.items()
            for problem in problems
        ]

    def observe(self) -> Deployment:
        """All that can be reached; raises TargetError if none can."""
        each = self._on_all(_seen_on)
        if not any(isinstance(seen, Deployment) for seen in each.values()):
            raise TargetError(
                f"none of the {len(each)} hosts of {self.place.name} can be reached",
                cause=str(next(iter(each.values()))),
            )
        hosts = [
            OnHost(host=host, seen=seen)
            if isinstance(seen, Deployment)
            else OnHost(host=host, seen=None, trouble=str(seen))
            for host, seen in each.items()
        ]
        return drawn_together(self.place.service, hosts)

    def plan(self, wanted: Wanted | None, observed: Deployment) -> tuple[Action, ...]:
        """See several_plan."""

        def plan_on(
            host: str, want: Wanted | None, seen: Deployment, number: int | None
        ) -> tuple[Action, ...]:
            return self.on(host).plan(want, seen, number)

        return plan_several(wanted, observed, wave=self.wave, plan_on=plan_on)

    def run(self, action: Action, given: Given) -> dict[str, Any]:
        """On the host that the action names."""
        return self.on(action.host).run(action, given)

    def invoke(self, asked: Request, release: int | None = None) -> Response:
        """By the first host that gives an answer. Raises what the last one raised."""
        *others, last = self._adapters.values()
        for adapter in others:
            try:
                return adapter.invoke(asked, release)
            except TargetError:
                continue
        return last.invoke(asked, release)

    def carry(self, seen: Deployment, timeout: float) -> socket.socket:
        """To the first host on which something is live. Raises TargetError."""
        for at in seen.hosts:
            if at.seen is not None and at.seen.live is not None:
                return self.on(at.host).carry(at.seen, timeout)
        raise TargetError(f"nothing is live on {self.place.name}", fix="Deploy something: mlship deploy")

    def prove(self, release: int, golden: Mapping[str, Any]) -> Proof:
        """On every host; the proof with the largest error, or one that does not hold."""
        each = self._on_all(lambda adapter: adapter.prove(release, golden))
        return max(each.values(), key=lambda proof: (not proof.holds, proof.max_abs))

    def golden(self, release: int) -> Mapping[str, Any]:
        """As the first host has them that has the release."""
        *others, last = self._adapters.values()
        for adapter in others:
            try:
                return adapter.golden(release)
            except TargetError:
                continue
        return last.golden(release)

    def logs(self, release: int | None, lines: int, within: float | None = None) -> Iterator[str]:
        """The end of each host's log, every line with its host. Raises TargetError if no host has one."""
        each = self._on_all(lambda adapter: _log_on(adapter, release, lines, within))
        missing = [found for found in each.values() if isinstance(found, TargetError)]
        if len(missing) == len(each):
            raise missing[0]
        for host, found in each.items():
            told = [f"! {_said(found)}"] if isinstance(found, TargetError) else found
            yield from (f"{host} | {line}" for line in told)

    def follow(self, release: int | None, lines: int, within: float | None = None) -> tuple[LogSource, ...]:
        """The logs of every host as they grow."""
        sources = {host: adapter.follow(release, lines, within) for host, adapter in self._adapters.items()}
        return tuple(_Named(host, source) for host, found in sources.items() for source in found)

    def ledger_url(self) -> str:
        """On the first host."""
        return self.on(self.hosts[0]).ledger_url()

    def _on_all(self, ask: Callable[[OneHost], Found]) -> dict[str, Found]:
        return side_by_side({host: partial(ask, adapter) for host, adapter in self._adapters.items()})


@dataclass
class _Named:
    """A LogSource under the name that the target has for its host."""

    host: str
    source: LogSource

    def listen(self) -> Iterator[Heard]:
        return self.source.listen()

    def close(self) -> None:
        self.source.close()


def _wanted_on(adapter: OneHost, bundle: OpenBundle) -> Wanted:
    try:
        return adapter.wanted(bundle)
    except TargetError:
        adapter.observe()  # a host that cannot be reached says so, and not that it has no Python
        raise


def _problems_on(adapter: OneHost, bundle: OpenBundle) -> list[Problem]:
    try:
        return adapter.check(bundle)
    except TargetError as error:
        return [Problem(what=_said(error), fix=error.fix)]


def _seen_on(adapter: OneHost) -> Deployment | TargetError:
    try:
        return adapter.observe()
    except TargetError as error:
        return error


def _log_on(
    adapter: OneHost, release: int | None, lines: int, within: float | None
) -> list[str] | TargetError:
    try:
        return list(adapter.logs(release, lines, within))
    except TargetError as error:
        return error


def _said(error: TargetError) -> str:
    return ": ".join(filter(None, (error.what, error.cause)))
