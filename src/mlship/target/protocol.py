"""What an adapter must offer. It plans and acts; the rollout, the ledger and every promise belong to the
core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from mlship.progress import SILENT, Progress
from mlship.target.deployment import Deployment, Problem, Proof, Wanted
from mlship.target.plan import Action

if TYPE_CHECKING:  # a status needs neither bundles nor HTTP, and starts faster without
    import socket

    from mlship.bundle.open import OpenBundle
    from mlship.target.following import LogSource
    from mlship.trust.demand import Demand
    from mlship_runtime.client import Request, Response

Offer = Literal["logs", "follow", "tunnel", "hosts", "trust"]


@dataclass(frozen=True)
class Place:
    """A target as configured: its name, the service on it, and the adapter's own settings (not yet
    validated).

    `data` is the user's data folder, `project` the folder of mlship.toml, `keep` how many earlier releases
    stay, `ledger` the URL of the store for the ledger where it is not the adapter's own choice.
    """

    name: str
    service: str
    settings: Mapping[str, Any]
    data: Path
    labels: Mapping[str, str] = field(default_factory=dict)
    keep: int = 2
    ledger: str | None = None
    project: Path | None = None


@dataclass(frozen=True)
class Given:
    """What an action may use besides its arguments.

    `results` of earlier actions by name; `bundle` is None when nothing has to be sent (an earlier release
    is there already); `fence` is the lock's number, which the far end compares; `demand` is the signature
    that a far end with our code checks before it unpacks anything.
    """

    fence: int
    bundle: OpenBundle | None = None
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    progress: Progress = SILENT
    timeout: float | None = None
    demand: Demand | None = None


class Adapter(Protocol):
    """The code behind one type of target, bound to one Place. Only `run` changes the world.

    `offers` names what not every adapter can do; asking for what it does not name is an error.
    """

    place: Place
    offers: frozenset[Offer]

    def wanted(self, bundle: OpenBundle) -> Wanted:
        """`bundle` as it would run here: its layers for this platform, with this place's settings."""
        ...

    def check(self, bundle: OpenBundle) -> list[Problem]:
        """Read-only pre-flight: reach, rights, platform, size. Empty = nothing stands in the way."""
        ...

    def observe(self) -> Deployment:
        """What runs there, asked from the target itself."""
        ...

    def plan(self, wanted: Wanted | None, observed: Deployment) -> tuple[Action, ...]:
        """Pure: no I/O, no clock. `wanted` None = remove the service; nothing to do = no actions."""
        ...

    def run(self, action: Action, given: Given) -> dict[str, Any]:
        """Do one action; idempotent. Its result goes into the ledger."""
        ...

    def invoke(self, request: Request, release: int | None = None) -> Response:
        """A prediction by the live release, or by `release` through the way its candidate can be reached."""
        ...

    def carry(self, seen: Deployment, timeout: float) -> socket.socket:
        """A connection to the port of the service, through whatever leads to its host; `seen` has just been
        observed. Only asked where `offers` has "tunnel"."""
        ...

    def prove(self, release: int, golden: Mapping[str, Any]) -> Proof:
        """The golden examples, run on the target by `release`, before it has traffic."""
        ...

    def golden(self, release: int) -> Mapping[str, Any]:
        """The golden examples of a release that is on the target, for when no registry is at hand."""
        ...

    def logs(self, release: int | None, lines: int, within: float | None = None) -> Iterator[str]:
        """The last lines that a release wrote, `within` so many seconds; only asked where `offers` has
        "logs"."""
        ...

    def follow(self, release: int | None, lines: int, within: float | None = None) -> Sequence[LogSource]:
        """The logs of `release` (None: of the live one, whichever that is) as they grow, from each host, from
        the last `lines` lines on; only asked where `offers` has "follow"."""
        ...

    def ledger_url(self) -> str:
        """The store in which this target's ledger is kept."""
        ...


class HostsAdapter(Adapter, Protocol):
    """An adapter that offers "hosts": several that run the same. Its actions say on which one they are done,
    its Deployment what was seen on each, and its Wanted what each shall run.
    """

    hosts: tuple[str, ...]

    def on(self, host: str) -> Adapter:
        """What runs, proves and answers on one of them."""
        ...


def hosts_of(adapter: Adapter) -> tuple[str, ...]:
    """The names of its hosts, where it has several."""
    return cast(HostsAdapter, adapter).hosts if "hosts" in adapter.offers else ()


def at_host(adapter: Adapter, host: str) -> Adapter:
    """The adapter of one of its hosts; without a name, itself."""
    return cast(HostsAdapter, adapter).on(host) if host else adapter
