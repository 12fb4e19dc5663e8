"""What an engine has of a service, as a Deployment: containers and their labels, and what the front tells."""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mlship.errors import TargetError
from mlship.host.protocol import Unreached
from mlship.target.deployment import Deployment, Endpoint, ReleaseState, State, Vitals, WorkerState
from mlship_docker import names as known
from mlship_docker.containers import find_volume, published
from mlship_docker.engine import Engine
from mlship_docker.front import Front
from mlship_docker.names import Names
from mlship_docker.stock import stock
from mlship_runtime.supervision.listening import reach
from mlship_runtime.supervision.shared import FOLDER

_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104  compared, not bound
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MOST = 4 << 20  # bytes of a file that is read out of a container


@dataclass
class Seen:
    """Containers as the engine tells of them (inspect): the front, and those of releases by number."""

    front: dict[str, Any] | None = None
    releases: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    live: int | None = None
    served: frozenset[int] = frozenset()
    fence: int = 0
    waiting: int | None = None
    workers: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[int, dict[str, str]] = field(default_factory=dict)
    volume: bool = False

    @property
    def front_runs(self) -> bool:
        return self.front is not None and bool(self.front["State"]["Running"])

    @property
    def all(self) -> list[dict[str, Any]]:
        return [container for each in self.releases.values() for container in each]


def look(engine: Engine, names: Names) -> Seen:
    """Raises TargetError, Unreached."""
    seen = Seen()
    filters = {"label": [f"{key}={value}" for key, value in names.labels.items()]}
    with engine.asked("the engine does not tell its containers"):
        for listed in engine.api.containers(all=True, filters=filters):
            container = inspected(engine, listed["Id"])
            if container is None:
                continue
            if names.is_front(container):
                seen.front = container
            elif (number := names.number(container)) is not None:
                seen.releases.setdefault(number, []).append(container)
        volume = find_volume(engine, names)
        seen.volume = volume is not None and names.owns(volume.get("Labels"))
    _ask_front(engine, seen)
    return seen


def inspected(engine: Engine, container: str) -> dict[str, Any] | None:
    """What the engine tells of a container; None if it is gone. Within `asked`."""
    from docker.errors import NotFound

    try:
        found: dict[str, Any] = engine.api.inspect_container(container)
    except NotFound:
        return None
    return found


def _ask_front(engine: Engine, seen: Seen) -> None:
    """The front tells more than its files; but those can be read when nothing runs."""
    if seen.front_runs and seen.front is not None:
        try:
            told = Front(engine, seen.front).order("status")
        except Unreached:
            raise
        except TargetError:  # it is about to start, or to end
            told = None
        if told is not None:
            seen.live, seen.served = told["live"], frozenset(told["served"])
            seen.fence, seen.waiting, seen.workers = told["fence"], told["waiting"], told["workers"]
            seen.failures = {int(number): error for number, error in told["failures"].items() if error}
            return
    holder = seen.front or next(iter(seen.all), None)
    if holder is None:
        return
    with suppress(TargetError, ValueError, KeyError):
        live = json.loads(file_in(engine, holder["Id"], f"{FOLDER}/live.json"))
        seen.live, seen.served = live["release"], frozenset(live["served"])
    with suppress(TargetError, ValueError):
        seen.fence = int(file_in(engine, holder["Id"], f"{FOLDER}/fence"))


def file_in(engine: Engine, container: str, path: str) -> bytes:
    """A file of a container, whether it runs or not. Raises TargetError if it is not there."""
    with engine.asked(f"{path} cannot be read out of a container"):
        stream, about = engine.api.get_archive(container, path)
        if about["size"] > _MOST:
            raise TargetError(f"{path} in a container is larger than it may be")
        whole = b"".join(stream)
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None:
                return content.read()
    raise TargetError(f"{path} in a container is no file")


def deployment(engine: Engine, names: Names, seen: Seen) -> Deployment:
    """The same in the words of the core."""
    releases = tuple(_release(seen, number) for number in sorted(seen.releases))
    live = next((release for release in releases if release.number == seen.live), None)
    images = stock(engine)
    left = any(names.image(image.id) in image.names for image in images)
    host, port = published(seen.front) if seen.front else ("", 0)
    return Deployment(
        service=names.service,
        releases=releases,
        live_number=live.number if live else None,
        last_number=max((r.number for r in releases), default=0),
        healthy=live is not None and live.state == "serving" and seen.front_runs,
        endpoints=_endpoints(engine, host, port) if live and port else (),
        present=frozenset(image.id for image in images),
        problems=_problems(seen, live),
        exists=bool(seen.front or seen.releases or seen.volume or left),
        fence=seen.fence,
        vitals=_vitals(seen, live),
        keeper=f"the engine ({seen.front['HostConfig']['RestartPolicy']['Name']})" if seen.front else "",
        facts={
            "front": seen.front_runs,
            "host": host,
            "port": port,
            "chains": [list(image.layers) for image in images],
            "partial": engine.keeps_layers,
            "running": sorted(n for n, each in seen.releases.items() if any(_runs(x) for x in each)),
            "containers": {str(number): len(each) for number, each in seen.releases.items()},
            "restart": {str(n): policy_of(each) for n, each in seen.releases.items()},
            "sockets": {str(worker["number"]): worker["socket"] for worker in reversed(seen.workers)},
        },
    )


def policy_of(containers: list[dict[str, Any]]) -> str:
    """Who starts them again; empty if they differ."""
    found = {container["HostConfig"]["RestartPolicy"]["Name"] or "no" for container in containers}
    return found.pop() if len(found) == 1 else ""


def _runs(container: dict[str, Any]) -> bool:
    return bool(container["State"]["Running"])


def _release(seen: Seen, number: int) -> ReleaseState:
    containers = seen.releases[number]
    labels = containers[0]["Config"]["Labels"]
    state, error = _state(seen, number)
    try:
        settings = json.loads(labels.get(known.SETTINGS, ""))
    except ValueError:
        settings = {}
    return ReleaseState(
        number=number,
        digest=labels.get(known.BUNDLE, ""),
        reference=labels.get(known.REFERENCE, ""),
        settings_digest=labels.get(known.SETTINGS_DIGEST, ""),
        settings=settings,
        platform=labels.get(known.PLATFORM, ""),
        state=state,
        served=number in seen.served,
        error=error,
    )


def _state(seen: Seen, number: int) -> tuple[State, str]:
    containers = seen.releases[number]
    wanted = int(json.loads(containers[0]["Config"]["Labels"].get(known.SETTINGS) or "{}").get("workers", 1))
    states = [worker["state"] for worker in seen.workers if worker["number"] == number]
    for state in ("draining", "serving", "ready"):
        whole = len(states) >= wanted or state == "draining"
        if whole and states.count(state) == len(states) > 0:
            return state, ""
    if any(_runs(container) or container["State"].get("Restarting") for container in containers):
        return "starting", _error(seen, number)
    if all(container["State"]["Status"] == "created" for container in containers):
        return "staged", ""
    failed = any(container["State"]["ExitCode"] for container in containers)
    never = failed and number not in seen.served
    return ("failed" if never else "stopped"), _error(seen, number) if failed else ""


def _error(seen: Seen, number: int) -> str:
    """Why a release is not as it should be, as far as it or the engine tells."""
    told = seen.failures.get(number)
    if told:
        return f"{told['what']}: {told['cause']}" if told.get("cause") else told["what"]
    return next((text for text in map(ending, seen.releases[number]) if text), "")


def ending(container: dict[str, Any]) -> str:
    """How a container ended the last time, if not well."""
    state = container["State"]
    if state.get("OOMKilled"):
        return "it needed more memory than `memory` allows"
    if state.get("Error"):
        return str(state["Error"])[:300]
    return f"it ended with exit code {state['ExitCode']}" if state["ExitCode"] else ""


def _endpoints(engine: Engine, host: str, port: int) -> tuple[Endpoint, ...]:
    machine = engine.address.machine
    at = machine if machine and host in _EVERYWHERE else reach(host)
    local = host in _LOOPBACK
    url = f"http://{f'[{at}]' if ':' in at else at}:{port}"
    only = (machine or "this machine") if local else ""
    return (Endpoint(kind="internal" if local else "external", url=url, only_on=only),)


def _problems(seen: Seen, live: ReleaseState | None) -> tuple[str, ...]:
    found = []
    if seen.releases and not seen.front_runs:
        found.append("nobody keeps the port: the front does not run (mlship repair starts it again)")
    if live is not None and live.state != "serving":
        found.append(f"the live release is {live.state}: {live.error}".rstrip(": "))
    if seen.live is not None and live is None:
        found.append(f"the containers of release {seen.live}, which was live, are gone")
    return tuple(found)


def _vitals(seen: Seen, live: ReleaseState | None) -> Vitals | None:
    if live is None:
        return None
    containers = seen.releases[live.number]
    states = {worker["index"]: worker["state"] for worker in seen.workers if worker["number"] == live.number}
    died = sum(container.get("RestartCount", 0) for container in containers)
    workers = (
        WorkerState(pid=x["State"]["Pid"], state=states.get(_index(x), "starting")) for x in containers
    )
    return Vitals(
        workers=tuple(workers),
        restarts={"died": died} if died else {},
        ceiling=live.settings.get("memory") or None,
        waiting=seen.waiting,
    )


def _index(container: dict[str, Any]) -> int:
    return int(container["Config"]["Labels"][known.INDEX])
