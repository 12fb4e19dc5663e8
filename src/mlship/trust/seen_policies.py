"""The newest policy of each place that this machine has obeyed: an older one, or none, is refused then.

Whoever can write to a store can put an older policy back, whose signature still holds. What was seen is kept
in the user's data folder; where that is empty each time (CI), `policy` in mlship.toml says the least version.
"""

from __future__ import annotations

from pathlib import Path

from mlship.config.folders import data_dir
from mlship.digest import hex_of, sha256
from mlship.errors import ConfigError, PolicyError
from mlship.trust.policy import Policy
from mlship_runtime.errors import SiteError
from mlship_runtime.files import make_folder, read_numbered, write_json


def seen(place: str) -> int:
    """The version of the newest policy of `place` (its URL) that was obeyed here; 0 if there was none. Raises
    ConfigError if what is kept of it is damaged."""
    file = _file(place)
    try:
        record = read_numbered(file)
    except SiteError as fault:
        raise ConfigError(fault.what, cause=fault.cause, fix=fault.fix or f"Remove {file}") from fault
    version = record.get("version") if record else 0
    if not isinstance(version, int):
        raise ConfigError(f"{file} cannot be read", cause="it names no version", fix=f"Remove {file}")
    return version


def check_not_older(place: str, where: str, policy: Policy | None, least: int) -> None:
    """Raise PolicyError if `policy` (None: there is none) is older than one seen here, or than `least`."""
    version = policy.version if policy else 0
    known = seen(place)
    if version >= max(known, least):
        return
    what = f"the policy of {where} has version {version}" if policy else f"{where} has no policy"
    if least > version:
        raise PolicyError(
            f"{what}, and mlship.toml asks for {least}", fix="Set that, or correct policy in mlship.toml"
        )
    raise PolicyError(
        f"{what}, and this machine has seen {known}",
        cause="it was put back or removed, perhaps by somebody who may not",
        fix=f"Set it again under a higher version; if it is meant so, remove {_file(place)}",
    )


def remember(place: str, policy: Policy) -> None:
    """Note that `policy` was obeyed, if it is newer than what is noted. Raises ConfigError."""
    if policy.version <= seen(place):
        return
    file = _file(place)
    try:
        make_folder(file.parent)
        write_json(file, {"schemaVersion": 1, "place": place, "name": policy.name, "version": policy.version})
    except OSError as error:
        raise ConfigError(f"{file} cannot be written", cause=error.strerror or str(error)) from error


def _file(place: str) -> Path:
    return data_dir() / "policies" / f"{hex_of(sha256(place.encode('utf-8')))[:32]}.json"
