"""The bundles of the conformance kit: built from small projects, two good and one of each bad kind."""

from __future__ import annotations

import os
from pathlib import Path

from mlship.bundle.build import build_bundle
from mlship.bundle.open import OpenBundle, open_bundle
from mlship.config import load_project
from mlship.reference import Reference
from mlship.registry.protocol import Registry
from mlship.target.conformance import Bundles

ON_BUILD_HOST = "MLSHIP_CONFORMANCE_BUILD_HOST"

_PROJECT = """
[project]
name = "conform"
version = "{version}"

[model]
source = "model:make"

[reduction]
step = "reduction:reduce"

[golden]
from = "rows.csv"
"""

_MODEL = """
import numpy as np
from sklearn.linear_model import LinearRegression


def make():
    x = np.arange(40.0).reshape(20, 2)
    return LinearRegression().fit(x, {slope} * x[:, 0] + x[:, 1])
"""

_REDUCTION = """
import os
import time

import numpy as np

AT_HOME = "{variable}" in os.environ
{at_import}


def reduce(columns):
    unit = {unit}
    return {{"X": np.stack([columns["a"] * unit, columns["b"]], axis=1)}}
"""

_KINDS = {
    "first": {"slope": "2.0"},
    "second": {"slope": "3.0"},
    "crashes": {"at_import": "AT_HOME or os._exit(3)"},
    "never_ready": {"at_import": "AT_HOME or time.sleep(3600)"},
    "answers_wrongly": {"unit": "1.0 if AT_HOME else 25.4"},
}


def build_bundles(folder: Path, registry: Registry) -> Bundles:
    """Build all below `folder` into `registry`. The bad ones answer well on the machine that builds."""
    os.environ[ON_BUILD_HOST] = "yes"
    try:
        return Bundles(**{kind: _build(folder / kind, kind, registry) for kind in _KINDS})
    finally:
        del os.environ[ON_BUILD_HOST]


def _build(folder: Path, kind: str, registry: Registry) -> OpenBundle:
    chosen = {"slope": "2.0", "at_import": "", "unit": "1.0", **_KINDS[kind]}
    folder.mkdir(parents=True)
    files = {
        "mlship.toml": _PROJECT.format(version=kind.replace("_", "-")),
        "model.py": _MODEL.format(slope=chosen["slope"]),
        "reduction.py": _REDUCTION.format(
            variable=ON_BUILD_HOST, at_import=chosen["at_import"], unit=chosen["unit"]
        ),
        "rows.csv": "a,b\n" + "".join(f"{n}.5,{n * 3}.25\n" for n in range(40)),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    built = build_bundle(load_project(folder), registry)
    return open_bundle(registry, Reference("conform", digest=built.digest))
