"""The distribution as a stranger gets it: wheel, sdist and editable, each in an environment of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).resolve().parents[2]
UV = Path(sys.prefix, "bin", "uv")
IMPORT_ROOTS = {
    "mlship", "mlship_runtime", "mlship_docker", "mlship_local", "mlship_ssh", "mlship_aws", "mlship_azure",
    "mlship_batch",
}  # fmt: skip

# What a fresh installation says about itself, one JSON object.
ASK = """
import json, sys
from importlib.metadata import distribution, entry_points
from mlship import templates

def found(point):
    try:
        return bool(point.load())
    except ModuleNotFoundError as missing:
        return "needs " + missing.name

def loaded(group):
    return {point.name: found(point) for point in entry_points(group="mlship." + group)}

print(json.dumps({
    "version": distribution("mlship-toolchain").version,
    "found": {group: loaded(group) for group in ("targets", "stores", "registries", "verbs")},
    "template": [name for name, _ in templates.files("quickstart")],
    "pipelines": [name for kind in ("github", "gitlab", "make") for name, _ in templates.files(kind)],
    "heavy": sorted({"numpy", "onnx", "onnxruntime", "sklearn"} & set(sys.modules)),
}))
"""


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What `command` printed. Sees nothing of this checkout but what its words name."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MLSHIP_", "PYTHON", "VIRTUAL_ENV"))
    }
    kept |= {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", **variables}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=kept, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows, as they are now, in a folder that is no checkout."""
    copy = tmp_path_factory.mktemp("source") / "mlship"
    listed = run("git", "-c", "safe.directory=*", "ls-files", "-z", cwd=CHECKOUT).split("\0")
    for name in filter(None, listed):
        if (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheel and sdist, both straight from the sources."""
    dist = tmp_path_factory.mktemp("dist")
    build(source, dist, "--sdist", "--wheel")
    return {"wheel": next(dist.glob("*.whl")), "sdist": next(dist.glob("*.tar.gz"))}


def build(folder: Path, into: Path, *kinds: str) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", into, folder, cwd=folder)


@pytest.fixture(scope="module", params=["wheel", "sdist", "editable"])
def environment(
    request: pytest.FixtureRequest,
    built: dict[str, Path],
    source: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A fresh environment with mlship in it and nothing but its plain dependencies, locked versions."""
    venv = tmp_path_factory.mktemp(request.param) / "venv"
    run(UV, "venv", "--quiet", "--python", sys.executable, venv, cwd=venv.parent)
    install = (UV, "pip", "install", "--quiet", "--constraint", CHECKOUT / "requirements.lock")
    run(*install, "hatchling", cwd=venv.parent, VIRTUAL_ENV=str(venv))
    what = ("--editable", source) if request.param == "editable" else (built[request.param],)
    run(*install, "--no-build-isolation", *what, cwd=venv.parent, VIRTUAL_ENV=str(venv))
    return venv


def test_the_command_answers(environment: Path, tmp_path: Path) -> None:
    assert "0.1.0" in run(environment / "bin" / "mlship", "--version", cwd=tmp_path)
    assert "deploy" in run(environment / "bin" / "mlship", "--help", cwd=tmp_path)


def test_templates_and_entry_points_are_found(environment: Path, tmp_path: Path) -> None:
    said = json.loads(run(environment / "bin" / "python", "-I", "-c", ASK, cwd=tmp_path))
    assert said["version"] == "0.1.0"
    stores = dict.fromkeys(("dir", "ssh", "s3", "azblob"), True)
    served = [f"{kind}{by}" for kind in ("oci", "mlflow") for by in ("", "+http", "+https")]
    registries = stores | dict.fromkeys(served, True)
    targets = {"docker": "needs docker", "local": True, "ssh": True}
    verbs = {"batch": True}
    assert said["found"] == {
        "targets": targets, "stores": stores, "registries": registries, "verbs": verbs,
    }  # fmt: skip
    assert {"mlship.toml", "train.py", "reduction.py"} <= set(said["template"])
    assert said["pipelines"] == [".github/workflows/mlship.yml", ".gitlab-ci.yml", "Makefile"]
    assert said["heavy"] == []


def test_a_project_starts_from_the_template(environment: Path, tmp_path: Path) -> None:
    run(environment / "bin" / "mlship", "init", "first", cwd=tmp_path, MLSHIP_HOME=str(tmp_path / "home"))
    for name in ("train.py", "reduction.py"):
        made, template = tmp_path / "first" / name, CHECKOUT / "templates" / "quickstart" / name
        assert made.read_bytes() == template.read_bytes()


def test_the_wheel_holds_the_import_roots_and_nothing_else(built: dict[str, Path]) -> None:
    names = zipfile.ZipFile(built["wheel"]).namelist()
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == IMPORT_ROOTS
    others = re.compile(r"(.*/)?(tests?|test_[^/]*|conftest\.py|__pycache__)(/.*)?")
    assert not [name for name in names if others.fullmatch(name.lower())]


def test_the_sdist_makes_the_same_wheel(built: dict[str, Path], tmp_path: Path) -> None:
    with tarfile.open(built["sdist"]) as archive:
        archive.extractall(tmp_path, filter="data")
    build(next(tmp_path.glob("mlship_toolchain-*")), tmp_path / "dist", "--wheel")
    again = next((tmp_path / "dist").glob("*.whl"))
    assert again.name == built["wheel"].name
    assert contents(again) == contents(built["wheel"])


def contents(wheel: Path) -> dict[str, str]:
    archive = zipfile.ZipFile(wheel)
    return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
