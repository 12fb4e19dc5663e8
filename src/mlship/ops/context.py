"""What every operation needs: the project, the registries by name, and what a reference stands for."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mlship.config.load import find_project, load_project
from mlship.config.project import Project
from mlship.config.settings import DEFAULT_REGISTRY, default_registry_url
from mlship.digest import parse_digest
from mlship.errors import BundleError, UsageError
from mlship.progress import SILENT, Progress
from mlship.reference import Reference, parse_reference
from mlship_runtime.errors import RuntimeFault
from mlship_runtime.files import read_numbered

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.registry.protocol import Registry


class LastBuild(NamedTuple):
    """A build under its name and version, and its digest."""

    reference: Reference
    digest: str


@dataclass(frozen=True)
class Context:
    """`timeout` in seconds; `warnings` are shown when the operation has ended."""

    project: Project | None = None
    progress: Progress = SILENT
    timeout: float | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def here(cls, *, progress: Progress = SILENT, timeout: float | None = None) -> Context:
        """The context of the current folder; being outside of a project is no error."""
        return cls(project=find_project(), progress=progress, timeout=timeout)

    def project_or_error(self) -> Project:
        """The project; raises ConfigError that says how to get one."""
        return self.project or load_project()

    def registry_url(self, name: str | None = None) -> str:
        """The URL of the registry called `name`; a URL stands for itself, None for the default one."""
        known = {key: section.url for key, section in self.project.registries.items()} if self.project else {}
        known.setdefault(DEFAULT_REGISTRY, default_registry_url())
        name = name or DEFAULT_REGISTRY
        if "://" in name:
            return name
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            fix = (
                f"Did you mean {near[0]}?" if near else f"Known are {', '.join(sorted(known))}, or give a URL"
            )
            raise UsageError(f"there is no registry {name!r}", fix=fix)
        return known[name]

    def is_registry(self, word: str) -> bool:
        """Whether `word` means a registry and no bundle: a URL does, unless it ends with a tag or digest."""
        known = self.project.registries if self.project else {}
        _, mark, path = word.partition("://")
        if mark:
            _, slash, last = path.rpartition("/")
            return not slash or not (":" in last or "@" in last)
        return word == DEFAULT_REGISTRY or word in known

    def registry(self, name: str | None = None) -> Registry:
        """The registry called `name` or at that URL; None opens the default one (a folder of the user).

        A relative URL is meant from the project's folder.
        """
        from mlship.registry import open_registry

        return open_registry(self.registry_url(name), self.project.root if self.project else None)

    def build_registry(self) -> Registry:
        """Where builds of the project are kept, inside its folder."""
        from mlship.registry import open_registry

        return open_registry(f"dir://{self.project_or_error().state / 'store'}")

    def built(self) -> LastBuild | None:
        """What the project's last build made; None if there is none."""
        file = self.project_or_error().state / "built.json"
        try:
            record = read_numbered(file)
            if record is None:
                return None
            return LastBuild(parse_reference(record["reference"]), parse_digest(record["digest"]))
        except (RuntimeFault, KeyError, TypeError, UsageError) as error:
            raise BundleError(f"{file} cannot be read", cause=str(error), fix="Run: mlship build") from error

    def locate(self, text: str | None = None, *, own_first: bool = False) -> tuple[Registry, Reference]:
        """Where to find what `text` stands for: `[REGISTRY/]NAME[:TAG|@DIGEST]`; None is the last build.

        Without REGISTRY the default one is asked first, then what this project has built; with `own_first`
        the other way round. Raises UsageError or RegistryError.
        """
        if text is None:
            return self._last_build()
        place, slash, rest = text.rpartition("/")
        reference = parse_reference(rest if slash else text)
        if slash:
            return self.registry(place), reference
        places = [self.registry()]
        if self.project is not None:
            places.insert(0 if own_first else 1, self.build_registry())
        return next((place for place in places if _has(place, reference)), places[0]), reference

    def open_bundle(self, text: str | None = None) -> OpenBundle:
        """The bundle that `text` stands for, its manifest and spec read and checked."""
        from mlship.bundle.open import open_bundle

        registry, reference = self.locate(text)
        return open_bundle(registry, reference)

    def _last_build(self) -> tuple[Registry, Reference]:
        if self.project is None:
            raise UsageError(
                "there is no project here, so a bundle must be named", fix="Add it, e.g. churn:1.4"
            )
        last = self.built()
        if last is None:
            raise UsageError(f"{self.project.project.name} has not been built yet", fix="Run: mlship build")
        registry = self.build_registry()
        tagged = registry.read_tag(last.reference.name, last.reference.tag_or_latest)
        if tagged is not None and tagged.digest == last.digest:
            return registry, last.reference
        return registry, Reference(last.reference.name, digest=last.digest)


def _has(registry: Registry, reference: Reference) -> bool:
    if reference.digest:
        return registry.has_manifest(reference.name, reference.digest)
    return registry.read_tag(reference.name, reference.tag_or_latest) is not None
