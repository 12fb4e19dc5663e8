"""kill -9 at every call of import and export that changes the disk: whole or absent, a repeat completes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from sample_bundle import make_bundle
from sample_kills import check_everything_published, killed_at
from sampling import Some

from mlship.bundle.exchange.export import export_file
from mlship.bundle.open import open_bundle
from mlship.ops.context import Context
from mlship.ops.import_bundle import import_bundle
from mlship.reference import Reference
from mlship.registry.over_store import StoreRegistry, open_folder

pytestmark = pytest.mark.faults

PROJECT = '[project]\nname = "churn"\n[model]\nsource = "m"\n'
REF = Reference("churn", tag="1.0")


@pytest.fixture
def source(tmp_path: Path) -> StoreRegistry:
    registry = open_folder(f"dir://{tmp_path}/source")
    digest = make_bundle(registry)
    registry.attach("churn", digest, "application/vnd.example.note+json", b"signed")
    registry.set_tag("churn", "1.0", digest, None)
    return registry


def sweep(folder: Path, file: Path, digest: str, stride: int) -> int:
    """Kill an import into a project's own store at point after point, each in a fresh project; how many
    points there are."""
    point = 1
    while True:
        root = folder / str(point)
        root.mkdir()
        (root / "mlship.toml").write_text(PROJECT)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            context = Context.here()
            killed = killed_at(point, partial(import_bundle, context, file))
            own = open_folder(f"dir://{root}/.mlship/store")
            check_everything_published(own)
            if killed:
                assert own.tags("churn") in ({}, {"1.0": digest})
                assert not own.tags("churn") or own.attachments("churn", digest)
            import_bundle(context, file)
        assert own.tags("churn") == {"1.0": digest}
        assert len(own.attachments("churn", digest)) == 1
        check_everything_published(own)
        if not killed:
            return point
        point += stride


@pytest.mark.parametrize("platforms", [(), ("linux/amd64",)], ids=["whole", "one platform"])
def test_import(tmp_path: Path, source: StoreRegistry, platforms: tuple[str, ...], some: Some) -> None:
    file = tmp_path / "churn.tar"
    export_file(open_bundle(source, REF), file, platforms)
    assert sweep(tmp_path, file, source.resolve(REF), some.stride(cost=2)) > 60


def test_export_over_an_older_file(tmp_path: Path, source: StoreRegistry) -> None:
    bundle = open_bundle(source, REF)
    export_file(bundle, tmp_path / "good.tar")
    good, point, killed = (tmp_path / "good.tar").read_bytes(), 0, True
    while killed:
        point += 1
        folder = tmp_path / str(point)
        folder.mkdir()
        (folder / "churn.tar").write_bytes(b"before")
        killed = killed_at(point, partial(export_file, bundle, folder / "churn.tar"))
        assert (folder / "churn.tar").read_bytes() in ((b"before", good) if killed else (good,))
    assert point > 3
