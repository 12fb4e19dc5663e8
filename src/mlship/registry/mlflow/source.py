"""Models that MLflow itself has registered, as sources: `models:/NAME@ALIAS`, `models:/NAME/3`."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.bundle.models.mlflow import FILE, REGISTERED, registered_text
from mlship.errors import BundleError, RegistryError, UsageError
from mlship.progress import SILENT, Progress
from mlship.registry.mlflow.address import Address
from mlship.registry.mlflow.artifacts import Folder
from mlship.registry.mlflow.catalogue import DIGEST, Catalogue
from mlship.registry.mlflow.client import ABSENT, Client
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.trouble import Refused

_URI = re.compile(r"models:/+(?P<name>[^/:@?#]+)(?:@(?P<alias>[A-Za-z0-9_-]+)|/(?P<version>[1-9][0-9]{0,8}))")
_MAX_FILES, _MAX_DEPTH = 10_000, 16


@dataclass(frozen=True)
class Logged:
    """A version of a registered model on the server of `client`; `uri` is where its artifacts lie."""

    client: Client
    name: str
    version: int
    uri: str


def find_logged(text: str, address: Address, patience: Patience | None = None) -> Logged:
    """The version that `text` names on a server. UsageError if it is no such name, or a bundle of mlship;
    RegistryError if there is no such version."""
    found = _URI.fullmatch(text)
    if not found:
        raise UsageError(
            f"{text[:200]!r} names no model in MLflow", fix="Write models:/NAME@ALIAS or models:/NAME/VERSION"
        )
    client = Client(address, patience)
    catalogue, name = Catalogue(client), found["name"]
    entry = _entry(catalogue, name, found["alias"], found["version"])
    if entry is None:
        raise RegistryError(
            f"{client.url} has no {text}",
            cause="the model, the alias or the version was never there, or removed",
            fix="Look in MLflow's pages for what is registered",
        )
    number = int(entry["version"])
    if any(tag.get("key") == DIGEST for tag in entry.get("tags") or []):
        raise UsageError(
            f"{text} is a bundle of mlship, and no model to build one from",
            fix=f"Run: mlship pull NAME:{number} {address.url}/{name}",
        )
    return Logged(client, name, number, catalogue.uri_of(name, number))


def fetch(logged: Logged, target: Path, progress: Progress = SILENT) -> None:
    """Copy the model's folder to `target`, which is not there yet, with a note of which version it is.
    Raises RegistryError; BundleError for a folder that is none of a model. Nothing is at `target` then."""
    folder = Folder(logged.client, logged.uri)
    files = dict(_files(folder))
    if FILE not in files:
        raise BundleError(
            f"version {logged.version} of {logged.name} in {logged.client.url} has no {FILE}",
            cause="its artifacts were removed, or it was not logged by MLflow",
        )
    part = target.with_name(f"{target.name}.part-{secrets.token_hex(8)}")
    progress.phase(f"fetching {logged.name}", sum(files.values()), unit="bytes")
    try:
        for name, size in files.items():
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for piece in folder.pieces(name, name, size):
                    file.write(piece)
                    progress.advance(len(piece))
        (part / REGISTERED).write_text(registered_text(logged.name, logged.version), encoding="utf-8")
        part.rename(target)
    except OSError as error:
        raise RegistryError(
            f"{error.filename or target} cannot be written", cause=error.strerror or ""
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _entry(catalogue: Catalogue, name: str, alias: str | None, version: str | None) -> dict[str, Any] | None:
    if version:
        return catalogue.version(name, int(version))
    try:
        answer = catalogue.client.get(
            f"read the alias {alias} of {name}", "registered-models/alias", name=name, alias=alias
        )
    except Refused as refusal:
        if ABSENT in refusal.codes or f"alias {alias} not found" in refusal.cause:
            return None
        raise
    found: dict[str, Any] = answer.get("model_version") or {}
    return found


def _files(folder: Folder, below: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Path and size of every file; RegistryError for what is no tree of a model."""
    if depth > _MAX_DEPTH:
        raise RegistryError(f"{folder.client.url} lists folders without end")
    listed = sorted(folder.entries(below).items())
    for name, size in listed:
        path = f"{below}/{name}" if below else name
        if "/" in name or len(listed) > _MAX_FILES:
            raise RegistryError(
                f"{folder.client.url} lists what is no folder of a model", cause=json.dumps(path[:80])
            )
        if size is None:
            yield from _files(folder, path, depth + 1)
        elif path != REGISTERED:
            yield path, size
