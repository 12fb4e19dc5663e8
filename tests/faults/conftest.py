"""What tests of faults share: `sample_bundle` and its neighbours, and where many small files are quick."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "samples"))


FOLDER = Path(__file__).parent
WHOLE_TABLE = 1800  # seconds, on a machine that has other things to do


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A table that runs in full gets the time for it, unless it says how much it needs."""
    for item in items:
        if FOLDER in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(WHOLE_TABLE))


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where that is to be had, for what counts calls and does not wait for a disk."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


@contextmanager
def _on_tmpfs(folder: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2G", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def far(
    tmp_path_factory: pytest.TempPathFactory, require: Callable[[str], None], kit: tuple[str, Any]
) -> Iterator[Any]:
    """A far_target.FarTarget with a release on it, below a file system of its own (`base.parent`), and its
    own sshd. Each test leaves it answering, with a file system that can be written and has space."""
    from far_target import far_target
    from ssh_server import ssh_server

    require("sshd")
    require("tmpfs")
    disk, folder = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("far")
    with ExitStack() as stack:
        stack.enter_context(_on_tmpfs(disk))
        server = stack.enter_context(ssh_server(tmp_path_factory.mktemp("far-sshd")))
        yield stack.enter_context(far_target(server, disk / "base", folder, kit[1]))
