"""Processors and memory as control groups of both versions bound them, from files laid out as /proc and
/sys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlship_runtime import capacity
from mlship_runtime.supervision.loading import threads_of

V2 = "0::/user/app\n"
V1 = "3:cpu,cpuacct:/docker/ab\n5:memory:/docker/ab\n1:name=systemd:/docker/ab\n"


def laid_out(root: Path, groups: str, files: dict[str, str]) -> str:
    """A root folder with /proc/self/cgroup and `files` below /sys/fs/cgroup."""
    for path, text in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{k}": v for k, v in files.items()},
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return str(root)


@pytest.fixture(autouse=True)
def many_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (V2, {}, 16),
        (V2, {"user/app/cpu.max": "max 100000\n"}, 16),
        (V2, {"user/app/cpu.max": "200000 100000\n"}, 2),
        (V2, {"user/app/cpu.max": "150000 100000\n"}, 2),
        (V2, {"user/app/cpu.max": "20000 100000\n"}, 1),
        (V2, {"user/app/cpu.max": "400000 100000\n", "user/cpu.max": "300000 100000\n"}, 3),
        (V2, {"cpu.max": "200000 100000\n"}, 2),
        (V2, {"unified/user/app/cpu.max": "500000 100000\n"}, 5),
        (V1, {"cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "300000\n"}, 16),
        (
            V1,
            {
                "cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/docker/ab/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
        (V1, {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ("", {"cpu.max": "100000 100000\n"}, 16),
        ("nonsense\n", {}, 16),
        (V2, {"user/app/cpu.max": "200000 0\n"}, 16),
    ],
)
def test_processors(tmp_path: Path, groups: str, files: dict[str, str], expected: int) -> None:
    assert capacity.processors(laid_out(tmp_path, groups, files)) == expected


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (V2, {}, None),
        (V2, {"user/app/memory.max": "max\n"}, None),
        (V2, {"user/app/memory.max": "max\n", "user/memory.max": "1048576\n"}, 1 << 20),
        (V2, {"user/app/memory.max": "4096\n", "user/memory.max": "1048576\n"}, 4096),
        (V1, {"memory/docker/ab/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        (V1, {"memory/memory.limit_in_bytes": "536870912\n"}, 512 << 20),
    ],
)
def test_memory(tmp_path: Path, groups: str, files: dict[str, str], expected: int | None) -> None:
    assert capacity.memory(laid_out(tmp_path, groups, files)) == expected


def test_rows_scale_by_processes_and_shared_runs_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "processors", lambda: 8)
    assert [capacity.threads_for(workers, shared=False) for workers in (1, 3, 8)] == [1, 1, 1]
    assert [capacity.threads_for(workers, shared=True) for workers in (0, 1, 3, 8, 16)] == [8, 8, 2, 1, 1]


def test_what_a_release_says_of_its_workers_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "processors", lambda: 4)
    shared = {"batch": {"wait": 0.002, "rows": 8}}
    found = [
        threads_of(settings)
        for settings in ({"workers": 1}, {"workers": 1, **shared}, {"workers": 2, **shared})
    ]
    assert found == [1, 4, 2]


def test_this_machine_has_at_least_one_processor_and_no_files_are_needed(tmp_path: Path) -> None:
    assert 1 <= capacity.processors() <= 16
    assert capacity.processors(str(tmp_path)) == 16
    assert capacity.memory(str(tmp_path)) is None
