"""The page about notebooks, cell by cell, in IPython: what it shows is what a reader gets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.pages, pytest.mark.timeout(600)]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "notebook.md"
CELLS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
AFTER = """
rows = frame.drop(columns="target")
assert answer.body["predictions"][0]["label"] == 0, answer.body
again = mlship.build(model.fit(rows[::2], frame["target"][::2]), version="0.2.0")
assert (again.reference, again.digest != built.digest) == ("wine:0.2.0", True)
class Mine(RandomForestClassifier): pass
try: mlship.build(Mine(2).fit(rows, frame["target"]))
except mlship.errors.BuildError as error: print(error)
"""
RUN = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in json.load(sys.stdin):
    print("In:", cell)
    shell.run_cell(cell, store_history=True).raise_error()
"""


def test_the_page(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", RUN],
        input=json.dumps([*CELLS, AFTER]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wine:0.1.0 is sha256:" in done.stdout, "a result does not show itself"
    assert "not sent, for [golden] columns does not list it: target" in done.stderr
    assert "The ONNX model decides as the original on 178 rows" in done.stderr, "no progress"
    assert "there is no target 'nowhere'" in done.stdout
    assert "the model needs Mine, defined in this notebook or script" in done.stdout
    written = {"mlship.toml", "mlship.lock", "model.pkl", "examples.csv", ".gitignore", ".mlship", "registry"}
    assert {path.name for path in tmp_path.iterdir()} == written
    assert 'version = "0.2.0" ' in (tmp_path / "mlship.toml").read_text()
