"""A model that MLflow has logged becomes a bundle: `build --from models:/…`, `import --from models:/…`."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow_servers import MlflowServer, environment, mlflow_python
from sample_bundle import make_bundle

from mlship.registry import open_registry

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

TOML = """
[project]
name = "churn"
version = "1.0"
[model]
source = "logged"
[golden]
from = "rows.csv"
"""
ROWS = "a,b\n" + "".join(f"{n}.5,{n * 3}.25\n" for n in range(40))
# What a data scientist does, with MLflow itself: two versions, the alias on the first.
LOG = """
import sys
import mlflow, mlflow.sklearn, numpy as np, pandas as pd
from sklearn.linear_model import LinearRegression

name, folder = sys.argv[1:]
frame = pd.read_csv(folder + "/rows.csv")
for slope in (2.0, 3.0):
    model = LinearRegression().fit(frame, slope * frame["a"] + frame["b"])
    mlflow.sklearn.log_model(
        model, name="model", registered_model_name=name, input_example=frame.head(12),
        serialization_format="skops",
    )
mlflow.MlflowClient().set_registered_model_alias(name, "champion", "1")
"""


@pytest.fixture(scope="module")
def logged(mlflow_of_all: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a model with two versions, logged by MLflow's own client."""
    server, name = mlflow_of_all(), f"churn-{secrets.token_hex(6)}"
    folder = tmp_path_factory.mktemp("logging")
    (folder / "rows.csv").write_text(ROWS)
    done = subprocess.run(
        [str(mlflow_python()), "-c", LOG, name, str(folder)],
        env={**environment(), "MLFLOW_TRACKING_URI": server.root},
        capture_output=True, text=True, timeout=300, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return name


@pytest.fixture
def project(tmp_path: Path, mlflow: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.root)
    (tmp_path / "mlship.toml").write_text(TOML)
    (tmp_path / "rows.csv").write_text(ROWS)
    return tmp_path


@pytest.mark.builds
def test_built_from_an_alias(run: Any, project: Path, logged: str, mlflow: MlflowServer) -> None:
    built = run("build", "--from", f"models:/{logged}@champion", "--json")
    assert built.code == 0, built.err
    first = built.envelope["result"]
    assert first["registered"] == f"models:/{logged}/1"
    lock = json.loads((project / "mlship.lock").read_text())["model"]["registered"]
    assert (lock["model"], lock["version"]) == (logged, "1")
    assert lock["modelId"].startswith("m-")
    assert set(lock) <= {"model", "version", "modelId", "runId"}, "no clock, no path, no URL"
    shown = run("inspect", "--json").envelope["result"]
    assert shown["registered"] == f"models:/{logged}/1"

    again = run("build", "--locked", "--from", f"models:/{logged}/1", "--json")
    assert again.envelope["result"]["digest"] == first["digest"]
    assert run("build", "--locked", "--json").envelope["result"]["digest"] == first["digest"]

    mlflow.call("POST", "registered-models/alias", name=logged, alias="champion", version="2")
    moved = run("build", "--locked", "--from", f"models:/{logged}@champion")
    assert moved.code == 4
    assert "is version 2 of" in moved.err
    assert "mlship.lock has version 1" in moved.err
    noted = (project / "logged" / "registered_model_meta").read_text()
    assert "model_version: '1'" in noted, "nothing was changed"
    other = run("build", "--from", f"models:/{logged}@champion", "--json").envelope["result"]
    assert other["registered"] == f"models:/{logged}/2"
    assert other["digest"] != first["digest"]
    assert not list((project / ".mlship").glob("fetched-*"))


@pytest.mark.builds
def test_a_project_is_started_from_one(run: Any, project: Path, logged: str) -> None:
    made = run("import", "--from", f"models:/{logged}/2", "new", "--json")
    assert made.code == 0, made.err
    assert made.envelope["result"]["source"] == f"models:/{logged}/2"
    assert (project / "new" / "logged" / "MLmodel").is_file()
    assert "model_version: '2'" in (project / "new" / "logged" / "registered_model_meta").read_text()


def test_what_is_refused_changes_nothing(
    run: Any, project: Path, mlflow: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = f"churn-{secrets.token_hex(6)}"
    mlflow.call("POST", "registered-models/create", name=logged)
    mlflow.call("POST", "model-versions/create", name=logged, source="s3://bucket/model")

    def refused(uri: str, code: int = 2) -> str:
        ended = run("build", "--from", uri)
        assert ended.code == code, ended.err
        assert not (project / ".mlship" / "store").exists()
        return str(ended.err)

    for uri in ("models:/x", "models:/x/latest", "models:/x@a/1", "s3://x", "models:/a/b/1", "models:/@a"):
        assert "names no model in MLflow. Write models:/NAME@ALIAS" in refused(uri)
    for uri in (f"models:/{logged}@nobody", f"models:/{logged}/99", "models:/nowhere@a", "models:/nowhere/1"):
        assert f"has no {uri}" in refused(uri, 5)
    assert "do not lie behind it: they are at s3://bucket" in refused(f"models:/{logged}/1", 5)
    registry, source = open_registry(mlflow.counted()), open_registry(f"dir://{project}/source")
    digest = make_bundle(source)
    source.set_tag("churn", "1.0", digest, None)
    assert run("copy", f"dir://{project}/source/churn:1.0", registry.url).code == 0
    model = registry.url.rpartition("/")[2]
    assert "is a bundle of mlship" in refused(f"models:/{model}/1")

    (project / "logged").mkdir()
    (project / "logged" / "mine").write_text("precious")
    assert "which was not fetched from MLflow" in refused(f"models:/{logged}/1")
    assert (project / "logged" / "mine").read_text() == "precious"
    for source_, said in (("m:make", "is a function"), ("../out", "not inside the project")):
        (project / "mlship.toml").write_text(TOML.replace('"logged"', f'"{source_}"'))
        assert said in refused(f"models:/{logged}/1")
    for value in ("sqlite:///mlflow.db", "http://ann:secret-word@host", "mlruns"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", value)
        (project / "mlship.toml").write_text(TOML)
        (project / "logged").rename(project / "away") if (project / "logged").exists() else None
        said = refused("models:/x/1")
        assert "MLFLOW_TRACKING_URI does not name an MLflow server" in said
        assert "secret-word" not in said
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "no MLflow server is named. Set MLFLOW_TRACKING_URI=" in refused("models:/x/1")
    (project / "mlship.toml").write_text(
        TOML.replace('"logged"', f'"logged"\ntracking_uri = "{mlflow.root}"')
    )
    assert "has no models:/nowhere/1" in refused("models:/nowhere/1", 5)
