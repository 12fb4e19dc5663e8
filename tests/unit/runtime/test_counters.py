"""Counters of several workers: one sum, told by any of them, that no death makes smaller."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlship_runtime.serving.counters import GAUGES, PLACES, Counters

WORKER = """
import sys
from mlship_runtime.serving.counters import GAUGES, Counters
counters = Counters(sys.argv[1])
counters.places[0] = 7
counters.places[GAUGES] += 5
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def another(tmp_path):
    """Starts a process that has 7 in a gauge and adds 5 to a counter."""
    started = []

    def start():
        command = [sys.executable, "-c", WORKER, str(tmp_path / "c")]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(child)
        assert child.stdout.readline() == b"counted\n"
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def test_the_sum_outlives_a_worker_and_its_gauges_do_not(tmp_path, another):
    ours = Counters(str(tmp_path / "c"))
    ours.places[0] = 1
    ours.places[GAUGES] += 2
    first = another()
    another()
    assert (ours.totals()[0], ours.totals()[GAUGES]) == (15, 12)
    first.kill()
    first.communicate()
    assert (ours.totals()[0], ours.totals()[GAUGES]) == (8, 12)
    another()  # in the place of the first
    assert (ours.totals()[0], ours.totals()[GAUGES]) == (15, 17)
    assert len(list((tmp_path / "c").iterdir())) == 3


def test_alone():
    counters = Counters()
    counters.places[GAUGES] = 3
    assert counters.totals()[GAUGES] == 3


def test_serving_goes_on_where_nothing_can_be_written(tmp_path, capfd):
    (tmp_path / "c").write_bytes(b"")
    counters = Counters(str(tmp_path / "c"))
    counters.places[GAUGES] = 3
    assert counters.totals()[GAUGES] == 3
    assert capfd.readouterr().err.startswith("this worker counts alone: ")


def test_a_file_that_is_none_of_ours_is_not_followed(tmp_path, capfd):
    (tmp_path / "victim").write_bytes(b"v" * PLACES * 8)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "0").symlink_to(tmp_path / "victim")
    Counters(str(tmp_path / "c")).places[GAUGES] = 3
    assert (tmp_path / "victim").read_bytes() == b"v" * PLACES * 8
    assert "counts alone" in capfd.readouterr().err


def test_places_end():
    counters = Counters()
    assert counters.take(PLACES - GAUGES) == GAUGES
    with pytest.raises(ValueError, match="more figures than places"):
        counters.take()
