"""Bearer tokens: a file that holds their hashes, and whose token one is.

The file is JSON: {"schemaVersion": 1, "tokens": [{"name", "sha256", "made"}, …]}. A token is 256 random bits,
so one round of sha256 keeps it: there is nothing to guess. Several are valid at once, which is how they are
exchanged without a gap.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlship_runtime.errors import SiteError
from mlship_runtime.files import read_numbered, write_json

PREFIX = "mlship_"
MOST = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Token:
    """What is kept of a token: who has it, the hash of it, the day it was made."""

    name: str
    sha256: str
    made: str


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens in a file, none if there is no file. Raises SiteError for what is no such file, or one that
    everybody may write."""
    document = read_numbered(path)
    if document is None:
        return ()
    if path.stat().st_mode & 0o022:
        raise SiteError(f"{path} can be written by others", fix=f"chmod go-w {path}")
    found = document.get("tokens")
    if not isinstance(found, list) or len(found) > MOST:
        raise SiteError(f"{path} holds no list of tokens", cause=f"at most {MOST} are kept")
    return tuple(_read(path, entry) for entry in found)


def write_tokens(path: Path, tokens: Iterable[Token]) -> None:
    """Put the tokens into the file, whole or not at all. Raises OSError."""
    write_json(path, {"schemaVersion": 1, "tokens": [vars(token) for token in tokens]})


def name_of(token: bytes, tokens: Iterable[Token]) -> str:
    """Whose token this is; empty if nobody's. Takes as long whichever it is like."""
    digest, found = digest_of(token), ""
    for known in tokens:
        if hmac.compare_digest(digest, known.sha256):
            found = known.name
    return found


def check_name(name: str) -> str:
    """`name`, if it can be that of a token; raises SiteError."""
    if not _NAME.fullmatch(name):
        raise SiteError(f"{name[:80]!r} is no name for a token", fix="Use A-Z a-z 0-9 . _ -, at most 63")
    return name


def _read(path: Path, entry: object) -> Token:
    given = entry if isinstance(entry, dict) else {}
    name, digest, made = (str(given.get(key, "")) for key in ("name", "sha256", "made"))
    if _NAME.fullmatch(name) and _DIGEST.fullmatch(digest):
        return Token(name, digest, made)
    raise SiteError(f"{path} holds something that is no token", fix="Make them with mlship token new")
