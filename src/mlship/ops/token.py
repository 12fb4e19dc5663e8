"""`mlship token`: bearer tokens for the external listener of a service, in a file of their hashes."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlship.errors import UsageError
from mlship.result import Result
from mlship_runtime.errors import SiteError
from mlship_runtime.files import locked
from mlship_runtime.trust.tokens import (
    MOST,
    Token,
    check_name,
    digest_of,
    new_token,
    read_tokens,
    write_tokens,
)


class TokenEntry(Result, frozen=True, kw_only=True):
    """A valid token, as far as anything is kept of it."""

    name: str
    made: str


class TokenMade(Result, frozen=True, kw_only=True):
    """A new token. `token` is shown this once and kept nowhere; the file has its hash."""

    name: str
    token: str
    file: str
    valid: tuple[TokenEntry, ...]


class TokenList(Result, frozen=True, kw_only=True):
    """The tokens that are valid."""

    file: str
    valid: tuple[TokenEntry, ...]


def new(file: Path, name: str) -> TokenMade:
    """Make a token called `name` and add its hash to `file`, which is made if it is not there. Raises
    UsageError if the name is taken or the file cannot be used."""
    with _changing(file):
        tokens = read_tokens(file)
        check_name(name)
        if any(token.name == name for token in tokens):
            raise UsageError(
                f"{file} has a token {name} already",
                fix=f"Choose another name, or take it away: mlship token revoke {file} {name}",
            )
        if len(tokens) >= MOST:
            raise UsageError(f"{file} has {MOST} tokens already", fix="Revoke what is not used")
        token = new_token()
        made = datetime.datetime.now(datetime.UTC).date().isoformat()
        tokens = (*tokens, Token(name, digest_of(token.encode()), made))
        write_tokens(file, tokens)
    return TokenMade(name=name, token=token, file=str(file), valid=_shown(tokens))


def revoke(file: Path, name: str) -> TokenList:
    """Take the token called `name` out of `file`: it opens nothing any more. Raises UsageError if it is not
    there, or the file cannot be used."""
    with _changing(file):
        tokens = read_tokens(file)
        left = tuple(token for token in tokens if token.name != name)
        if left == tokens:
            names = ", ".join(token.name for token in tokens) or "none"
            raise UsageError(f"{file} has no token {name!r}", fix=f"It has {names}")
        write_tokens(file, left)
    return TokenList(file=str(file), valid=_shown(left))


def show(file: Path) -> TokenList:
    """What is in `file`. Raises UsageError if it cannot be read."""
    if not file.exists():
        raise UsageError(f"there is no file {file}", fix=f"mlship token new {file} NAME makes it")
    with _as_usage_errors(file):
        return TokenList(file=str(file), valid=_shown(read_tokens(file)))


def _shown(tokens: tuple[Token, ...]) -> tuple[TokenEntry, ...]:
    return tuple(TokenEntry(name=token.name, made=token.made) for token in tokens)


@contextmanager
def _changing(file: Path) -> Iterator[None]:
    """One at a time: two who make tokens at once both have one in the end."""
    with _as_usage_errors(file), locked(file.with_name(f".{file.name}.lock"), str(file), 10.0):
        yield


@contextmanager
def _as_usage_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except SiteError as fault:
        raise UsageError(fault.what, cause=fault.cause, fix=fault.fix) from fault
    except OSError as error:
        cause = error.strerror or str(error)
        raise UsageError(f"{file} cannot be used", cause=cause, fix="Name another file") from error
