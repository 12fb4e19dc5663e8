"""`mlship init --ci` and `--make`: a pipeline for a project that is there, and what has to be set for it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from mlship import templates
from mlship.bundle.lock import read_lock
from mlship.config import load_project
from mlship.config.project import FILE_NAME, LOCK_NAME
from mlship.errors import ConfigError, UsageError
from mlship.ops.context import Context
from mlship.ops.init_files import holds, write_files
from mlship.ops.pipeline_words import Pipeline, check_interpreter
from mlship.ops.service import find_target
from mlship.result import Result

MAKE = "make"
REQUIREMENTS = "requirements-ci.txt"
VENDORS = ("github", "gitlab")


class Setting(Result, frozen=True, kw_only=True):
    """Something that has to be set at the vendor: an environment, a variable or a secret."""

    kind: str
    name: str
    meaning: str


class PipelineMade(Result, frozen=True, kw_only=True):
    """`files` were written, `same` were there already as they must be. `settings` are to be made at the
    vendor, `notes` say what will not work as it is, `next` are commands."""

    folder: str
    files: tuple[str, ...]
    same: tuple[str, ...]
    settings: tuple[Setting, ...]
    notes: tuple[str, ...]
    next: tuple[str, ...]


# Part of the template, vendor, and what is read there. The variable of a file in GitLab has its path.
_SETTINGS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "",
        "github",
        "environment",
        "{target}",
        "its required reviewers approve a deploy; only its branch may use it",
    ),
    ("", "gitlab", "environment", "{target}", "protect it: who may deploy"),
    ("no-registry", "", "variable", "MLSHIP_REGISTRY", "the URL of the registry"),
    ("login", "", "variable", "REGISTRY_USER", "who pushes; not set: no login"),
    ("login", "", "secret", "REGISTRY_PASSWORD", "the password or token of that user"),
    ("s3", "", "variable", "AWS_ROLE_ARN", "the role that trusts this repository's tokens"),
    ("s3", "", "variable", "AWS_REGION", "the region of the bucket"),
    ("azblob", "", "variable", "AZURE_CLIENT_ID", "the application that trusts this repository's tokens"),
    ("azblob", "", "variable", "AZURE_TENANT_ID", "its tenant"),
    ("azblob", "github", "variable", "AZURE_SUBSCRIPTION_ID", "its subscription"),
    ("signed", "github", "secret", "MLSHIP_SIGNING_KEY", "the private key: the text of its file"),
    ("signed", "gitlab", "secret file", "MLSHIP_SIGNING_KEY", "the private key, of type File, protected"),
    ("signed", "", "secret", "MLSHIP_KEY_PASSPHRASE", "its passphrase, if it has one"),
    (
        "ssh",
        "github",
        "secret",
        "MLSHIP_SSH_KEY",
        "a private key that the machines let in: the text of its file",
    ),
    (
        "ssh",
        "gitlab",
        "secret file",
        "MLSHIP_SSH_KEY",
        "a private key that the machines let in, of type File",
    ),
)


def add_pipeline(
    folder: Path,
    *,
    ci: str | None = None,
    make: bool = False,
    target: str | None = None,
    replace: bool = False,
) -> PipelineMade:
    """Write the pipeline of the project in `folder` for the vendor `ci`, a Makefile, or both; `target` is
    where it deploys (None = the only one), `replace` overwrites.

    Raises UsageError and ConfigError, before anything is written: for a project that is not there or was
    never built, a target that is not known, files in the way, and names that could become commands.
    """
    if ci is not None and ci not in VENDORS:
        raise UsageError(f"there is no pipeline {ci!r}", fix=f"There are {', '.join(VENDORS)}")
    pipeline = _pipeline(folder, target, repository=_repository(folder) if ci else folder)
    texts = _of_vendor(folder, pipeline, ci) if ci else {}
    if make:
        texts |= _of_make(folder, pipeline)
    contents = {path: text.encode() for path, text in texts.items()}
    written = {path: content for path, content in contents.items() if not holds(path, content)}
    fix = "remove what is no plain file" if replace else "add --force to overwrite"
    write_files(folder, written, replace=replace, fix=fix)
    return PipelineMade(
        folder=str(folder),
        files=tuple(_named(path, folder) for path in written),
        same=tuple(_named(path, folder) for path in texts if path not in written),
        settings=tuple(_settings(pipeline, ci)) if ci else (),
        notes=tuple(_notes(folder, pipeline, ci)),
        next=tuple(_next(folder, pipeline, texts, ci)),
    )


def _pipeline(folder: Path, target: str | None, *, repository: Path) -> Pipeline:
    if not (folder / FILE_NAME).is_file():
        raise ConfigError(
            f"there is no {FILE_NAME} in {folder}", fix="Start the project first: mlship init DIR"
        )
    project = load_project(folder)
    if target is not None and "/" in target:
        raise UsageError(
            f"{target} is a service, not a target", fix=f"Give --target {target.partition('/')[0]}"
        )
    name, section = find_target(Context(project=project), target)
    lock = read_lock(project)
    if lock is None:
        raise ConfigError(
            f"there is no {LOCK_NAME} in {folder}", fix="Run mlship build first: a pipeline keeps to its lock"
        )
    beneath = os.path.relpath(project.root.resolve(), repository.resolve())
    return Pipeline(project, lock, name, section, "" if beneath == "." else beneath)


def _repository(folder: Path) -> Path:
    """The folder of git that `folder` is in; `folder` itself if there is none yet."""
    here = folder.absolute()
    return next((place for place in (here, *here.parents) if (place / ".git").exists()), here)


def _of_vendor(folder: Path, pipeline: Pipeline, ci: str) -> dict[Path, str]:
    check_interpreter(pipeline.project)
    name, text = _template(ci, pipeline)
    place = folder / name
    if ci == "github" and pipeline.beneath:  # which looks nowhere else
        place = _repository(folder) / Path(name).with_name(f"mlship-{pipeline.project.project.name}.yml")
    return {place: text, folder / REQUIREMENTS: pipeline.requirements}


def _of_make(folder: Path, pipeline: Pipeline) -> dict[Path, str]:
    name, text = _template(MAKE, pipeline, SOURCES=pipeline.sources)
    return {folder / name: text}


def _template(name: str, pipeline: Pipeline, **words: str) -> tuple[str, str]:
    [(inner, content)] = templates.files(name)
    return inner, templates.filled(content.decode(), pipeline.parts, pipeline.words | words)


def _settings(pipeline: Pipeline, ci: str) -> list[Setting]:
    return [
        Setting(kind=kind, name=name.format(target=pipeline.target), meaning=meaning)
        for part, vendor, kind, name, meaning in _SETTINGS
        if (not part or part in pipeline.parts) and vendor in ("", ci)
    ]


def _notes(folder: Path, pipeline: Pipeline, ci: str | None) -> list[str]:
    notes = []
    if ci and pipeline.section.type == "local":
        notes.append(f"{pipeline.target} is the machine that runs the pipeline; --target names another one")
    if ci == "gitlab" and pipeline.beneath:
        inner = f"{pipeline.beneath}/.gitlab-ci.yml"
        notes.append(
            f"GitLab reads the repository's own .gitlab-ci.yml: include {inner} there (local: {inner})"
        )
    outside = [name for name in pipeline.files if ".." in Path(name).parts or Path(name).is_absolute()]
    if ci and outside:
        notes.append(f"{', '.join(outside)} is outside of the project, and no clone has it: move it there")
    if ci and _repository(folder) == folder.absolute() and not (folder / ".git").exists():
        notes.append("there is no git repository here yet: git init")
    return notes


def _next(folder: Path, pipeline: Pipeline, texts: dict[Path, str], ci: str | None) -> list[str]:
    if not ci:
        return ["make plan", "make deploy"]
    root, extra = pipeline.project.root, (LOCK_NAME, FILE_NAME, "known_hosts", "policy.toml")
    keys = pipeline.project.trust.keys.values()
    needed = [name for name in (*extra, *pipeline.files, *keys) if (root / name).exists()]
    names = [*(_named(path, folder) for path in texts), *needed]
    return [f"git add --force {shlex.join(names)}", "git commit", "git push"]


def _named(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder)
