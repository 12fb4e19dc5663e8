"""Models that travel as they are and are served in Python: what their file names, and is that allowed?

The file is only read here, never loaded. Who wants such a bundle says so twice: with a list in mlship.toml
and with --allow-pickle. Both the list and the form are recorded in the bundle.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlship.bundle.models.mlflow import model_file
from mlship.bundle.models.named_globals import named_in_pickle
from mlship.config import Project
from mlship.errors import BuildError
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.model.permitted import PLAIN, forbidden
from mlship_runtime.model.skops_file import SCHEMA, named_in_skops

_OTHERS = {b"{": "a file of XGBoost", b"tree": "a file of LightGBM", b"PK": "an archive that is not of skops"}
_SHOWN = 6
CODE = "model/code"  # where modules of the project lie that the model needs


@dataclass(frozen=True)
class Found:
    """A model's file: its bytes, `pickle` or `skops`, and the classes and functions that it names, sorted."""

    data: bytes
    serialization: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Unconverted:
    """What a bundle holds of a model that stays as it is. `inputs` are tensors in the form of mlship.json,
    `reads` says whether they are one matrix or the columns of a table, `code` are modules of the project by
    their paths, `packages` what must be locked for it, as requirements."""

    found: Found
    reads: str
    inputs: tuple[Mapping[str, Any], ...]
    answers: tuple[str, ...]
    code: Mapping[str, bytes]
    packages: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"model/model.{self.found.serialization}"

    @property
    def recorded(self) -> dict[str, Any]:
        """What mlship.json says of it beside what it says of all models."""
        return {
            "serialization": self.found.serialization,
            "globals": list(self.found.names),
            "reads": self.reads,
            "inputs": [dict(tensor) for tensor in self.inputs],
            "answers": list(self.answers),
        }


def find(project: Project, *, allow_pickle: bool) -> Found:
    """Read the model's file; raises BuildError or ConfigError unless all that it names is allowed."""
    path = model_file(project)
    if path is None:
        raise project.error(
            "model", "source", what="is a function", fix='With engine = "python" it must be a file'
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BuildError(f"{path.name} cannot be read", cause=error.strerror or str(error)) from error
    found = _read(path.name, data)
    for name in project.model.allow_globals:
        if why := forbidden(name):
            raise project.error("model", "allow_globals", what=f"names {name!r}", cause=f"never: {why}")
    for name in found.names:
        if why := forbidden(name):
            raise BuildError(f"{path.name} names {name}, which is never allowed", cause=why)
    missing = set() if found.serialization == "skops" else set(found.names) - PLAIN
    if missing - set(project.model.allow_globals):
        raise not_allowed(project, path.name, missing, allow_pickle=allow_pickle)
    if not allow_pickle:
        raise BuildError(
            f"{path.name} would travel as it is, and be loaded on targets",
            cause="loading it runs what it names",
            fix="If that is meant: mlship build --allow-pickle",
        )
    return found


def not_allowed(project: Project, file: str, names: Iterable[str], *, allow_pickle: bool) -> BuildError:
    """Of a file that names (beside plain values) all of `names`, not all of which are allowed."""
    wanted = sorted(names)
    new = [name for name in wanted if name not in project.model.allow_globals]
    more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
    listed = ", ".join(f'"{name}"' for name in wanted)
    then = "" if allow_pickle else ", and build with --allow-pickle"
    return BuildError(
        f"{file} names what [model] allow_globals does not list",
        cause=f"{', '.join(new[:_SHOWN])}{more}; loading it runs them",
        fix=f"If you trust them, write below [model]: allow_globals = [{listed}]{then}",
    )


def _read(name: str, data: bytes) -> Found:
    if _is_skops(data):
        try:
            return Found(data, "skops", named_in_skops(data))
        except InvalidBundle as fault:
            raise BuildError(f"{name} cannot be read", cause=fault.cause) from fault
    for start, what in _OTHERS.items():
        if data.startswith(start):
            raise BuildError(
                f'{name} is {what}, which engine = "python" does not take',
                fix="Save the fitted estimator with skops.io.dump or joblib.dump",
            )
    return Found(data, "pickle", named_in_pickle(name, data))


def _is_skops(data: bytes) -> bool:
    if not data.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return SCHEMA in archive.namelist()
    except zipfile.BadZipFile:
        return False
