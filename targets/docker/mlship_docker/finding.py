"""Which engine is asked: the target's own, a context's, or the one that Docker's own command would take."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mlship.errors import ConfigError
from mlship.target.protocol import Place
from mlship_docker.settings import DockerSettings

USUAL = "unix:///var/run/docker.sock"
_SCHEMES = ("unix", "tcp", "ssh", "http", "https")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DEFAULT = "default"
_CONTEXT, _HOST = "DOCKER_CONTEXT", "DOCKER_HOST"


@dataclass(frozen=True)
class EngineAddress:
    """`certificates` is a folder with ca.pem, cert.pem and key.pem, or empty; `by` says who named it."""

    url: str
    certificates: str = ""
    verify: bool = True
    by: str = ""

    @property
    def kind(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def is_local(self) -> bool:
        return self.kind == "unix"

    @property
    def machine(self) -> str:
        """How the machine is reached on which it publishes ports; empty for this one."""
        return "" if self.is_local else urlsplit(self.url).hostname or ""

    def file(self, name: str) -> str:
        return str(Path(self.certificates).expanduser() / name)


def find_engine(place: Place, settings: DockerSettings, environment: Mapping[str, str]) -> EngineAddress:
    """Raises ConfigError for an address that is none, that anybody could listen to, and for a context that
    is not there."""
    return _checked(place, _found(place, settings, environment))


def _found(place: Place, settings: DockerSettings, environment: Mapping[str, str]) -> EngineAddress:
    own = str(place.project / settings.certificates) if place.project and settings.certificates else ""
    certificates = own or settings.certificates
    if settings.engine:
        return EngineAddress(settings.engine, certificates, by="`engine`")
    if settings.context:
        return _of_context(place, settings.context, _folder(environment))
    if environment.get(_HOST):
        verify = bool(environment.get("DOCKER_TLS_VERIFY"))
        usual = str(_folder(environment)) if verify else ""
        return EngineAddress(
            environment[_HOST],
            certificates or environment.get("DOCKER_CERT_PATH", usual),
            verify,
            by=_HOST,
        )
    name = environment.get(_CONTEXT) or _current(_folder(environment))
    if name and name != _DEFAULT:
        return _of_context(place, name, _folder(environment))
    return EngineAddress(USUAL, by="the usual socket")


def _folder(environment: Mapping[str, str]) -> Path:
    """Where the docker command keeps the user's settings and contexts."""
    return Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _current(folder: Path) -> str:
    """The context that the user has chosen; a file that cannot be read is for docker to complain of."""
    with suppress(OSError, ValueError, AttributeError):
        return str(json.loads((folder / "config.json").read_bytes()).get("currentContext") or "")
    return ""


def _of_context(place: Place, name: str, folder: Path) -> EngineAddress:
    """As the docker command writes them: contexts/meta/HEX/meta.json, contexts/tls/HEX/docker/*.pem."""
    if name == _DEFAULT:
        return EngineAddress(USUAL, by="the context default")
    mark = hashlib.sha256(name.encode()).hexdigest()
    try:
        meta = json.loads((folder / "contexts" / "meta" / mark / "meta.json").read_bytes())
        endpoint = meta["Endpoints"]["docker"]
        host, verify = str(endpoint["Host"]), not endpoint.get("SkipTLSVerify")
    except FileNotFoundError:
        raise ConfigError(
            f"target {place.name} names the docker context {name!r}, which is not here",
            fix="See docker context ls",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the docker context {name!r} cannot be read", cause=str(error)) from error
    kept = folder / "contexts" / "tls" / mark / "docker"
    return EngineAddress(host, str(kept) if kept.is_dir() else "", verify, by=f"the context {name}")


def _checked(place: Place, found: EngineAddress) -> EngineAddress:
    parts = urlsplit(found.url)
    if parts.scheme not in _SCHEMES or not (parts.path if parts.scheme == "unix" else parts.hostname):
        raise ConfigError(
            f"target {place.name}: {found.url[:200]!a} ({found.by}) is no address of an engine",
            fix="Write unix:///PATH, ssh://USER@HOST or tcp://HOST:2376",
        )
    plain = parts.scheme in ("tcp", "http") and not found.certificates
    if plain and parts.hostname not in _LOOPBACK:
        raise ConfigError(
            f"target {place.name}: the engine {found.url} would be asked without TLS",
            cause="whoever gets between, or reaches it, is root there",
            fix="Set `certificates` to a folder with ca.pem, cert.pem and key.pem, or use ssh://",
        )
    return found
