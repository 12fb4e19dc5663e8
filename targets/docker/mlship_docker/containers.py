"""How the containers of a service are made: the front, which alone has a port, and those of releases.

None of them is root, can become it or writes to its image; a release has no network unless it is given one.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

from mlship.errors import TargetError
from mlship.host.protocol import Unreached
from mlship_docker import names as known
from mlship_docker.engine import Engine
from mlship_docker.names import Names
from mlship_runtime.supervision.listening import PORT_OF_CONTAINER
from mlship_runtime.supervision.shared import FOLDER, MOUNTED, RELEASE

PORT_FIX = "Stop who has it (docker ps, ss -ltnp), or set another `port` or `host`"
NOBODY = 65532  # the user of our images
_FRONT_MEMORY = 256 << 20
_LOG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
_SECOND = 1_000_000_000  # nanoseconds
_PUBLISHED = f"{PORT_OF_CONTAINER}/tcp"


def create_front(
    engine: Engine, names: Names, image: str, place: Mapping[str, Any], fence: int
) -> dict[str, Any]:
    """The front, on `place` (host, port, network), with its volume, not started yet. Raises TargetError, and
    for names that somebody else has."""
    api = engine.api
    _own_volume(engine, names)
    ports = {PORT_OF_CONTAINER: (place["host"], place["port"] or None)}
    network = place["network"]
    with engine.asked(f"the front {names.front} cannot be made", fix=_taken(names.front)):
        made = api.create_container(
            image,
            ["front"],
            name=names.front,
            labels={**names.labels, known.RELEASE: known.FRONT, known.FENCE: str(fence)},
            ports=[PORT_OF_CONTAINER],
            healthcheck={"test": ["NONE"]},
            host_config=api.create_host_config(
                **_confined(names),
                port_bindings=ports,
                mem_limit=_FRONT_MEMORY,
                pids_limit=64,
                restart_policy={"Name": "unless-stopped"},
                network_mode=network or None,
            ),
        )
        api.put_archive(made["Id"], str(MOUNTED), _folder(FOLDER.name))
        found: dict[str, Any] = api.inspect_container(made["Id"])
    return found


def create_release(
    engine: Engine,
    names: Names,
    said: Mapping[str, Any],
    image: Mapping[str, Any],
    index: int,
    environment: Mapping[str, str],
    fence: int,
) -> None:
    """Container `index` of the release that `said` describes (the arguments of `stage`), of `image`, not
    started."""
    api, settings, number = engine.api, said["settings"], int(said["release"])
    name = names.container(number, index)
    labels = {
        **settings["labels"],
        **names.labels,
        known.RELEASE: str(number),
        known.INDEX: str(index),
        known.BUNDLE: said["digest"],
        known.REFERENCE: said["reference"],
        known.PLATFORM: said["platform"],
        known.SETTINGS: json.dumps(settings, sort_keys=True),
        known.SETTINGS_DIGEST: said["settingsDigest"],
        known.FENCE: str(fence),
    }
    record = {"number": number, "index": index, "settings": settings}
    with engine.asked(f"the container {name} cannot be made", fix=_taken(name)):
        api.create_container(
            image["Id"],
            ["release"],
            name=name,
            labels=labels,
            environment={**environment, RELEASE: json.dumps(record, sort_keys=True)},
            healthcheck={
                "test": ["CMD", *image["Config"]["Entrypoint"], "health"],
                "interval": 10 * _SECOND,
                "timeout": 10 * _SECOND,
                "start_period": int(settings["readyTimeout"] * _SECOND),
                "retries": 3,
            },
            host_config=api.create_host_config(
                **_confined(names),
                network_mode=settings["network"] or "none",
                pids_limit=settings["pids"],
                restart_policy={"Name": "no"},  # until it has traffic
                **_limits(settings),
            ),
        )


def _limits(settings: Mapping[str, Any]) -> dict[str, Any]:
    memory, cpus = settings["memory"], settings["cpus"]
    return {
        **({"mem_limit": memory, "memswap_limit": memory} if memory else {}),
        **({"nano_cpus": int(cpus * _SECOND)} if cpus else {}),
    }


def _confined(names: Names) -> dict[str, Any]:
    return {
        "binds": {names.volume: {"bind": str(MOUNTED), "mode": "rw"}},
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,size=256m,mode=1777"},  # noqa: S108  in the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "log_config": _LOG,
    }


def _own_volume(engine: Engine, names: Names) -> None:
    """Make the volume; one of this name that is not ours is refused, for the engine would hand it out."""
    with engine.asked(f"the volume {names.volume} cannot be made"):
        there = find_volume(engine, names)
        if there is None:
            engine.api.create_volume(names.volume, labels=names.labels)
        elif not names.owns(there.get("Labels")):
            raise TargetError(f"the volume {names.volume} is not of this service", fix=_taken(names.volume))


def find_volume(engine: Engine, names: Names) -> dict[str, Any] | None:
    """The volume of that name, whoever it is of. Within `asked`."""
    from docker.errors import NotFound

    try:
        found: dict[str, Any] = engine.api.inspect_volume(names.volume)
    except NotFound:
        return None
    return found


def start_front(engine: Engine, names: Names, image: str, place: Mapping[str, Any], fence: int) -> int:
    """Start the front, made anew where a free port was wanted and none is settled: an engine would choose
    another at each start. Returns the port. Raises TargetError; nothing is left then."""
    for port in (place["port"], None):
        front = create_front(engine, names, image, {**place, "port": place["port"] or port or 0}, fence)
        try:
            with engine.asked(
                f"the front cannot have port {place['port'] or 'any'} on {place['host']}", fix=PORT_FIX
            ):
                engine.api.start(front["Id"])
            got = port_of(engine, front["Id"])
        except Unreached:
            raise
        except TargetError:
            discard(engine, front["Id"])
            raise
        if place["port"]:
            return got
        discard(engine, front["Id"])
        place = {**place, "port": got}
    raise AssertionError("the second round has a port")


def port_of(engine: Engine, container: str) -> int:
    """The port that is published for the front."""
    with engine.asked("the engine does not tell the front's port"):
        found = engine.api.inspect_container(container)["NetworkSettings"]["Ports"].get(_PUBLISHED)
    if not found:
        raise TargetError("the front has no port", cause="the engine published none", fix="See docker ps")
    return int(found[0]["HostPort"])


def published(front: Mapping[str, Any]) -> tuple[str, int]:
    """Where a front is to be published, running or not."""
    bound = (front["HostConfig"]["PortBindings"] or {}).get(_PUBLISHED) or [{"HostIp": "", "HostPort": "0"}]
    return bound[0]["HostIp"] or "0.0.0.0", int(bound[0]["HostPort"] or 0)  # noqa: S104  as Docker means it


def discard(engine: Engine, container: str) -> None:
    """Remove a container of ours at once; gone is fine."""
    from docker.errors import NotFound

    with engine.asked("a container cannot be removed"):
        try:
            engine.api.remove_container(container, force=True)
        except NotFound:
            return


def _taken(name: str) -> str:
    return f"If something else is called {name}, rename it, or call the target or the service otherwise"


def _folder(name: str) -> bytes:
    """A tar with a folder for our user alone: volumes belong to root, and nothing of ours is that."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.mode, member.uid, member.gid = tarfile.DIRTYPE, 0o700, NOBODY, NOBODY
        tar.addfile(member)
    return whole.getvalue()
