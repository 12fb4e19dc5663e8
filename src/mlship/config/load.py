"""Find and read mlship.toml: text -> plain data -> typed sections, with the line in every complaint."""

from __future__ import annotations

import os
import re
import tomllib
from math import isfinite
from pathlib import Path
from typing import Any

from mlship.config.convert import Source, section, unknown_key
from mlship.config.lines import key_lines
from mlship.config.project import FILE_NAME, Project
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
    Section,
    ServeSection,
    TargetSection,
    TrustSection,
)
from mlship.errors import ConfigError, UsageError
from mlship.reference import check_domain, check_name, check_tag

SINGLE: dict[str, type[Section]] = {
    "project": ProjectSection,
    "bundle": BundleSection,
    "model": ModelSection,
    "reduction": ReductionSection,
    "golden": GoldenSection,
    "runtime": RuntimeSection,
    "serve": ServeSection,
    "image": ImageSection,
    "records": RecordsSection,
    "quality": QualitySection,
    "trust": TrustSection,
}
NAMED: dict[str, type[Section]] = {
    "schema": ColumnSection,
    "registries": RegistrySection,
    "targets": TargetSection,
}
_SYNTAX = re.compile(r"^(.*) \(at (?:line (\d+), column \d+|end of document)\)$")


def load_project(path: str | os.PathLike[str] | None = None) -> Project:
    """The project at `path` (its folder or its mlship.toml); None looks here and in the folders above.

    Raises ConfigError when there is none or when its mlship.toml says something wrong.
    """
    project = find_project(path)
    if project is None:
        raise ConfigError(
            f"there is no {FILE_NAME} here or in a folder above",
            fix="Go to a project's folder or make one: mlship init",
        )
    return project


def find_project(path: str | os.PathLike[str] | None = None) -> Project | None:
    """Like load_project, but None where there is no project and none was named."""
    if path is None:
        path = os.environ.get("MLSHIP_PROJECT") or None
    if path is not None:
        named = Path(path)
        return _read(named / FILE_NAME if named.is_dir() else named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return _read(folder / FILE_NAME)
    return None


def _read(file: Path) -> Project:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read", cause=_reason(error)) from error
    return parse_project(text, root=file.absolute().parent)


def parse_project(text: str, *, root: Path) -> Project:
    """The project that `text` describes; raises ConfigError that names the line."""
    text = text.replace("\r\n", "\n")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text) from error
    source = Source(FILE_NAME, key_lines(text))
    for key in document:
        if key not in SINGLE and key not in NAMED:
            raise unknown_key(source, (), key, [*SINGLE, *NAMED], kind="section")
    for key in ("project", "model"):
        if key not in document:
            raise ConfigError(f"{FILE_NAME}: the section [{key}] is missing", fix=_MISSING[key])
    parts: dict[str, Any] = {
        name: section(source, (name,), document[name], shape)
        for name, shape in SINGLE.items()
        if name in document
    }
    for name, shape in NAMED.items():
        entries = source.table((name,), document.get(name, {}))
        parts[name] = {
            key: section(
                source, (name, key), value, shape, rest="settings" if shape is TargetSection else None
            )
            for key, value in entries.items()
        }
    project = Project(root=root, lines=source.lines, **parts)
    _check_words(project)
    return project


_MISSING = {
    "project": "Write [project] and its name below",
    "model": "Write [model] and its source below",
}


def _check_words(project: Project) -> None:
    """Names, tags and bounds that a type alone cannot express."""
    _word(project, check_name, project.project.name, "project", "name")
    _word(project, check_tag, project.project.version, "project", "version")
    for kind, names in (("registries", project.registries), ("targets", project.targets)):
        for name in names:
            _word(project, check_name, name, kind, name)
    _check_domains(project)
    _check_external(project)
    for name, target in project.targets.items():
        if target.service is not None:
            _word(project, check_name, target.service, "targets", name, "service")
        _check_trust(project, name, target)
    for name, column in project.schema.items():
        if column.min is not None and column.max is not None and column.min > column.max:
            raise project.error("schema", name, "min", what=f"is {column.min:g}, above max = {column.max:g}")
    if project.golden.columns is not None and len(set(project.golden.columns)) < len(project.golden.columns):
        raise project.error("golden", "columns", what="names a column twice")
    if project.reduction is not None:
        _check_reduction(project, project.reduction)
    if project.quality is not None:
        _check_quality(project, project.quality)


def _check_external(project: Project) -> None:
    external = project.serve.external
    for what, fix in external.faults() if external is not None else ():
        raise ConfigError(f"{project.where('serve', 'external')}: {what}", fix=fix)


def _check_quality(project: Project, quality: QualitySection) -> None:
    for key in ("min", "max", "margin"):
        value = getattr(quality, key)
        if value is not None and not isfinite(value):
            raise project.error("quality", key, what="is no finite number")
    low, high, other = quality.min, quality.max, quality.not_worse_than
    if low is None and high is None and other is None:
        fix = 'Give min, max, or not_worse_than = "TAG" with a margin'
        raise project.error("quality", what="has no bound", fix=fix)
    if low is not None and high is not None and low > high:
        raise project.error("quality", "min", what=f"is {low:g}, above max = {high:g}")
    if (other is None) != (quality.margin is None):
        key = "margin" if other is None else "not_worse_than"
        fix = "Say by how much it may be worse: margin = 0.0 (or more), with the tag in not_worse_than"
        raise project.error("quality", key, what="stands alone", fix=fix)
    if other is not None:
        _word(project, check_tag, other, "quality", "not_worse_than")


def _check_domains(project: Project) -> None:
    if project.project.domain is not None:
        _word(project, check_domain, project.project.domain, "project", "domain")
    for kind, sections in (("registries", project.registries), ("targets", project.targets)):
        for name, place in sections.items():
            if place.domain is not None:
                _word(project, check_domain, place.domain, kind, name, "domain")
    for name in project.trust.policy_by:
        if name not in project.trust.keys:
            raise project.error("trust", "policy_by", what=f"names {name!r}, which is no key of [trust]")


def _check_reduction(project: Project, reduction: ReductionSection) -> None:
    ways = [key for key in ("step", "graph", "split") if getattr(reduction, key) is not None]
    if len(ways) != 1:
        what = f"has {' and '.join(ways)}" if ways else "says nothing of what reduces"
        fix = 'Give one: step = "module:function", graph = "FILE.onnx", or split = STEPS of a pipeline'
        raise project.error("reduction", what=what, fix=fix)
    if "step" not in ways and project.model.engine == "python":
        what = 'goes with models that become ONNX, not with engine = "python"'
        raise project.error("reduction", ways[0], what=what, fix="Write the reduction as a step in Python")
    if "step" not in ways and reduction.include:
        raise project.error("reduction", "include", what="is for a step in Python")
    if "step" in ways and not reduction.fuse:
        raise project.error("reduction", "fuse", what="is for ONNX graphs; a step in Python is never fused")


def _check_trust(project: Project, name: str, target: TargetSection) -> None:
    keys = project.trust.keys
    for signer in target.signed_by:
        if signer not in keys:
            raise project.error(
                "targets",
                name,
                "signed_by",
                what=f"names {signer!r}, which is no key of [trust]",
                fix=f"Keys there: {', '.join(keys) or 'none'}",
            )
    if "signature" in target.require and not keys:
        raise project.error(
            "targets",
            name,
            "require",
            what="asks for a signature, but [trust] has no keys",
            fix="Name a public key in keys of [trust]",
        )
    if "quality" in target.require:
        _check_attested(project, name)
    if target.signed_by and not {"signature", "quality"} & set(target.require):
        raise project.error(
            "targets", name, "signed_by", what="says who must sign", fix='Add require = ["signature"]'
        )


def _check_attested(project: Project, name: str) -> None:
    """A target takes the word of a key for the quality, of what [quality] says."""
    what = fix = ""
    if project.quality is None:
        what, fix = "asks for quality, but there is no [quality]", "Name rows, a metric and a bound there"
    elif not project.trust.keys:
        what, fix = "asks for quality, but [trust] has no keys", "Name there whose word counts"
    if what:
        raise project.error("targets", name, "require", what=what, fix=fix)


def _word(project: Project, check: Any, text: str, *path: str) -> None:
    try:
        check(text)
    except UsageError as error:
        raise ConfigError(f"{project.where(*path)}: {error.what}", fix=error.fix) from error


def _syntax_error(message: str, text: str) -> ConfigError:
    match = _SYNTAX.match(message)
    if not match:
        return ConfigError(f"{FILE_NAME} is not TOML", cause=message)
    line = match[2] or str(text.count("\n") + 1)
    return ConfigError(f"{FILE_NAME}:{line}: not TOML", cause=match[1][:1].lower() + match[1][1:])


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return error.strerror or str(error)
