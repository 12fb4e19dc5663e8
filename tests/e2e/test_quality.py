"""The gate of quality on a bundle that was built: the values are its model's own, and are attested."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlship.cli.main import main
from mlship.config import load_project
from mlship.ops.attested import attested
from mlship.ops.context import Context
from mlship.trust.quality import Question

pytestmark = [pytest.mark.e2e, pytest.mark.builds]
TOML = """[project]
name = "cells"
version = "1.0"
[model]
source = "model.joblib"
[golden]
from = "rows.csv"
columns = ["area", "smooth", "points"]
[trust]
keys = { release = "release.pub" }
"""
QUALITY = """[quality]
rows = "rows.csv"
answers = "kind"
metric = "METRIC"
min = 0
"""


def test_what_a_bundle_reaches_is_what_its_model_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = load_breast_cancer()
    rows, kinds = data.data[:, [3, 4, 7]], np.where(data.target == 1, "benign", "malignant")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[:400], kinds[:400])
    joblib.dump(model, "model.joblib")
    with Path("rows.csv").open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["area", "smooth", "points", "kind"])
        writer.writerows([*map(float, row), kind] for row, kind in zip(rows[400:], kinds[400:], strict=True))
    Path("mlship.toml").write_text(TOML.split("[trust]", maxsplit=1)[0])
    assert main(["build", "--quiet"]) == 0
    assert main(["key", "generate", "release.key", "--quiet"]) == 0

    def promoted(metric: str, *more: str) -> str:
        Path("mlship.toml").write_text(TOML + QUALITY.replace("METRIC", metric) + "\n".join(more))
        capfd.readouterr()
        words = ["promote", "cells:1.0", "prod", "--require", "quality", "--key", "release.key", "--json"]
        assert main(words) == 0
        gates: list[dict[str, Any]] = json.loads(capfd.readouterr().out)["result"]["gates"]
        return str(gates[0]["found"])

    truth, rated = kinds[400:], model.predict_proba(rows[400:])
    decided = model.predict(rows[400:])
    wanted = {
        "roc_auc": roc_auc_score(truth, rated[:, 1]),
        "log_loss": log_loss(truth, y_proba=rated, labels=model.classes_),
        "f1": f1_score(truth, decided, pos_label="malignant"),
    }
    for metric, value in wanted.items():
        about = 'positive = "malignant"' if metric == "f1" else ""
        assert promoted(metric, about).startswith(f"{metric} 0.")
        project = load_project()
        bundle = Context(project).open_bundle("cells:1.0")
        _, kept = next(attested(project, (), bundle, Question(metric, "", "", "", "")))
        assert (kept.value, kept.count) == (pytest.approx(value, abs=1e-5), 169)
    assert promoted("roc_auc").endswith("on 169 rows, as release attests")
