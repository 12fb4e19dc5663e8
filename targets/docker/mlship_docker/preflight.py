"""What would make a deploy to an engine fail, found without changing anything there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlship.errors import TargetError
from mlship.host.protocol import Unreached
from mlship.target.deployment import Problem
from mlship_docker.containers import PORT_FIX, find_volume, published
from mlship_docker.engine import OLDEST, Engine
from mlship_docker.names import Names
from mlship_docker.seen import inspected, look
from mlship_runtime.errors import RuntimeFault
from mlship_runtime.supervision.listening import free

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship_docker.adapter import DockerAdapter


def preflight(adapter: DockerAdapter, bundle: OpenBundle) -> list[Problem]:
    """Reach and rights first: without them there is nothing else to be told."""
    try:
        about = adapter.engine.about
    except Unreached as error:
        return [_problem(error)]
    found = list(_kind(adapter.engine, about))
    if any(problem.blocks for problem in found):
        return found
    try:
        image = adapter.image_of(bundle)
    except TargetError as error:  # the platform, mostly; what is wrong with base or bundle is its own error
        return [*found, _problem(error)]
    return [
        *found,
        *_room(adapter, about, [layer.size for layer in image.layers]),
        *_names(adapter.engine, adapter.names),
        *_networks(adapter),
        *_port(adapter),
        *_ledger(adapter),
    ]


def _problem(error: TargetError) -> Problem:
    return Problem(what=f"{error.what}: {error.cause}".rstrip(": "), fix=error.fix)


def _kind(engine: Engine, about: dict[str, Any]) -> Iterator[Problem]:
    version = str(engine.api.api_version)
    if tuple(int(part) for part in version.split(".")) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        what = f"the engine speaks API {version}, and {oldest} is needed"
        yield Problem(what=what, fix="Install Docker 20.10 or newer there")
    if about.get("OSType") != "linux":
        what = f"the engine runs containers of {about.get('OSType')!s}, not of Linux"
        yield Problem(what=what, fix="Switch it to Linux containers")
    if about.get("Swarm", {}).get("LocalNodeState") == "active":
        what = "the engine is in a swarm, which may start and move containers of its own"
        yield Problem(what=what, fix="Keep names of mlship out of its stacks", blocks=False)


def _room(adapter: DockerAdapter, about: dict[str, Any], sizes: list[int]) -> Iterator[Problem]:
    """Engines do not tell; the disk of one on this machine can be looked at, if we may."""
    root = str(about.get("DockerRootDir") or "")
    if not adapter.engine.address.is_local or not os.access(root, os.R_OK):
        return
    need, free_bytes = 2 * sum(sizes), shutil.disk_usage(root).free
    if free_bytes < need:
        what = f"{free_bytes / 1e6:,.0f} MB are free in {root}, {need / 1e6:,.0f} MB are needed"
        yield Problem(what=what, fix="Free some: docker system df tells what takes it")


def _names(engine: Engine, names: Names) -> Iterator[Problem]:
    """Our names in the hands of others."""
    with engine.asked("the engine does not tell its containers"):
        front, volume = inspected(engine, names.front), find_volume(engine, names)
        listed = engine.api.containers(all=True, filters={"name": f"^/{names.front}-r[0-9]+-[0-9]+$"})
        others = [found for x in listed if (found := inspected(engine, x["Id"])) is not None]
    fix = "Rename or remove it, or give the target or the service another name"
    if front is not None and not names.is_front(front):
        yield Problem(what=f"a container {names.front} is there that is not of this service", fix=fix)
    for container in others:
        if names.number(container) is None:
            name = container["Name"][1:]
            yield Problem(what=f"a container {name} is there that is not of this service", fix=fix)
    if volume is not None and not names.owns(volume.get("Labels")):
        yield Problem(what=f"a volume {names.volume} is there that is not of this service", fix=fix)


def _networks(adapter: DockerAdapter) -> Iterator[Problem]:
    settings = adapter.settings
    with adapter.engine.asked("the engine does not tell its networks"):
        known = {network["Name"] for network in adapter.engine.api.networks()}
    for key, name in (("network", settings.network), ("release_network", settings.release_network)):
        if name and name not in known:
            what = f"there is no network {name} on the engine (`{key}`)"
            yield Problem(what=what, fix=f"Make it: docker network create {name}")
    if not settings.network and "bridge" not in known:
        yield Problem(what="the engine has no bridge network", fix="Name one of its own with `network`")


def _port(adapter: DockerAdapter) -> Iterator[Problem]:
    """The port stays where it was opened; a new one must be free."""
    settings, front = adapter.settings, look(adapter.engine, adapter.names).front
    if front is not None:
        host, port = published(front)
        if (settings.host, settings.port or port) != (host, port):
            what = f"the service listens on {host}:{port}, not on {settings.host}:{settings.port or port}"
            fix = "That cannot change under a running service: destroy it first, or set what it was"
            yield Problem(what=what, fix=fix)
        return
    if not settings.port:
        return
    with adapter.engine.asked("the engine does not tell its containers"):
        for container in adapter.engine.api.containers():
            if any(x.get("PublicPort") == settings.port for x in container.get("Ports") or ()):
                name = container["Names"][0][1:]
                what = f"port {settings.port} is published for the container {name}"
                yield Problem(what=what, fix=PORT_FIX)
                return
    if adapter.engine.address.is_local:
        try:
            free(settings.host, settings.port)
        except RuntimeFault as fault:
            yield Problem(what=f"{fault.what}: {fault.cause}", fix=fault.fix)


def _ledger(adapter: DockerAdapter) -> Iterator[Problem]:
    if not adapter.engine.address.is_local and adapter.place.ledger is None:
        what = f"target {adapter.place.name} is an engine on another machine, and has no `ledger`"
        yield Problem(what=what, fix="Set ledger = URL of a store that all deployers reach")
