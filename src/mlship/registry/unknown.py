"""What to say when a registry has not what was asked for: what it has, and what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Protocol

from mlship.errors import RegistryError

_SHOWN = 8


class Catalogue(Protocol):
    """The part of a registry that tells what it has."""

    @property
    def url(self) -> str: ...

    def names(self) -> list[str]: ...

    def tags(self, name: str) -> dict[str, str]: ...

    def digests(self, name: str) -> list[str]: ...


def tag(registry: Catalogue, name: str, wanted: str) -> RegistryError:
    """The error for a tag, or a whole bundle, that is not there."""
    tags = registry.tags(name)
    digests = registry.digests(name)
    if not tags and not digests:
        return _name(registry, name)
    cause = f"its tags are {_few(tags)}" if tags else f"it has no tags, only {_few(_short(digests))}"
    return RegistryError(f"{registry.url} has no {name}:{wanted}", cause=cause, fix=_meant(wanted, tags))


def digest(registry: Catalogue, name: str, wanted: str) -> RegistryError:
    """The error for a manifest that is not there."""
    digests = registry.digests(name)
    if not digests:
        return _name(registry, name)
    return RegistryError(
        f"{registry.url} has no {name}@{wanted[:19]}…", cause=f"it has {_few(_short(digests))}"
    )


def _name(registry: Catalogue, name: str) -> RegistryError:
    names = registry.names()
    cause = f"it has {_few(names)}" if names else "it is empty"
    return RegistryError(
        f"{registry.url} has no bundle {name}", cause=cause, fix=_meant(name, names) or "Push it there first"
    )


def _meant(wanted: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}?" if near else ""


def _short(digests: list[str]) -> list[str]:
    return [f"{digest[:19]}…" for digest in digests]


def _few(words: Collection[str]) -> str:
    shown = sorted(words)[:_SHOWN]
    more = len(words) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
