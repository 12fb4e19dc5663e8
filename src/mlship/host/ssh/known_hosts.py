"""Which host keys are known for an address: those that a project pins, or else those that the user knows.

The form is that of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. Certificate authorities in it are not read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlship.errors import ConfigError
from mlship.host.ssh.address import PORT, Address, is_host_key

USERS = (Path("~/.ssh/known_hosts"), Path("~/.ssh/known_hosts2"), Path("/etc/ssh/ssh_known_hosts"))


def name_of(address: Address) -> str:
    """What `address` is called in such a file."""
    host = address.host.lower()
    return host if address.port in (None, PORT) else f"[{host}]:{address.port}"


def known_keys(address: Address, pinned: Path, users: Iterable[Path] = USERS) -> tuple[str, ...]:
    """The keys (`ssh-ed25519 AAAA…`) that the machine at `address` may show: if `pinned` has some for it, no
    others count. Raises ConfigError for a `pinned` that cannot be read."""
    return keys_in(pinned, address) or tuple(
        dict.fromkeys(key for file in users for key in _keys_of_user(file.expanduser(), address))
    )


def keys_in(file: Path, address: Address) -> tuple[str, ...]:
    """The keys of `address` in `file`, none if it is not there. Raises ConfigError if it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{file} cannot be read", cause=reason or "") from error
    return tuple(dict.fromkeys(_found(text, name_of(address))))


def _keys_of_user(file: Path, address: Address) -> tuple[str, ...]:
    """What cannot be read there is as if it were not there."""
    try:
        return keys_in(file, address)
    except ConfigError:
        return ()


def _found(text: str, name: str) -> Iterator[str]:
    good, revoked = [], set()
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or not is_host_key(key := " ".join(words[1:3])):
            continue
        if marker == "@revoked":
            revoked.add(key)
        elif not marker and _matches(words[0], name):
            good.append(key)
    return (key for key in good if key not in revoked)


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
