"""A disk that fills up under a run of `score`: one clear line, and with room again the run goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scoring import rows_file, score

from mlship_runtime.errors import SiteError
from mlship_runtime.scoring.job import Job

pytestmark = pytest.mark.faults

ROWS = 3000


@pytest.fixture
def disk(require: Callable[[str], None], tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 256 KiB."""
    require("tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def job(rows: Path, folder: Path, name: str, **more: Any) -> Job:
    places = {
        "input": str(rows),
        "output": str(folder / name),
        "bad": str(folder / f"{name}.bad"),
        "maxBad": 5,
    }
    return Job(**{**places, "keep": ("id",), "chunkBytes": 2000, "checkpoint": 0.0, **more})


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("room", [4, 40, 64, 80])
def test_the_run_goes_on_when_there_is_room(tmp_path: Path, disk: Path, form: str, room: int) -> None:
    rows = rows_file(tmp_path / "rows.csv", ROWS, bad=[5, 2000])
    calm = tmp_path / "calm"
    calm.mkdir()
    score(job(rows, calm, f"out.{form}", outputFormat=form))
    filler = disk / "filler"
    filler.write_bytes(b"x" * ((256 - room) << 10))
    asked = job(rows, disk, f"out.{form}", outputFormat=form)
    with pytest.raises(SiteError) as full:
        score(asked)
    assert "No space left on device" in str(full.value)
    assert str(full.value).endswith("Free space there and try again")
    assert not Path(asked.output).exists()
    filler.unlink()
    done = score(asked)
    assert (done.seen, done.good, done.bad) == (ROWS, ROWS - 2, 2)
    for name in (f"out.{form}", f"out.{form}.bad"):
        assert (disk / name).read_bytes() == (calm / name).read_bytes()
