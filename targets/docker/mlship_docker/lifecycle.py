"""What changes a service on its engine: the front, the containers of a release, traffic, and the end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from mlship.errors import LockedError, TargetError, UnhealthyError
from mlship_docker import containers as made
from mlship_docker import names as labels
from mlship_docker.containers import discard
from mlship_docker.engine import Engine
from mlship_docker.front import Front
from mlship_docker.logs import last_lines
from mlship_docker.names import Names
from mlship_docker.seen import Seen, ending, inspected, look
from mlship_docker.settings import DockerSettings
from mlship_docker.stock import find, remove_unused

SLACK = 15.0  # seconds for what should take none
_SLICE = 1.0  # seconds that the front is asked to wait for a release before the engine is looked at again
_LOOK = 0.3
_STOP = 5  # seconds for a container to end by itself


class Service:
    """All methods can be repeated. Each gives the front its deployer's fence first, if a front runs: it
    refuses one that another has overtaken."""

    def __init__(self, engine: Engine, names: Names, settings: DockerSettings) -> None:
        self._engine, self._names, self._settings = engine, names, settings

    def open(self, said: Mapping[str, Any], fence: int) -> dict[str, Any]:
        """Have the front run; one that has stopped is started again where it was."""
        seen = self._seen(fence)
        if seen.front is not None and not seen.front_runs:
            with self._engine.asked("the front cannot be started", fix=made.PORT_FIX):
                self._engine.api.start(seen.front["Id"])
        elif seen.front is None:
            image = find(self._engine, said)["Id"]
            made.start_front(self._engine, self._names, image, said, fence)
        front, end = self._front(), time.monotonic() + self._settings.ready_timeout
        while True:
            try:
                front.order("take", fence=fence)
                break
            except TargetError:
                if time.monotonic() > end:
                    raise
            time.sleep(_LOOK)
        found = look(self._engine, self._names).front
        assert found is not None  # noqa: S101  it has just answered
        host, port = made.published(found)
        return {"host": host, "port": port}

    def stage(self, said: Mapping[str, Any], fence: int) -> dict[str, Any]:
        """Make the containers of a release that are not there yet."""
        seen, number = self._seen(fence), int(said["release"])
        there = {container["Name"] for container in seen.releases.get(number, ())}
        environment, image = self._environment(said, seen), find(self._engine, said["settings"])
        for index in range(int(said["settings"]["workers"])):
            if f"/{self._names.container(number, index)}" not in there:
                made.create_release(self._engine, self._names, said, image, index, environment, fence)
        return {"containers": self._names.container(number, 0)}

    def start(self, said: Mapping[str, Any], fence: int, wait: float) -> dict[str, Any]:
        """Start them, and wait until all are ready. Raises TargetError with what a release says of its
        failure, or else with how it ended."""
        number, count = int(said["release"]), int(said["workers"])
        containers = self._of(self._seen(fence), number)
        for container in containers:
            with self._engine.asked(f"{container['Name'][1:]} cannot be started"):
                self._engine.api.start(container["Id"])
        front, end = self._front(), time.monotonic() + wait
        while True:
            within = max(0.0, min(_SLICE, end - time.monotonic()))
            told = front.order("ready", release=number, workers=count, within=within)
            if told["error"]:
                error = told["error"]
                raise TargetError(error["what"], cause=error.get("cause", ""), fix=error.get("fix", ""))
            if told["ready"]:
                return {"ready": count}
            self._refuse_ended(number, containers)
            if time.monotonic() >= end:
                raise TargetError(
                    f"release {number} is not ready after {wait:g} s",
                    cause=self._last_line(containers),
                    fix="Give it longer with `ready_timeout`, or see its log",
                )

    def shift(self, said: Mapping[str, Any], fence: int, drain: float) -> dict[str, Any]:
        """Let the front move the traffic."""
        return self._front().order("shift", fence=fence, drain=drain, **said)

    def settle(self, said: Mapping[str, Any], fence: int, drain: float, bake: float) -> None:
        """Have the live release started again when it ends, watch it for `bake` seconds, and stop what
        else runs once it has handed on its connections. Raises UnhealthyError if the live one ends."""
        seen, number = self._seen(fence), int(said["release"])
        live = self._of(seen, number)
        for container in live:
            self._restarts(container, said["restart"])
        others = [x for each, found in seen.releases.items() if each != number for x in found]
        for container in others:
            self._restarts(container, "no")
        baked = time.monotonic() + bake
        late = time.monotonic() + drain + SLACK
        while True:
            self._refuse_restarted(number, live)
            left = self._still_draining(number) if others and time.monotonic() < late else set()
            for container in [x for x in others if x["Config"]["Labels"][labels.RELEASE] not in left]:
                self._stop(container)
                others.remove(container)
            if not others and time.monotonic() >= baked:
                return
            time.sleep(_LOOK)

    def remove(self, said: Mapping[str, Any], fence: int) -> dict[str, Any]:
        """Remove releases with their containers, and images that nothing uses any more."""
        seen = self._seen(fence)
        for number in said["releases"]:
            for container in seen.releases.get(number, ()):
                discard(self._engine, container["Id"])
        if seen.front_runs:
            self._front().order("forget", fence=fence, releases=said["releases"])
        left = look(self._engine, self._names)
        used = _images_of(left) | set(said["keep"])
        remove_unused(self._engine, self._names, used, self._settings.repository)
        return {"removed": said["releases"]}

    def destroy(self, fence: int) -> dict[str, Any]:
        """Remove all of this service, and nothing else."""
        seen, api = self._seen(fence, wedged=True), self._engine.api
        for container in seen.all:
            self._restarts(container, "no")
            self._stop(container)
        for container in [*seen.all, *([seen.front] if seen.front else [])]:
            discard(self._engine, container["Id"])
        with self._engine.asked(f"the volume {self._names.volume} cannot be removed"):
            if seen.volume:
                api.remove_volume(self._names.volume)
        remove_unused(self._engine, self._names, set(), self._settings.repository)
        return {"removed": sorted(seen.releases), "purged": True}

    def _seen(self, fence: int, *, wedged: bool = False) -> Seen:
        """What is there, once the front has taken the fence; it may be `wedged`, where all is to go."""
        seen = look(self._engine, self._names)
        if seen.fence > fence:
            raise LockedError(
                f"the order with fence number {fence} is refused",
                cause=f"{self._names.front} has had orders with number {seen.fence}",
                fix="Look at the history, then deploy again",
            )
        if seen.front is not None and seen.front_runs:
            try:
                Front(self._engine, seen.front).order("take", fence=fence)
            except TargetError:
                if not wedged:
                    raise
        return seen

    def _front(self) -> Front:
        front = look(self._engine, self._names).front
        if front is None:
            raise TargetError(f"the front {self._names.front} is gone", fix="Run: mlship repair")
        return Front(self._engine, front)

    def _of(self, seen: Seen, number: int) -> list[dict[str, Any]]:
        found = seen.releases.get(number)
        if not found:
            raise TargetError(
                f"the containers of release {number} are gone", fix="Deploy it again, which makes them anew"
            )
        return found

    def _environment(self, said: Mapping[str, Any], seen: Seen) -> dict[str, str]:
        """The values that the settings have; those of an earlier release are in its containers alone."""
        wanted = said["settings"]
        if wanted["environmentDigest"] == self._settings.environment_digest:
            return dict(self._settings.environment)
        for container in seen.all:
            known = json.loads(container["Config"]["Labels"].get(labels.SETTINGS) or "{}")
            if known.get("environmentDigest") == wanted["environmentDigest"]:
                values = dict(line.split("=", 1) for line in container["Config"]["Env"] if "=" in line)
                return {name: values[name] for name in wanted["environment"] if name in values}
        raise TargetError(
            "the values of the environment of that release are gone", fix="Deploy it again from a registry"
        )

    def _refuse_ended(self, number: int, containers: list[dict[str, Any]]) -> None:
        """A candidate is not started again, so one that has ended has failed."""
        for container in containers:
            with self._engine.asked("the engine does not tell its containers"):
                now = inspected(self._engine, container["Id"])
            if now is None or not now["State"]["Running"]:
                how = ending(now) if now else "its container was removed"
                raise TargetError(
                    f"release {number} ended while it started: {how or 'without an error'}",
                    cause=self._last_line(containers),
                )

    def _refuse_restarted(self, number: int, containers: list[dict[str, Any]]) -> None:
        for container in containers:
            with self._engine.asked("the engine does not tell its containers"):
                now = inspected(self._engine, container["Id"])
            before = container["State"]
            if now is None or now["State"]["StartedAt"] != before["StartedAt"] or not now["State"]["Running"]:
                how = (ending(now) if now else "") or "it was started anew"
                raise UnhealthyError(
                    f"release {number} did not stay up under traffic",
                    cause=how,
                    fix=f"See mlship logs --release {number}",
                )

    def _last_line(self, containers: list[dict[str, Any]]) -> str:
        lines = last_lines(self._engine, containers, 5)
        return f"the last that it wrote: {lines[-1][:200]}" if lines else "it wrote nothing"

    def _still_draining(self, number: int) -> set[str]:
        """The releases, as labels have them, of which a worker still hands on what it has."""
        workers = self._front().order("status")["workers"]
        return {str(w["number"]) for w in workers if w["state"] == "draining" and w["number"] != number}

    def _restarts(self, container: Mapping[str, Any], policy: str) -> None:
        from docker.errors import NotFound

        with self._engine.asked(f"{container['Name'][1:]} cannot be changed"):
            try:
                self._engine.api.update_container(container["Id"], restart_policy={"Name": policy})
            except NotFound:
                return

    def _stop(self, container: Mapping[str, Any]) -> None:
        from docker.errors import NotFound

        with self._engine.asked(f"{container['Name'][1:]} cannot be stopped"):
            try:
                self._engine.api.stop(container["Id"], timeout=_STOP)
            except NotFound:
                return


def _images_of(seen: Seen) -> set[str]:
    front = [seen.front] if seen.front else []
    return {container["Image"] for container in [*seen.all, *front]}
