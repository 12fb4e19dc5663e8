"""What the disk tells while a long value still comes is not lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mlship_runtime.errors import StoreFault
from mlship_runtime.store import write_back
from mlship_runtime.store.folder import Folder
from mlship_runtime.store.upload import Upload


def _bad_disk(file: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture
def upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Upload:
    monkeypatch.setattr(write_back, "_OFTEN", 4)
    return Upload(Folder(tmp_path, "dir://x"), "key")


def test_a_value_of_which_the_disk_lost_some_gets_no_name(
    upload: Upload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fdatasync", _bad_disk)
    upload.put(0, memoryview(b"12345"))
    with pytest.raises(StoreFault, match="its disk reports an error"):
        upload.commit(5)
    assert not (tmp_path / "key").exists()
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_nor_is_it_left_to_a_later_writer(
    upload: Upload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fdatasync", _bad_disk)
    upload.put(0, memoryview(b"12345"))
    upload.close()
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_the_disk_is_told_now_and_then(
    upload: Upload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(os, "fdatasync", told.append)
    for at in range(4):
        upload.put(at, memoryview(b"x"))
    assert told == []
    upload.put(4, memoryview(b"x"))
    assert upload.commit(5)
    assert len(told) == 1
    assert (tmp_path / "key").read_bytes() == b"xxxxx"
