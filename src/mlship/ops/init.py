"""`mlship init`: a working example, or a mlship.toml written for a model and its rows."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from mlship import templates
from mlship.config.project import FILE_NAME, STATE_NAME
from mlship.ops.init_config import FIRST_VERSION, config_text
from mlship.ops.init_files import in_the_way, write_files
from mlship.ops.init_model import Seen, look
from mlship.progress import SILENT, Progress
from mlship.reference import MAX_NAME, NAME, TAG
from mlship.result import Result

QUICKSTART = "quickstart"


class Started(Result, frozen=True, kw_only=True):
    """What was written, what was seen on the way, and the commands that come next."""

    folder: str
    files: tuple[str, ...]
    seen: Seen | None = None
    next: tuple[str, ...]


def init(folder: Path, *, template: str = QUICKSTART) -> Started:
    """Copy a template to `folder`; the project is called like the folder. Overwrites nothing."""
    files = dict(templates.files(template))
    name = project_name(folder, otherwise=template)
    config = files[FILE_NAME].decode()
    files[FILE_NAME] = re.sub(
        r'^name = ".*"', f'name = "{name}"', config, count=1, flags=re.MULTILINE
    ).encode()
    write_files(folder, {folder / inner: content for inner, content in files.items()})
    steps = ("python train.py", "mlship build", "mlship deploy local", "mlship invoke local --csv rows.csv")
    return Started(folder=str(folder), files=tuple(files), next=(*_enter(folder), *steps))


def init_for_model(
    folder: Path,
    *,
    model: Path,
    examples: Path,
    name: str = "",
    version: str = "",
    progress: Progress = SILENT,
    python: Path | None = None,
) -> Started:
    """Look at a model and its rows, and write the mlship.toml for them, with this `name` and `version` if a
    bundle can have such.

    The model is loaded by `python` (None: the project's interpreter), in a process of its own. Raises
    UsageError or BuildError if one of the two cannot be read or they do not fit together.
    """
    if os.path.lexists(folder / FILE_NAME):
        raise in_the_way(folder, [folder / FILE_NAME])
    progress.say(f"looking at {model.name} and {examples.name}")
    seen = look(folder, model=model, examples=examples, python=python)
    called = as_name(name) or project_name(folder, otherwise=model.stem)
    version = version if TAG.fullmatch(version) else FIRST_VERSION
    text = config_text(folder, called, version=version, model=model, examples=examples, seen=seen)
    files = {FILE_NAME: text.encode()}
    if not (folder / ".gitignore").exists():
        files[".gitignore"] = f"{STATE_NAME}/\n".encode()
    write_files(folder, {folder / inner: content for inner, content in files.items()})
    steps = ["mlship build", "mlship deploy local"]
    if examples.suffix == ".csv":
        steps.append(f"mlship invoke local --csv {shlex.quote(os.path.relpath(examples, folder))}")
    return Started(folder=str(folder), files=tuple(files), seen=seen, next=(*_enter(folder), *steps))


def project_name(folder: Path, *, otherwise: str) -> str:
    """The folder's name as a bundle's name, or `otherwise` as one, or "model"."""
    return as_name(folder.absolute().resolve().name) or as_name(otherwise) or "model"


def as_name(text: str) -> str:
    """`text` as a bundle's name; empty if nothing of it can be one."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:MAX_NAME].strip("-")
    return name if NAME.fullmatch(name) else ""


def _enter(folder: Path) -> tuple[str, ...]:
    if folder.absolute().resolve() == Path.cwd().resolve():
        return ()
    inside = f"./{folder}" if str(folder).startswith("-") else str(folder)
    return (f"cd {shlex.quote(inside)}",)
