"""A model that is not converted: loaded as a target will load it, asked, and described."""

from __future__ import annotations

import importlib
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from mlship_runtime.model.datatypes import datatype_of
from mlship_runtime.model.restored import restore

from . import boosters, estimator, loading, modules
from .failure import Failure
from .features import Features

_SAFE_SKOPS = (0, 13)  # CVE-2025-54412, -54413 and -54886
_ALWAYS = ("numpy", "scipy", "sklearn")
_CALLED = {"sklearn": "scikit-learn"}  # where Python 3.9 cannot say which package a module is from


def take(job: dict[str, Any], features: Features) -> dict[str, Any]:
    """What the model in the job's file answers, and what a bundle needs to let it answer the same.

    Of a skops file with types that neither skops nor the project trusts only these: `untrusted`, and nothing
    was loaded. Raises Failure, and InvalidBundle for a file that names what it may not.
    """
    path, form = Path(job["model"]["file"]), job["model"]["serialization"]
    untrusted = _untrusted(path) if form == "skops" else []
    if set(untrusted) - set(job["allowed"]):
        return {"untrusted": untrusted}
    model = loading.from_file(path, lambda file: restore(file.read_bytes(), form, set(job["globals"])))
    loading.check_estimator(model)
    features = features.ordered(model)
    reference, margins = estimator.answers(model, features)
    names = [tensor["name"] for tensor in reference]
    inputs, assemble, frame = _inputs(model, features)
    own = {name.rpartition(".")[0] for name in job["globals"]}
    code = modules.named(Path(job["root"]), own)
    tops = {name.partition(".")[0] for name in own if not _is_in(name, code)}
    extra = [*(["pandas"] if frame else []), *(["skops"] if form == "skops" else [])]
    packages = _packages({*tops, *_ALWAYS, *extra} - {"builtins"})
    return {
        "untrusted": [],
        "assemble": assemble,
        "inputs": inputs,
        "reads": "frame" if frame else "matrix",
        "outputs": names,
        "classes": estimator.classes(model, reference, names),
        "reference": reference,
        "margins": margins,
        "framework": estimator.framework(model, boosters.packages_in(model)),
        "converter": {},
        "opset": 0,
        "code": code,
        "packages": packages,
    }


def _untrusted(path: Path) -> list[str]:
    try:
        io = importlib.import_module("skops.io")
    except ImportError:
        raise Failure(
            f"the project's Python has no skops, which {path.name} needs",
            fix=f"Run: {sys.executable} -m pip install skops",
        ) from None
    version = metadata.version("skops")
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _SAFE_SKOPS:
        raise Failure(
            f"the project's Python has skops {version}",
            cause="before 0.13 it could be led to call what it had not shown",
            fix=f"Run: {sys.executable} -m pip install 'skops>=0.13'",
        )
    return [str(name) for name in io.get_untrusted_types(file=path)]


def _inputs(model: Any, features: Features) -> tuple[list[dict[str, Any]], dict[str, list[str]], bool]:
    """What the model is called with, what each of it is made of, and whether it is a table."""
    missing = {name for name, _, _, nullable in features.schema() if nullable}
    rows = features.for_model(model)
    if type(rows).__module__.partition(".")[0] == "pandas":
        found = [
            _tensor(name, datatype_of(array.dtype), [-1], name in missing)
            for name, array in features.columns.items()
        ]
        return found, {name: [name] for name in features.names}, True
    name = features.matrix_name or estimator.free_name(features.names)
    tensor = _tensor(name, datatype_of(rows.dtype), [-1, features.width], bool(missing))
    return [tensor], {name: features.names}, False


def _tensor(name: str, datatype: str, shape: list[int], nullable: bool) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "nullable": nullable}


def _is_in(module: str, code: dict[str, str]) -> bool:
    place = module.replace(".", "/")
    return f"{place}.py" in code or f"{place}/__init__.py" in code


def _packages(tops: set[str]) -> list[str]:
    """The installed packages that have these modules, at their versions, as requirements."""
    owners: dict[str, list[str]] = getattr(metadata, "packages_distributions", dict)()
    found = set()
    for top in sorted(tops):
        if top in getattr(sys, "stdlib_module_names", ()):
            continue
        for owner in owners.get(top) or [_CALLED.get(top, top)]:
            try:
                found.add(f"{owner.lower().replace('_', '-')}=={metadata.version(owner)}")
            except metadata.PackageNotFoundError:
                raise Failure(
                    f"the model needs the module {top!r}, which is of no installed package",
                    cause="it is not the project's either",
                    fix="Put its file into the project, or install it as a package that an index has",
                ) from None
    return sorted(found)
