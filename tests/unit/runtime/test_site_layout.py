"""Where a service lies on a host, and the folder of its sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mlship_runtime.errors import SiteError
from mlship_runtime.supervision import layout as place
from mlship_runtime.supervision.layout import Site, hex_of, layout_of, private_folder


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-a", "A", "a" * 64, "a\n"])
def test_a_service_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(SiteError):
        Site(tmp_path).service(name)


@pytest.mark.parametrize("name", ["a", "churn", "churn-2.eu", "a" * 63])
def test_plain_names_are_services(tmp_path: Path, name: str) -> None:
    assert Site(tmp_path).service(name).folder == tmp_path / "services" / name


def test_the_layout_is_found_again_from_the_folder(tmp_path: Path) -> None:
    layout = Site(tmp_path.resolve()).service("tiny")
    assert layout_of(layout.folder) == layout


def test_sockets_have_short_paths_that_do_not_depend_on_the_environment(tmp_path: Path, monkeypatch) -> None:
    layout = Site(tmp_path / ("deep" * 30)).service("tiny")
    before = layout.worker_sockets(123456, 63, 4194304).handover
    assert len(os.fsencode(before)) < 100
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert layout.worker_sockets(123456, 63, 4194304).handover == before
    assert Site(tmp_path).service("tiny").run != layout.run


def test_workers_are_found_by_their_sockets(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(place, "RUN_ROOT", tmp_path)
    layout = Site(tmp_path).service("tiny")
    assert layout.found_workers() == []
    private_folder(layout.run)
    sockets = layout.worker_sockets(2, 1, 99)
    for path in (sockets.control, sockets.web, layout.supervisor_socket):
        path.touch()
    assert layout.found_workers() == [sockets]
    sockets.unlink()
    assert layout.found_workers() == []


def test_the_folder_of_sockets_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "mlship-0" / "abc"
    private_folder(folder)
    private_folder(folder)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}
    folder.chmod(0o755)
    with pytest.raises(SiteError, match="not a private folder"):
        private_folder(folder)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(SiteError, match="not a private folder"):
        private_folder(folder)


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:" + "0" * 63, "sha256:../../etc", "md5:" + "0" * 64]
)
def test_only_digests_name_blobs(digest: str) -> None:
    with pytest.raises(SiteError):
        hex_of(digest)


def test_numbers_are_those_of_records(tmp_path: Path) -> None:
    layout = Site(tmp_path).service("tiny")
    layout.releases.mkdir(parents=True)
    for name in ("10.json", "2.json", ".3.json.77.part", "x.json"):
        (layout.releases / name).touch()
    assert layout.numbers() == [2, 10]
