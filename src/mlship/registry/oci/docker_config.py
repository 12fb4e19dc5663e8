"""Credentials where Docker, Podman and others keep them: `config.json` in DOCKER_CONFIG or ~/.docker.

Sources: docker/cli, cli/config/configfile/file.go and credentials/native_store.go.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlship.errors import ConfigError
from mlship.registry.oci import credential_helper
from mlship.registry.oci.address import DOCKER_HUB

_HUB_KEY = "https://index.docker.io/v1/"
_MAX_FILE = 4 << 20
HELPER = "docker-credential-"


@dataclass(frozen=True)
class Credentials:
    """Who one is to a registry. `identity` is a token that is exchanged for others, in place of a password;
    `bearer` one that is sent as it is. Nothing of it is ever shown, not by repr either."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)


def config_file() -> Path:
    """The file, which may not be there."""
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder).expanduser() if folder else Path.home() / ".docker") / "config.json"


def credentials_for(host: str) -> Credentials | None:
    """What is kept for `host` (`example.com:5000`). ConfigError for a file or helper that is broken."""
    config = _read()
    helper = _helper(config, host)
    if helper:
        found = credential_helper.get(helper, _key(host))
        if found is not None:
            username, secret = found
            if username == credential_helper.IDENTITY:
                return Credentials(identity=secret)
            return Credentials(username, secret)
    return _from_auths(config, host)


def store(host: str, username: str, password: str) -> str:
    """Keep credentials for `host`, with its helper if there is one; what keeps them, in words."""
    config = _read()
    helper = _helper(config, host)
    if helper:
        credential_helper.store(helper, _key(host), username, password)
        return f"{HELPER}{helper}"
    auth = base64.b64encode(f"{username}:{password}".encode()).decode()
    _auths(config)[_key(host)] = {"auth": auth}
    _write(config)
    return str(config_file())


def erase(host: str) -> bool:
    """Forget the credentials for `host`; False if there were none."""
    config = _read()
    helper = _helper(config, host)
    there = False
    if helper and credential_helper.get(helper, _key(host)) is not None:
        credential_helper.erase(helper, _key(host))
        there = True
    auths = _auths(config)
    for key in [key for key in auths if _host_of(key) == host]:
        del auths[key]
        there = True
        _write(config)
    return there


def _key(host: str) -> str:
    return _HUB_KEY if host == DOCKER_HUB else host


def _host_of(key: str) -> str:
    """The host of a key: older tools wrote a whole URL."""
    host = key.partition("://")[2] or key
    host = host.partition("/")[0].lower()
    return DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host


def _helper(config: dict[str, Any], host: str) -> str:
    helpers = config.get("credHelpers")
    if isinstance(helpers, dict):
        for key, name in helpers.items():
            if _host_of(key) == host and isinstance(name, str):
                return name
    store = config.get("credsStore")
    return store if isinstance(store, str) else ""


def _auths(config: dict[str, Any]) -> dict[str, Any]:
    auths = config.setdefault("auths", {})
    if not isinstance(auths, dict):
        raise _broken("its auths are no object")
    return auths


def _from_auths(config: dict[str, Any], host: str) -> Credentials | None:
    auths = _auths(config)
    exact = [key for key in (_key(host), host) if key in auths]
    for key in exact or [key for key in auths if _host_of(key) == host]:
        entry = auths[key]
        if not isinstance(entry, dict):
            raise _broken(f"its entry for {host} is no object")
        if isinstance(entry.get("registrytoken"), str):
            return Credentials(bearer=entry["registrytoken"])
        if isinstance(entry.get("identitytoken"), str) and entry["identitytoken"]:
            return Credentials(identity=entry["identitytoken"])
        if isinstance(entry.get("auth"), str) and entry["auth"]:
            return _decoded(entry["auth"], host)
    return None


def _decoded(auth: str, host: str) -> Credentials:
    try:
        text = base64.b64decode(auth, validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    username, colon, password = text.partition(":")
    if not colon:
        raise _broken(f"its entry for {host} cannot be decoded")
    return Credentials(username, password.rstrip("\0"))


def _read() -> dict[str, Any]:
    file = config_file()
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{file} cannot be read", cause=error.strerror or str(error)) from error
    try:
        config = json.loads(data) if len(data) <= _MAX_FILE else None
    except (ValueError, RecursionError):
        raise _broken("it is not JSON") from None  # the error's text would show a part of it
    if not isinstance(config, dict):
        raise _broken("it is not an object")
    return config


def _write(config: dict[str, Any]) -> None:
    """Replace the file as a whole, for its owner alone; a link stays one, and what it names is replaced."""
    file = Path(os.path.realpath(config_file()))
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".config.json.", dir=file.parent)  # made with 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                json.dump(config, opened, indent="\t", ensure_ascii=False)
                opened.flush()
                os.fsync(opened.fileno())
            Path(name).chmod(stat.S_IRUSR | stat.S_IWUSR)
            Path(name).replace(file)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written",
            cause=error.strerror or str(error),
            fix="Name a folder of your own with DOCKER_CONFIG",
        ) from error


def _broken(cause: str) -> ConfigError:
    return ConfigError(
        f"{config_file()} cannot be used", cause=cause, fix="Mend it, or name another with DOCKER_CONFIG"
    )
