"""Reading a whole registry: every kind of damage is named, and mended where another has it whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sample_bundle import make_bundle
from sample_kills import check_everything_published

from mlship.digest import sha256
from mlship.errors import BundleError
from mlship.registry import keys
from mlship.registry.check import check
from mlship.registry.collect import collect
from mlship.registry.over_store import StoreRegistry, open_folder, record_of
from mlship.registry.transfer import copy
from mlship_runtime.bundle.manifest import read_manifest


@pytest.fixture
def whole(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/whole")


@pytest.fixture
def bad(tmp_path: Path, whole: StoreRegistry) -> StoreRegistry:
    """A second registry with the same bundle, tagged and with something attached."""
    registry = open_folder(f"dir://{tmp_path}/bad")
    digest = make_bundle(whole)
    whole.attach("churn", digest, "application/x", b"attached")
    copy(whole, registry, "churn", digest, tag="1.0")
    return registry


def file_of(registry: StoreRegistry, key: str) -> Path:
    return Path(registry.url.removeprefix("dir://"), key)


def spoil(file: Path) -> None:
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def digest_of(registry: StoreRegistry) -> str:
    (digest,) = registry.digests("churn")
    return digest


def model_of(registry: StoreRegistry) -> str:
    return read_manifest(registry.read_manifest("churn", digest_of(registry))).blobs[1].digest


def test_a_whole_registry(bad: StoreRegistry) -> None:
    report = check(bad)
    assert (report.bundles, report.tags, report.damage, report.is_clean) == (1, 1, (), True)
    assert report.blobs == len(list(bad.store.list("blobs/")))
    assert report.bytes == sum(file.stat().st_size for file in file_of(bad, "blobs/sha256").iterdir())


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("blob", "is not what its digest says"),
        ("missing blob", "it is missing, and churn needs it"),
        ("manifest", "is not what its digest says"),
        ("missing manifest", "has no churn@sha256"),
    ],
)
def test_damage_is_named_and_mended(bad: StoreRegistry, whole: StoreRegistry, what: str, why: str) -> None:
    key = keys.blob(model_of(bad)) if "blob" in what else keys.manifest("churn", digest_of(bad))
    broken: Callable[[Path], None] = Path.unlink if "missing" in what else spoil
    broken(file_of(bad, key))
    report = check(bad)
    assert [damage.key for damage in report.damage] == [key]
    assert why in report.damage[0].why or "no bundle churn" in report.damage[0].why
    assert not report.is_clean
    mended = check(bad, [open_folder("dir:///nonexistent"), whole])
    assert [(damage.key, damage.repaired) for damage in mended.damage] == [(key, True)]
    assert mended.is_clean
    assert check(bad).damage == ()
    check_everything_published(bad)


def test_only_what_is_bad_is_fetched(bad: StoreRegistry, whole: StoreRegistry, monkeypatch) -> None:
    asked = []
    real = StoreRegistry.read_blob

    def read_blob(self: StoreRegistry, name: str, digest: str, size: int):
        asked.append((self.url, digest))
        return real(self, name, digest, size)

    monkeypatch.setattr(StoreRegistry, "read_blob", read_blob)
    model = model_of(bad)
    spoil(file_of(bad, keys.blob(model)))
    assert check(bad, [whole]).is_clean
    assert asked == [(whole.url, model)]


def test_a_source_that_is_damaged_too_mends_nothing(bad: StoreRegistry, whole: StoreRegistry) -> None:
    model = model_of(bad)
    for registry in (bad, whole):
        spoil(file_of(registry, keys.blob(model)))
    before = file_of(bad, keys.blob(model)).read_bytes()
    assert not check(bad, [whole]).is_clean
    assert file_of(bad, keys.blob(model)).read_bytes() == before


def test_a_damaged_tag_is_named(bad: StoreRegistry) -> None:
    tag = file_of(bad, "tags/churn/1.0")
    tag.unlink()
    tag.write_bytes(b"{}")
    assert [damage.key for damage in check(bad, [bad]).damage] == ["tags/churn/1.0"]


@pytest.mark.parametrize("what", ["content", "missing content", "record", "another size"])
def test_what_is_attached_is_mended_and_nothing_else_is_named(
    bad: StoreRegistry, whole: StoreRegistry, what: str
) -> None:
    digest = digest_of(bad)
    (attached,) = bad.attachments("churn", digest)
    bad.attach("churn", digest, "application/y", b"here alone, and whole")
    key = keys.blob(attached.digest)
    if what in ("record", "another size"):
        key = keys.attachments("churn", digest) + attached.digest[7:]
    file = file_of(bad, key)
    if what == "another size":
        changed = record_of(replace(attached, size=attached.size + 1))
        file.unlink()
        file.write_bytes(changed)
    else:
        (spoil if "missing" not in what else Path.unlink)(file)
    assert [damage.key for damage in check(bad).damage] == [key]
    mended = check(bad, [open_folder("dir:///nonexistent"), whole])
    assert [(damage.key, damage.repaired) for damage in mended.damage] == [(key, True)]
    assert check(bad).damage == ()
    assert bad.read_attachment("churn", attached) == b"attached"


def test_a_copy_brings_what_is_attached_where_its_content_was_removed(
    bad: StoreRegistry, whole: StoreRegistry
) -> None:
    digest = digest_of(bad)
    (attached,) = bad.attachments("churn", digest)
    file_of(bad, keys.blob(attached.digest)).unlink()
    assert copy(whole, bad, "churn", digest).sent_attachments == 1
    assert bad.read_attachment("churn", attached) == b"attached"
    assert copy(whole, bad, "churn", digest).sent_attachments == 0


def test_a_damaged_record_of_what_is_absent_is_named(bad: StoreRegistry) -> None:
    key = keys.partial("churn", digest_of(bad))
    file = file_of(bad, key)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"{")
    assert [damage.key for damage in check(bad).damage] == [key]


STRANGE = ("tags/x", "tags/UPPER/1", "manifests/y", "manifests/churn/zz", "blobs/sha256/q")
STRANGE += ("blobs/q", "attachments/z", "attachments/churn/1/2", "marks/q", "marks/churn/1.0/q", "partial/q")


def test_what_somebody_else_has_put_there_is_let_be(bad: StoreRegistry) -> None:
    digest = digest_of(bad)
    before = bad.listed(), bad.digests("churn"), bad.tags("churn"), bad.attachments("churn", digest)
    strange = [*STRANGE, f"attachments/churn/{digest[7:]}/q"]
    for key in strange:
        bad.store.write_if_absent(key, [b"strange"])
    assert (
        bad.listed(),
        bad.digests("churn"),
        bad.tags("churn"),
        bad.attachments("churn", digest),
    ) == before
    assert check(bad).damage == ()
    assert collect(bad).blobs == 0
    assert all(bad.store.stat(key) for key in strange)


@pytest.mark.parametrize("content", [b"{}", b"\xff", b'{"a":' * 99 + b"1" + b"}" * 99, b'{"a":1,"a":1}'])
def test_what_is_no_manifest_is_named_and_no_copy_mends_it(
    bad: StoreRegistry, whole: StoreRegistry, content: bytes
) -> None:
    key = keys.manifest("churn", sha256(content))
    for registry in (bad, whole):
        registry.store.write_if_absent(key, [content])
    for sources in ([], [whole]):
        (damage,) = check(bad, sources).damage
        assert (damage.key, damage.repaired) == (key, False)
        assert "is no manifest of a bundle" in damage.why
    assert collect(bad).bundles == (f"churn@{sha256(content)}",)  # no tag names it
    bad.store.write_if_absent(key, [content])
    with pytest.raises(BundleError, match=f"{key} in .* is no manifest of a bundle"):
        collect(bad, keep_untagged=True)
