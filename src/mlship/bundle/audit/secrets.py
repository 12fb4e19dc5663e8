"""Finds what looks like a secret in what goes into a bundle, which whoever gets it can read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from mlship.config import Project
from mlship.errors import BuildError

BLOCK = 8 << 20  # bytes that are looked at together
_LONGEST = 4 << 10  # bytes of a secret that stands across the end of a block
_BEFORE = 2  # bytes that tell whether a word begins


class _Form(NamedTuple):
    """A form that hardly anything else has. It begins with one of `needles`, which are quickly found; those
    of `either` in small or capital letters."""

    name: str
    pattern: re.Pattern[bytes]
    needles: tuple[bytes, ...]
    either: tuple[bytes, ...] = ()


def _form(name: str, pattern: bytes, *needles: bytes, either: tuple[bytes, ...] = ()) -> _Form:
    return _Form(name, re.compile(pattern), needles, either)


# A found text is never shown: logs are read by many.
_FORMS = (
    _form(  # where a zero follows, it is a word that a library looks for
        "a private key",
        rb"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?!\0)|PuTTY-User-Key-File-\d",
        b"-----BEGIN ", b"PuTTY-User-Key-File-",
    ),
    _form(
        "a key of AWS",
        rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
        rb"|(?i:aws_?secret_?access_?key)[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
        b"AKIA", b"ASIA", either=(b"aws_secret", b"awssecret"),
    ),
    _form(
        "a key of Azure",
        rb"(?i:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40}|[?&]sig=[A-Za-z0-9%+/]{40}",
        b"?sig=", b"&sig=", either=(b"accountkey=", b"sharedaccesskey="),
    ),
    _form(
        "a key of Google",
        rb"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])|\bya29\.[A-Za-z0-9_-]{30}",
        b"AIza", b"ya29.",
    ),
    _form(
        "a token of GitHub",
        rb"\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{50}",
        b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_",
    ),
    _form("a token of GitLab", rb"\bglpat-[A-Za-z0-9_-]{20}", b"glpat-"),
    _form("a token of Slack", rb"\bxox[abeoprs]-[A-Za-z0-9-]{20}", b"xox"),
    _form("a token of Hugging Face", rb"\bhf_[A-Za-z0-9]{34}", b"hf_"),
    _form(
        "a token of a package index",
        rb"\bpypi-AgE[A-Za-z0-9_-]{50}|\bnpm_[A-Za-z0-9]{36}\b",
        b"pypi-AgE", b"npm_",
    ),
    _form(
        "a key of a payment or model service",
        rb"\b[sr]k_live_[A-Za-z0-9]{24}|\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{40}",
        b"sk_live_", b"rk_live_", b"sk-",
    ),
    _form(
        "a signed token (JWT)",
        rb"\beyJ[A-Za-z0-9_-]{10,400}+\.eyJ[A-Za-z0-9_-]{10,2000}+\.[A-Za-z0-9_-]{10}",
        b"eyJ",
    ),
    _form(
        "a password in a URL",
        rb"(?<=[a-z0-9+.-]{2})://[^\s/:@\"'{}$<>\0]*:[^\s/@\"'{}$<>\0]{3,}@",
        b"://",
    ),
)  # fmt: skip
_FIX = "Read it from the environment where the model runs"


def refuse_secrets(project: Project, files: Mapping[str, bytes]) -> None:
    """Look for secrets in the reduction's `files` (by their paths) and in the words of mlship.toml.

    Raises BuildError (ConfigError for the words), with file and line, unless [bundle] not_secret names it.
    """
    for words, key in _words(project):
        for form, _ in find_secrets(words.encode()):
            raise project.error(*key, what=f"looks like it has {form}", fix=_FIX)
    known = project.bundle.not_secret
    for file, data in sorted(files.items()):
        for form, line in find_secrets(data):
            place = f"{file}:{line}"
            if place not in known and file not in known:
                raise BuildError(
                    f"{place} looks like it has {form}",
                    cause="whoever gets the bundle can read it",
                    fix=f'{_FIX}; if it is none, say so: [bundle] not_secret = ["{place}"]',
                )


def find_secrets(data: bytes) -> Iterator[tuple[str, int]]:
    """What looks like a secret, and the line on which it begins, counted from 1."""
    yield from _between(data, 0, len(data), 1)


def find_in_chunks(chunks: Iterable[bytes]) -> Iterator[tuple[str, int]]:
    """`find_secrets` in content of any size, held in memory a block at a time; all of it is read."""
    held, begin, line = b"", 0, 1
    for chunk in chunks:
        held += chunk
        if len(held) >= BLOCK:
            end = len(held) - _LONGEST
            yield from _between(held, begin, end, line)
            line += held.count(b"\n", begin, end)
            held, begin = held[end - _BEFORE :], _BEFORE
    yield from _between(held, begin, len(held), line)


def _between(data: bytes, begin: int, end: int, line: int) -> Iterator[tuple[str, int]]:
    """What stands from `begin`, which is on `line`, to before `end`."""
    for at, form in sorted(_found(data)):
        if begin <= at < end:
            line, begin = line + data.count(b"\n", begin, at), at
            yield form, line


def _found(data: bytes) -> Iterator[tuple[int, str]]:
    small = data.lower()
    for form in _FORMS:
        for text, needles in ((data, form.needles), (small, form.either)):
            for needle in needles:
                at = text.find(needle)
                while at >= 0:
                    if form.pattern.match(data, at):
                        yield at, form.name
                    at = text.find(needle, at + 1)


def _words(project: Project) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What of mlship.toml goes into the bundle or into mlship.lock."""
    for name, value in project.bundle.labels.items():
        yield f"{name}={value}", ("bundle", "labels", name)
    for requirement in project.runtime.requirements:
        yield requirement, ("runtime", "requirements")
