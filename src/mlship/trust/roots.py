"""Whose signatures count: the keys of [trust] in mlship.toml, less the revoked ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlship.config import Project
from mlship.errors import ConfigError, UsageError
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.keys import MAX_PEM_BYTES, PublicKey, read_public_key


@dataclass(frozen=True)
class Roots:
    """Public keys by name, and the ids of those that count no more."""

    keys: Mapping[str, PublicKey] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()

    def name_of(self, key_id: str) -> str:
        """The name of the key with this id; empty if none has it."""
        return next((name for name, key in self.keys.items() if key.id == key_id), "")

    def only(self, names: Iterable[str]) -> Roots:
        """The same with no keys but those of `names`."""
        return Roots({name: self.keys[name] for name in names}, self.revoked)

    @property
    def trusted(self) -> tuple[PublicKey, ...]:
        """The keys that count: those that were not revoked."""
        return tuple(key for key in self.keys.values() if key.id not in self.revoked)


def load_roots(project: Project | None) -> Roots:
    """What mlship.toml says; nothing is trusted outside of a project. Raises ConfigError, with the line, for
    a file that is no public key."""
    if project is None:
        return Roots()
    keys = {}
    for name, file in project.trust.keys.items():
        try:
            keys[name] = load_public_key(project.root / file)
        except UsageError as error:
            raise ConfigError(
                f"{project.where('trust', 'keys', name)}: {error.what}", cause=error.cause, fix=error.fix
            ) from error
    return Roots(keys, frozenset(project.trust.revoked))


def load_policy_roots(project: Project | None) -> Roots:
    """The keys that may sign policies: those of `policy_by` in [trust], or all of them."""
    roots = load_roots(project)
    return roots.only(project.trust.policy_by) if project and project.trust.policy_by else roots


def load_public_key(file: Path) -> PublicKey:
    """The public key in a file; raises UsageError if it is none."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_PEM_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read", cause=error.strerror or str(error)) from error
    try:
        return read_public_key(data, str(file))
    except InvalidBundle as fault:
        fix = fault.fix or "Give the .pub file of mlship key generate"
        raise UsageError(fault.what, cause=fault.cause, fix=fix) from fault
