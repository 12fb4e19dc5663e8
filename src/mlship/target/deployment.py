"""What runs on a target (Deployment), what should run there (Wanted), and the evidence that it answers
(Proof).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mlship.digest import sha256
from mlship.result import Result, to_json

State = Literal["staged", "starting", "ready", "serving", "draining", "failed", "stopped"]


class LayerRef(Result, frozen=True, kw_only=True):
    """A blob that a target needs, with what a person calls it."""

    digest: str
    size: int
    title: str


class Wanted(Result, frozen=True, kw_only=True):
    """One bundle with one set of settings, ready to be compared with what is observed.

    `layers` are those of `platform` only; `documents` are manifest and spec. `settings` are the adapter's
    own, validated; `keep` is how many earlier releases stay on the target. Where a target has several hosts,
    `hosts` says what is wanted on each (None: nothing of the service), and the rest is that of the first.
    """

    reference: str
    digest: str
    service: str
    platform: str
    settings: dict[str, Any]
    layers: tuple[LayerRef, ...]
    documents: tuple[LayerRef, ...]
    keep: int = 2
    hosts: dict[str, Wanted | None] = {}

    @property
    def settings_digest(self) -> str:
        return sha256(to_json(self.settings))

    def called(self, reference: str) -> Wanted:
        """The same under another name, on all hosts."""
        hosts = {host: want and want.called(reference) for host, want in self.hosts.items()}
        return msgspec.structs.replace(self, reference=reference, hosts=hosts)


class ReleaseState(Result, frozen=True, kw_only=True):
    """A release as the target itself shows it. `served`: it has had the traffic at some time. `signed_by` is
    the id of the key whose signature the target itself has checked; empty if it was not asked to."""

    number: int
    digest: str
    reference: str
    settings_digest: str
    state: State
    served: bool
    platform: str = ""
    settings: dict[str, Any] = {}
    error: str = ""
    signed_by: str = ""

    def is_of(self, wanted: Wanted) -> bool:
        return self.digest == wanted.digest and self.settings_digest == wanted.settings_digest


class Endpoint(Result, frozen=True, kw_only=True):
    """Where the live release answers. `only_on`: the machine from which alone it can be reached; empty: from
    the network. `asks`: what a caller has to show there (token, certificate)."""

    kind: Literal["internal", "external"]
    url: str
    only_on: str = ""
    asks: tuple[str, ...] = ()


class WorkerState(Result, frozen=True, kw_only=True):
    """One process of the live release; `memory` (bytes of its own) and `descriptors` (open files and
    connections) are None where the host does not tell."""

    pid: int
    state: State
    memory: int | None = None
    descriptors: int | None = None


class Vitals(Result, frozen=True, kw_only=True):
    """How the live release fares. `restarts`: workers that had to be replaced, by reason (died, hung, memory,
    late); `ends` tell of the last ones. `ceiling`: bytes that a worker may hold. `waiting`: connections that
    no worker has accepted yet.
    """

    workers: tuple[WorkerState, ...] = ()
    restarts: dict[str, int] = {}
    ends: tuple[str, ...] = ()
    ceiling: int | None = None
    waiting: int | None = None


class Deployment(Result, frozen=True, kw_only=True):
    """What a target runs now, as observed there; nothing of it is remembered on this side.

    `left`: something that no service uses is still there, which a purge removes.
    `vitals`: of the live release, where the target can tell.
    `present`: digests of layers that need no sending. `last_number`: the highest release number ever given.
    `keeper`: who starts its processes again, where the target can tell.
    `facts`: what only the adapter understands (addresses, process numbers).
    `fence`: the highest fencing number that the target has seen.
    `hosts`: where a target has several, what was seen on each; the rest is drawn from them.
    """

    service: str
    releases: tuple[ReleaseState, ...] = ()
    live_number: int | None = None
    last_number: int = 0
    healthy: bool = False
    endpoints: tuple[Endpoint, ...] = ()
    present: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    exists: bool = False
    left: bool = False
    vitals: Vitals | None = None
    keeper: str = ""
    facts: dict[str, Any] = {}
    fence: int = 0
    hosts: tuple[OnHost, ...] = ()

    def release(self, number: int | None) -> ReleaseState | None:
        return next((r for r in self.releases if r.number == number), None)

    @property
    def live(self) -> ReleaseState | None:
        return self.release(self.live_number)

    @property
    def basis(self) -> str:
        """Digest of what a plan depends on: releases, settings and traffic; not health, counters or times."""
        if self.hosts:
            each = [(at.host, at.seen and at.seen.basis) for at in self.hosts]
            return sha256(to_json([self.service, self.last_number, each]))
        releases = sorted((r.number, r.digest, r.settings_digest, r.served) for r in self.releases)
        return sha256(to_json([self.service, self.exists, self.live_number, self.last_number, releases]))

    def numbered_from(self, number: int) -> Deployment:
        """The same, with release numbers going on from at least `number`."""
        return msgspec.structs.replace(self, last_number=max(self.last_number, number))

    def runs(self, wanted: Wanted) -> bool:
        """Whether what is wanted serves: on every host for which something is."""
        if self.hosts:
            seen = {at.host: at.seen for at in self.hosts}
            return all(_is_as_wanted(seen.get(host), want) for host, want in wanted.hosts.items())
        return self.live is not None and self.live.is_of(wanted) and self.live.state == "serving"

    @property
    def unreached(self) -> tuple[OnHost, ...]:
        return tuple(at for at in self.hosts if at.seen is None)

    def of_reached(self) -> Deployment:
        """The same without the hosts that could not be reached."""
        return msgspec.structs.replace(self, hosts=tuple(at for at in self.hosts if at.seen is not None))

    def with_remains(self) -> Deployment:
        """The same where what is left of a service that is gone counts as the service (for a purge)."""
        hosts = tuple(
            msgspec.structs.replace(at, seen=at.seen and at.seen.with_remains()) for at in self.hosts
        )
        return msgspec.structs.replace(self, exists=self.exists or self.left, hosts=hosts)


class OnHost(Result, frozen=True, kw_only=True):
    """One of several hosts of a target: what was `seen` there, or None and the `trouble` in reaching it."""

    host: str
    seen: Deployment | None
    trouble: str = ""


def _is_as_wanted(seen: Deployment | None, wanted: Wanted | None) -> bool:
    if seen is None:
        return False
    return seen.runs(wanted) if wanted else not seen.exists


class Problem(Result, frozen=True, kw_only=True):
    """Something that pre-flight found, and what to do about it; a warning, unless it `blocks` a deploy."""

    what: str
    fix: str = ""
    blocks: bool = True


class Proof(Result, frozen=True, kw_only=True):
    """Evidence that a release answered the golden examples on its target."""

    digest: str
    rows: int
    max_abs: float
    max_rel: float
    by: str
    differences: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.differences and self.rows > 0
