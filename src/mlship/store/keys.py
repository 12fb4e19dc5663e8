"""Which keys a Store takes, with the errors of mlship (the rules are those of the ground floor)."""

from __future__ import annotations

from mlship.store.trouble import as_registry_error
from mlship_runtime.store import keys
from mlship_runtime.store.keys import MAX_KEY, is_segment

__all__ = ["MAX_KEY", "check_key", "check_prefix", "is_segment"]


def check_key(key: str) -> str:
    """`key` if a Store may hold it; raises RegistryError otherwise."""
    with as_registry_error():
        return keys.check_key(key)


def check_prefix(prefix: str) -> str:
    """`prefix` if keys can begin with it (empty: all do); raises RegistryError otherwise."""
    with as_registry_error():
        return keys.check_prefix(prefix)
