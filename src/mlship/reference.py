"""References to bundles: `name`, `name:tag`, `name@sha256:…`. Tags move, digests never."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlship.digest import parse_digest
from mlship.errors import UsageError

NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
MAX_NAME = 63
FILE_DOMAIN = "file"  # where a bundle is that lies in a file, outside of every registry


@dataclass(frozen=True)
class Reference:
    """A bundle by name and at most one of tag and digest; neither means the tag `latest`."""

    name: str
    tag: str | None = None
    digest: str | None = None

    @property
    def tag_or_latest(self) -> str:
        return self.tag or "latest"

    def __str__(self) -> str:
        if self.digest:
            return f"{self.name}@{self.digest}"
        return f"{self.name}:{self.tag_or_latest}"


def parse_reference(text: str) -> Reference:
    """Read a reference; raises UsageError that says which part is outside the grammar."""
    name, at, digest = text.partition("@")
    if at:
        return Reference(check_name(name), digest=parse_digest(digest))
    name, colon, tag = text.partition(":")
    return Reference(check_name(name), tag=check_tag(tag) if colon else None)


def check_name(text: str) -> str:
    """`text` if it can name a bundle, target, service or registry; raises UsageError otherwise."""
    if len(text) > MAX_NAME or not NAME.fullmatch(text):
        raise UsageError(
            f"{text!r} is not a name",
            fix=f"A name has at most {MAX_NAME} of a-z and 0-9, with single . _ - between them",
        )
    return text


def check_domain(text: str) -> str:
    """`text` if it can name a domain; raises UsageError otherwise."""
    if text == FILE_DOMAIN:
        raise UsageError(
            f"{text} is no domain of one's own", fix="In a policy it means a file outside of every registry"
        )
    return check_name(text)


def check_tag(text: str) -> str:
    """`text` if it can be a tag (OCI distribution specification); raises UsageError otherwise."""
    if not TAG.fullmatch(text):
        raise UsageError(f"{text!r} is not a tag", fix="A tag has at most 128 of A-Z a-z 0-9 . _ -")
    return text
