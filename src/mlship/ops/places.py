"""The ends of a crossing: registries, targets, this project and files, each with its domain and its policy.

A place's domain is what mlship.toml says and what its own policy says, and the two must agree. A policy far
away is asked for only where domains are used: mlship.toml states one, the project has a policy.toml, the
bundle is labelled, or this machine has seen a policy there. Into a folder one always looks: it costs nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.config.folders import data_dir
from mlship.errors import ConfigError, PolicyError, UsageError
from mlship.ops.context import Context
from mlship.reference import FILE_DOMAIN
from mlship.registry import open_registry
from mlship.store import open_store
from mlship.store.folder import FolderStore
from mlship.store.scheme import absolute

if TYPE_CHECKING:
    from mlship.bundle.source import BundleSource
    from mlship.ops.service import Service
    from mlship.trust.audit_log import AuditLog
    from mlship.trust.kept_policy import Held, PolicyKeeper
    from mlship.trust.policy import Policy

OWN_POLICY = "policy.toml"


@dataclass(frozen=True)
class Place:
    """`stated` is the domain of mlship.toml (empty: none), `least` the version that its policy must have,
    `keeper` keeps the policy, `log` what crossed; `near` if asking costs no request."""

    name: str
    url: str
    stated: str = ""
    least: int = 0
    keeper: PolicyKeeper | None = None
    log: AuditLog | None = None
    near: bool = False


@dataclass(frozen=True)
class Governed:
    """A place as it was found: its domain (empty: nobody states one), and its policy, if it has one."""

    place: Place
    domain: str
    held: Held | None


@dataclass(frozen=True)
class Places:
    """Finds them, for one context."""

    ctx: Context

    @cached_property
    def own_policy(self) -> Policy | None:
        """The project's policy.toml, which can only tighten. Raises ConfigError."""
        from mlship.trust.policy import read_policy

        project = self.ctx.project
        file = project.root / OWN_POLICY if project else None
        if file is None or not file.is_file():
            return None
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} cannot be read", cause=str(error)) from error
        return read_policy(text, OWN_POLICY)

    @cached_property
    def own_domain(self) -> str:
        """Where this project is; empty if nobody says. Raises PolicyError if its two files disagree."""
        stated = self.ctx.project.project.domain or "" if self.ctx.project else ""
        said = self.own_policy.domain if self.own_policy else ""
        return _agreed("this project", stated, said)

    @cached_property
    def used(self) -> bool:
        """Whether anything here speaks of domains."""
        project = self.ctx.project
        if project is None:
            return False
        stated = any(x.domain or x.policy for x in project.registries.values())
        stated = stated or any(x.domain or x.policy for x in project.targets.values())
        return bool(stated or project.project.domain or self.own_policy)

    def here(self) -> Place:
        """This project, or outside of one, this machine."""
        name = "this project" if self.ctx.project else "this machine"
        return Place(name, "", stated=self.own_domain)

    def file(self, file: Path) -> Place:
        """A file, which is in no domain, but in a place of its own."""
        return Place(f"the file {file.name}", f"file:{file}", stated=FILE_DOMAIN)

    def registry(self, registry: BundleSource) -> Place:
        """Where bundles are kept. Raises PolicyError if mlship.toml gives one URL two domains."""
        from mlship.registry.over_store import StoreRegistry
        from mlship.trust.audit_log import AuditLog
        from mlship.trust.kept_policy import PolicyKeeper

        project = self.ctx.project
        if project is not None and _is_at(f"dir://{project.state / 'store'}", registry):
            return self.here()
        found = {
            name: section
            for name, section in (project.registries.items() if project else ())
            if _is_at(absolute(section.url, project.root if project else None), registry)
        }
        name = f"the registry {next(iter(found), registry.url)}"
        domains = sorted({section.domain for section in found.values() if section.domain})
        if len(domains) > 1:
            raise PolicyError(
                f"mlship.toml has {registry.url} in {' and in '.join(domains)}", fix="Correct it"
            )
        stated = next(iter(domains), "")
        if not stated and _is_at(f"dir://{data_dir() / 'registry'}", registry):
            stated = self.own_domain  # on this machine, as the project is
        return Place(
            name,
            registry.url,
            stated,
            max((section.policy or 0 for section in found.values()), default=0),
            registry if isinstance(registry, PolicyKeeper) else None,
            AuditLog(registry.store, "audit") if isinstance(registry, StoreRegistry) else None,
            isinstance(registry, StoreRegistry) and isinstance(registry.store, FolderStore),
        )

    def target(self, service: Service) -> Place:
        """Where bundles run; policy and log are beside the ledger."""
        from mlship.ops.service import find_target
        from mlship.trust.audit_log import AuditLog
        from mlship.trust.kept_policy import StorePolicy

        _, section = find_target(self.ctx, service.target)
        store = service.ledger.store
        stated = section.domain or ("" if section.type != "local" else self.own_domain)
        return Place(
            f"the target {service.target}",
            f"{store.url}#{service.target}",
            stated,
            section.policy or 0,
            StorePolicy(store, f"_policy/{service.target}"),
            AuditLog(store, f"_audit/{service.target}"),
            isinstance(store, FolderStore),
        )

    def look(self, place: Place, *, labelled: bool = False) -> Governed:
        """Its policy, if it may have one, and its domain. Raises PolicyError for a policy that does not hold,
        is older than one before, or says another domain than mlship.toml."""
        from mlship.trust import seen_policies

        if place.keeper is None:
            if place.least:
                raise PolicyError(
                    f"mlship.toml asks {place.name} for version {place.least} of its policy: it keeps none",
                    fix=f"Remove policy there, and write the rules into {OWN_POLICY}",
                )
            return Governed(place, place.stated, None)
        known = place.near or labelled or self.used or place.least or seen_policies.seen(place.url)
        held = self._held(place) if known else None
        seen_policies.check_not_older(place.url, place.name, held.policy if held else None, place.least)
        return Governed(place, _agreed(place.name, place.stated, held.policy.domain if held else ""), held)

    def _held(self, place: Place) -> Held | None:
        from mlship.trust.kept_policy import read_kept
        from mlship.trust.roots import load_policy_roots

        found = place.keeper.read_policy() if place.keeper else None
        return read_kept(found[0], load_policy_roots(self.ctx.project), place.name) if found else None


def users_log() -> AuditLog:
    """The log of what no place with a policy keeps itself, in the user's data folder."""
    from mlship.trust.audit_log import AuditLog

    return AuditLog(open_store(f"dir://{data_dir() / 'audit'}"), "audit")


def _agreed(where: str, stated: str, said: str) -> str:
    if stated and said and stated != said:
        raise PolicyError(
            f"{where} is in the domain {said} by its policy, and in {stated} by mlship.toml",
            cause="one of them is wrong, or this is another place than it was",
            fix="Correct the one that is",
        )
    return stated or said


def _is_at(url: str, registry: BundleSource) -> bool:
    """Whether `url` (absolute) is another way to write where `registry` is."""
    scheme, _, path = url.partition("://")
    opened, _, there = registry.url.partition("://")
    if scheme != opened:
        return False
    if scheme == "dir":
        return os.path.realpath(path) == os.path.realpath(there)
    with suppress(UsageError):  # what mlship.toml says wrongly of another one is not in the way of this
        return open_registry(url).url == registry.url
    return False


def ambiguous(name: str) -> UsageError:
    """The error for a word that names a registry and a target."""
    return UsageError(f"{name} is a registry and a target", fix=f"Write registry:{name} or target:{name}")
