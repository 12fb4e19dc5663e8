"""A model that an MLflow server has logged becomes the folder that [model] source names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.bundle.lock import read_lock
from mlship.bundle.models.mlflow import REGISTERED, is_model_folder, read_folder
from mlship.config import Project
from mlship.errors import BuildError, ConfigError, UsageError
from mlship.ops.context import Context
from mlship.progress import Progress

if TYPE_CHECKING:
    from mlship.registry.mlflow.address import Address
    from mlship.registry.mlflow.source import Logged

SCHEME = "models:/"  # of what is fetched, as MLflow writes it


def fetch_for_build(ctx: Context, uri: str, *, locked: bool) -> None:
    """Put the model that `uri` names in place of the one that was fetched before.

    Nothing is changed if it cannot be had, if it is no model that can be taken, if the folder holds what was
    not fetched, or, `locked`, if it is another version than that of mlship.lock. Raises UsageError,
    ConfigError, RegistryError, BuildError.
    """
    from mlship.registry.mlflow.source import fetch, find_logged

    project = ctx.project_or_error()
    target = _place(project)
    logged = find_logged(uri, server_of(project.model.tracking_uri))
    if locked:
        _check_locked(project, uri, logged)
    state = project.state
    state.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetched-", dir=state) as scratch:
        new, old = Path(scratch, target.name), Path(scratch, "old")
        fetch(logged, new, ctx.progress)
        read_folder(new)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rename(old)
            new.rename(target)
        except OSError as error:
            raise ConfigError(f"{target} cannot be written", cause=error.strerror or "") from error
    ctx.progress.say(f"Fetched version {logged.version} of {logged.name} to {project.model.file}")


@contextmanager
def fetched(uri: str, progress: Progress) -> Iterator[Path]:
    """The folder of the model that `uri` names, for as long as this lasts."""
    from mlship.registry.mlflow.source import fetch, find_logged

    logged = find_logged(uri, server_of(None))
    with tempfile.TemporaryDirectory(prefix="mlship-fetched-") as scratch:
        folder = Path(scratch, "logged")
        fetch(logged, folder, progress)
        yield folder


def server_of(stated: str | None) -> Address:
    """The MLflow server: MLFLOW_TRACKING_URI, else what [model] tracking_uri says. Raises UsageError."""
    from mlship.registry.mlflow.address import of_tracking_uri

    uri = os.environ.get("MLFLOW_TRACKING_URI") or stated
    if not uri:
        raise UsageError(
            "no MLflow server is named",
            fix="Set MLFLOW_TRACKING_URI=http://HOST:PORT, or tracking_uri in [model]",
        )
    return of_tracking_uri(uri)


def _place(project: Project) -> Path:
    """The folder that may be replaced."""
    name = project.model.file
    if name is None:
        raise project.error("model", "source", what="is a function", fix="Name a folder for what is fetched")
    path = project.root / name
    if path.resolve() == project.root or not path.resolve().is_relative_to(project.root.resolve()):
        raise project.error("model", "source", what=f"names {name!r}", cause="it is not inside the project")
    ours = is_model_folder(path) and (path / REGISTERED).is_file() and not path.is_symlink()
    if (path.exists() or path.is_symlink()) and not ours:
        raise project.error(
            "model",
            "source",
            what=f"names {name!r}, which was not fetched from MLflow",
            fix="Name another folder for what is fetched, or move this away",
        )
    return path


def _check_locked(project: Project, uri: str, logged: Logged) -> None:
    lock = read_lock(project)
    known = lock.model.registered if lock and lock.model else {}
    if known and (known.get("model"), known.get("version")) != (logged.name, str(logged.version)):
        raise BuildError(
            f"{uri} is version {logged.version} of {logged.name}, and mlship.lock has version "
            f"{known.get('version')} of {known.get('model')}",
            cause="the alias was moved",
            fix="Build without --locked, look at the changes, and commit mlship.lock",
        )
