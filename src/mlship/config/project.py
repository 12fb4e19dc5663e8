"""A project: its folder and what its mlship.toml says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from mlship.config.lines import KeyPath, line_of
from mlship.config.sections import (
    BundleSection,
    ColumnSection,
    GoldenSection,
    ImageSection,
    ModelSection,
    ProjectSection,
    QualitySection,
    RecordsSection,
    ReductionSection,
    RegistrySection,
    RuntimeSection,
    ServeSection,
    TargetSection,
    TrustSection,
)
from mlship.errors import ConfigError
from mlship.reference import Reference

FILE_NAME = "mlship.toml"
LOCK_NAME = "mlship.lock"
STATE_NAME = ".mlship"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """`root` is the folder (absolute), `lines` says where each key stands in the file."""

    root: Path
    project: ProjectSection
    model: ModelSection
    bundle: BundleSection = BundleSection()
    reduction: ReductionSection | None = None
    golden: GoldenSection = GoldenSection()
    schema: dict[str, ColumnSection] = {}
    runtime: RuntimeSection = RuntimeSection()
    serve: ServeSection = ServeSection()
    image: ImageSection = ImageSection()
    quality: QualitySection | None = None
    records: RecordsSection = RecordsSection()
    trust: TrustSection = TrustSection()
    registries: dict[str, RegistrySection] = {}
    targets: dict[str, TargetSection] = {}
    lines: Mapping[KeyPath, int] = {}

    @property
    def file(self) -> Path:
        return self.root / FILE_NAME

    @property
    def lock_file(self) -> Path:
        return self.root / LOCK_NAME

    @property
    def state(self) -> Path:
        """The folder for what builds leave behind; never committed."""
        return self.root / STATE_NAME

    @property
    def reference(self) -> Reference:
        """What a build of this project is called: name and version."""
        return Reference(self.project.name, tag=self.project.version)

    def where(self, *path: str) -> str:
        """`mlship.toml:LINE` of a key, e.g. where("golden", "from")."""
        return f"{FILE_NAME}:{line_of(self.lines, path)}"

    def error(self, *path: str, what: str, cause: str = "", fix: str = "") -> ConfigError:
        """A ConfigError about the key at `path`, with its line."""
        return ConfigError(f"{self.where(*path)}: {'.'.join(path)} {what}", cause=cause, fix=fix)
