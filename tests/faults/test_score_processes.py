"""The real thing: `mlship score` with two workers, killed with all that it started, interrupted, or left
alone by the one who asked. The same command finishes, with the bytes of a run that nobody disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlship.bundle.build import build_bundle
from mlship.config import load_project
from mlship.registry import open_registry

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

MLSHIP = [sys.executable, "-m", "mlship.cli.main"]
ROWS = 100_000
PROJECT = """
[project]
name = "trial"
version = "1.0"
[model]
source = "model:make"
[reduction]
step = "reduction:reduce"
[golden]
from = "rows.csv"
"""
MODEL = """
import numpy as np
from sklearn.linear_model import LinearRegression

def make():
    x = np.arange(40.0).reshape(20, 2)
    return LinearRegression().fit(x, 2 * x[:, 0] + x[:, 1])
"""
REDUCTION = """
import numpy as np

def reduce(columns):
    print("not an answer")
    return {"X": np.stack([columns["a"], columns["b"]], axis=1)}
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is built, with rows to score (two of them bad) and what becomes of them."""
    folder = tmp_path_factory.mktemp("project")
    golden = "a,b\n" + "".join(f"{n}.5,{n * 3}.25\n" for n in range(40))
    texts = {"mlship.toml": PROJECT, "model.py": MODEL, "reduction.py": REDUCTION, "rows.csv": golden}
    for name, text in texts.items():
        (folder / name).write_text(text)
    build_bundle(load_project(folder), open_registry(f"dir://{folder}/registry"))
    lines = [f'{n},{n % 97}.5,"x, {n}",{n % 31}' for n in range(ROWS)]
    lines[700], lines[60_000] = "700,-,x,1", "60000,1"
    (folder / "many.csv").write_text("a_id,a,note,b\n" + "\n".join(lines))
    done = subprocess.run(words(folder, "calm"), cwd=folder, env=environment(folder), capture_output=True)
    assert done.returncode == 0, done.stderr
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "MLSHIP_REGISTRY": f"dir://{folder}/registry"}


def words(folder: Path, name: str) -> list[str]:
    more = ["--keep", "a_id,note", "--max-bad", "2", "--bad", f"{name}.jsonl", "--workers", "2", "--json"]
    return [*MLSHIP, "score", "trial:1.0", "--in", "many.csv", "--out", f"{name}.csv", *more]


@pytest.fixture
def start(project: Path, running: Callable[[Path], dict[int, str]]) -> Iterator[Start]:
    """`start(name)` begins a run whose output is NAME.csv; nothing of it may be left in the end."""
    begun: list[subprocess.Popen[str]] = []

    def run(name: str) -> subprocess.Popen[str]:
        begun.append(
            subprocess.Popen(
                words(project, name), cwd=project, env=environment(project), text=True, process_group=0,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        return begun[-1]

    yield run
    for process in begun:
        process.kill()
        process.communicate()


def descendants(number: int) -> list[int]:
    """All processes that descend from `number`, and itself."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [number]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def until(condition: Callable[[], bool], run: subprocess.Popen[str]) -> bool:
    """Wait until it holds; False if the run ended before."""
    while run.poll() is None:
        if condition():
            return True
        time.sleep(0.01)
    return False


def grown(project: Path, name: str, size: int) -> Callable[[], bool]:
    part = project / f"{name}.csv.mlship-part"
    return lambda: part.exists() and part.stat().st_size >= size


def gone(numbers: list[int]) -> bool:
    return not any(Path(f"/proc/{number}").exists() for number in numbers)


def check(project: Path, name: str, run: subprocess.Popen[str]) -> None:
    """The same command finishes what is left, with the files of the calm run."""
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, (out, err)
    result = json.loads(out)["result"]
    assert (result["rowsIn"], result["rowsOut"], result["rowsBad"]) == (ROWS, ROWS - 2, 2)
    for suffix in ("csv", "jsonl"):
        assert (project / f"{name}.{suffix}").read_bytes() == (project / f"calm.{suffix}").read_bytes()
    assert not list(project.glob(f"*{name}*.mlship-*"))


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found by /proc")


@needs_proc
@pytest.mark.parametrize("seed", range(5))
def test_everything_is_killed(project: Path, start: Start, seed: int) -> None:
    name, chance = f"killed{seed}", random.Random(seed)
    run = start(name)
    if until(grown(project, name, chance.randint(0, 1_700_000)), run):
        for number in reversed(descendants(run.pid)):
            os.kill(number, signal.SIGKILL)
    run.communicate()
    if (project / f"{name}.csv").exists():  # it was faster
        return
    check(project, name, start(name))


@needs_proc
def test_a_worker_is_killed(project: Path, start: Start) -> None:
    run = start("worker")
    assert until(grown(project, "worker", 100_000), run)
    os.kill(descendants(run.pid)[-1], signal.SIGKILL)
    out, _ = run.communicate(timeout=120)
    assert run.returncode == 6
    assert "a worker process ended" in json.loads(out)["error"]["what"]
    check(project, "worker", start("worker"))


def test_an_interrupt_keeps_what_is_done(project: Path, start: Start) -> None:
    run = start("stopped")
    assert until(grown(project, "stopped", 100_000), run)
    os.kill(run.pid, signal.SIGINT)
    out, _ = run.communicate(timeout=120)
    assert run.returncode == 130
    assert json.loads(out)["error"]["fix"] == "The same command goes on from there"
    again = start("stopped")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert json.loads(out)["result"]["rowsBefore"] > 0
    assert (project / "stopped.csv").read_bytes() == (project / "calm.csv").read_bytes()


@needs_proc
def test_the_one_who_asked_is_killed(project: Path, start: Start) -> None:
    run = start("left")
    assert until(grown(project, "left", 100_000), run)
    others = descendants(run.pid)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    deadline = time.monotonic() + 120
    while not gone(others) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(others)
    if not (project / "left.csv").exists():
        check(project, "left", start("left"))
