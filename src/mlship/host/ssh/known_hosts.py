"""Which host keys are known for an address: those that a project pins, or else those that the user knows.

The form is that of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT, with certificate authorities and revoked keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mlship.errors import ConfigError
from mlship.host.ssh.address import PORT, Address, is_host_key
from mlship_runtime.files import write_atomic

USERS = (Path("~/.ssh/known_hosts"), Path("~/.ssh/known_hosts2"), Path("/etc/ssh/ssh_known_hosts"))


def name_of(address: Address) -> str:
    """What `address` is called in such a file."""
    host = address.host.lower()
    return host if address.port in (None, PORT) else f"[{host}]:{address.port}"


class Known(NamedTuple):
    """Of one machine: the keys that it may show (`ssh-ed25519 AAAA…`), those of the `authorities` that may
    have signed one for it, and those that count no more."""

    keys: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()


def known(address: Address, pinned: Path | None, users: Iterable[Path] = USERS) -> Known:
    """What is known of the machine at `address`: if `pinned`, a file, has something for it, nothing else
    counts. Raises ConfigError if it cannot be read."""
    ours = _found(_lines(pinned), name_of(address)) if pinned else Known()
    if ours.keys or ours.authorities:
        return ours
    lines = [line for file in users for line in _lines_of_user(file.expanduser())]
    return _found(lines, name_of(address))


def known_keys(address: Address, pinned: Path | None, users: Iterable[Path] = USERS) -> tuple[str, ...]:
    """The keys of `known`."""
    return known(address, pinned, users).keys


def keys_in(file: Path, address: Address) -> tuple[str, ...]:
    """The keys of `address` in `file`, none if it is not there. Raises ConfigError if it cannot be read."""
    return _found(_lines(file), name_of(address)).keys


def fingerprint(key: str) -> str:
    """`SHA256:…` of a key, as ssh-keygen -l shows it. Raises ConfigError for what is no key."""
    try:
        blob = base64.b64decode(key.split()[1], validate=True)
    except (IndexError, binascii.Error):
        raise ConfigError(f"{key[:40]!r} is no host key") from None
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def kind_of(key: str) -> str:
    """ED25519, ECDSA or RSA; of another key what its first word says."""
    name = key.split()[0]
    return {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}.get(
        name, "ECDSA" if name.startswith("ecdsa-") else name
    )


def pin(file: Path, address: Address, keys: Sequence[str]) -> None:
    """From now on `keys` are those of `address` in `file`, and no others; what it says of other machines
    stays. Raises ConfigError if a pattern there names the machine, too, or it cannot be written."""
    name, kept = name_of(address), []
    for number, line in enumerate(_lines(file), 1):
        words = line.split()
        if len(words) < 3 or words[0][0] in "#@" or not _matches(words[0], name):
            kept.append(line)
            continue
        others = [host for host in words[0].split(",") if host.lower() != name]
        if others and not _hashed(words[0], name):
            line = " ".join([",".join(others), *words[1:]])
            if _matches(line.split()[0], name):
                fix = f"Take {line.split()[0]} out of it: it stands for {address.host}, too"
                raise ConfigError(f"line {number} of {file} cannot be replaced", fix=fix)
            kept.append(line)
    text = "".join(f"{line}\n" for line in [*kept, *(f"{name} {key}" for key in keys)])
    try:
        write_atomic(file, text.encode(), 0o644)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written", cause=error.strerror or str(error)) from error


def _lines_of_user(file: Path) -> list[str]:
    """What cannot be read there is as if it were not there."""
    try:
        return _lines(file)
    except ConfigError:
        return []


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{file} cannot be read", cause=reason or "") from error


def _found(lines: Iterable[str], name: str) -> Known:
    good: dict[str, list[str]] = {"": [], "@cert-authority": []}
    revoked: list[str] = []
    for line in lines:
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or not is_host_key(key := " ".join(words[1:3])):
            continue
        if marker == "@revoked":
            revoked.append(key)
        elif marker in good and _matches(words[0], name):
            good[marker].append(key)
    keys, authorities = (
        tuple(dict.fromkeys(key for key in some if key not in revoked)) for some in good.values()
    )
    return Known(keys, authorities, tuple(dict.fromkeys(revoked)))


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|"):
        return _hashed(patterns, name)
    matched = False
    for pattern in patterns.lower().split(","):
        said = pattern.removeprefix("!")
        if re.fullmatch(re.escape(said).replace(r"\*", ".*").replace(r"\?", "."), name):
            if said != pattern:
                return False
            matched = True
    return matched


def _hashed(pattern: str, name: str) -> bool:
    """`|1|SALT|HASH` (ssh-keygen -H)."""
    try:
        _, version, salt, wanted = pattern.split("|")
        made = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
        return version == "1" and hmac.compare_digest(made, base64.b64decode(wanted))
    except (ValueError, binascii.Error):
        return False
