"""Opening and verifying a bundle where it lies: one wrong bit anywhere is exit 4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_bundle import GOLDEN, make_bundle, make_layers, make_spec, write_bundle

from mlship.bundle.archive import Layer
from mlship.bundle.manifest import build_manifest, spec_descriptor
from mlship.bundle.open import open_bundle, verify_bundle
from mlship.digest import sha256
from mlship.errors import BundleError, RegistryError
from mlship.reference import Reference, parse_reference
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.manifest import read_manifest


@pytest.fixture
def registry(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/registry")


def test_open(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)
    registry.set_tag("churn", "1.0", digest, None)
    for text in ("churn:1.0", f"churn@{digest}"):
        bundle = open_bundle(registry, parse_reference(text))
        assert bundle.digest == digest
        assert bundle.reference == parse_reference(text)
        assert bundle.manifest == read_manifest(bundle.manifest_bytes)
        assert bundle.spec.name == "churn"
        assert bundle.golden() == GOLDEN
        assert bundle.json(bundle.manifest.spec_layer) == bundle.spec.document
        assert bundle.json(bundle.manifest.config)["config"] == {"format": "onnx"}


def test_a_blob_is_read_from_its_own_file(registry: StoreRegistry, tmp_path: Path) -> None:
    bundle = open_bundle(registry, Reference("churn", digest=make_bundle(registry)))
    layer = bundle.manifest.layers[0]
    file = bundle.file(layer.digest)
    assert file is not None
    assert sha256(file.read_bytes()) == layer.digest
    assert file.is_relative_to(tmp_path / "registry")
    assert bundle.file(bundle.digest) is None
    file.chmod(0o644)
    file.write_bytes(b"x" * layer.size)
    with pytest.raises(BundleError):
        bundle.file(layer.digest)


def test_fetch(registry: StoreRegistry, tmp_path: Path) -> None:
    bundle = open_bundle(registry, Reference("churn", digest=make_bundle(registry)))
    for digest in (bundle.digest, *(blob.digest for blob in bundle.manifest.blobs)):
        path = bundle.fetch(digest, tmp_path)
        assert path.parent == tmp_path
        assert sha256(path.read_bytes()) == digest
    with pytest.raises(BundleError, match="has no blob"):
        bundle.fetch("sha256:" + "0" * 64, tmp_path)


def test_verify_counts(registry: StoreRegistry) -> None:
    bundle = open_bundle(registry, Reference("churn", digest=make_bundle(registry)))
    verified = verify_bundle(bundle)
    assert verified.files == sum(len(entries) for entries in bundle.spec.files.values()) == 7
    assert verified.bytes == sum(blob.size for blob in bundle.manifest.blobs)


def test_what_is_not_there(registry: StoreRegistry) -> None:
    with pytest.raises(RegistryError, match="it is empty"):
        open_bundle(registry, Reference("churn"))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_bit_is_found(registry: StoreRegistry, draw: st.DataObject) -> None:
    digest = make_bundle(registry)
    root = Path(registry.url.removeprefix("dir://"))
    files = sorted([*root.glob("blobs/sha256/*"), *root.glob("manifests/churn/*")])
    file = draw.draw(st.sampled_from(files))
    whole = file.read_bytes()
    bit = draw.draw(st.integers(0, len(whole) * 8 - 1))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    file.chmod(0o644)
    file.write_bytes(damaged)
    try:
        with pytest.raises(BundleError) as caught:
            verify_bundle(open_bundle(registry, Reference("churn", digest=digest)))
        assert caught.value.exit_code == 4
        assert "\n" not in str(caught.value)
    finally:
        file.write_bytes(whole)
    verify_bundle(open_bundle(registry, Reference("churn", digest=digest)))


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Layer], Layer]:
    """A layer whose tar is another one than its index says, honestly named by its own digest."""

    def apply(layer: Layer) -> Layer:
        data = change(layer.path.read_bytes())
        path = layer.path.with_suffix(".changed")
        path.write_bytes(data)
        return Layer(
            role=layer.role, title=layer.title, platform=layer.platform, path=path,
            digest=sha256(data), size=len(data), entries=layer.entries,
        )  # fmt: skip

    return apply


LIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "other content": (
        lambda d: d.replace(b"a model", b"a mobel"),
        "'model/model.onnx' is not what the index says",
    ),
    "added file": (lambda d: d[:1024] + d[:1024] + d[1024:], "the sizes do not add up"),
    "missing file": (lambda d: d[1024:], "the sizes do not add up"),
    "renamed": (lambda d: d.replace(b"model.onnx", b"model.ony\0"), "a tar header is not one"),
    "not a tar": (lambda d: bytes(len(d)), "bytes after its end"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_tar_that_is_not_what_the_index_says(registry: StoreRegistry, tmp_path: Path, lie: str) -> None:
    """Every digest is right, and yet manifest, index and content do not fit: its author lies."""
    change, message = LIES[lie]
    model, *others = make_layers(tmp_path)
    layers = [rewritten(change)(model), *others]
    digest = write_bundle(registry, layers, make_spec(layers))
    bundle = open_bundle(registry, Reference("churn", digest=digest))
    with pytest.raises(BundleError) as caught:
        verify_bundle(bundle)
    assert message in str(caught.value)


def test_golden_with_another_content_is_not_used(registry: StoreRegistry, tmp_path: Path) -> None:
    *others, golden = make_layers(tmp_path)
    layers = [*others, rewritten(lambda d: d.replace(b"41.0", b"42.0"))(golden)]
    bundle = open_bundle(
        registry, Reference("churn", digest=write_bundle(registry, layers, make_spec(layers)))
    )
    with pytest.raises(BundleError, match="is not what the index says"):
        bundle.golden()


def test_config_of_another_bundle(registry: StoreRegistry, tmp_path: Path) -> None:
    layers = make_layers(tmp_path)
    digest = write_bundle(registry, layers, make_spec(layers))
    spec = canonical.encode(make_spec(layers))
    for config in (b"{}", b"[]", canonical.encode({"modelfs": {"diffIds": []}})):
        registry.write_blob("churn", sha256(config), len(config), [config])
        descriptors: list[Any] = [*(layer.descriptor() for layer in layers), spec_descriptor(spec)]
        other = registry.write_manifest("churn", build_manifest("churn", "1.0", descriptors, config))
        assert other != digest
        with pytest.raises(BundleError, match="config"):
            verify_bundle(open_bundle(registry, Reference("churn", digest=other)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schemaVersion": 2}, "newer mlship"),
        ({"version": "2.0"}, "of different bundles"),
        ({"files": {}}, "indexes other"),
    ],
)
def test_spec_that_cannot_be_used(
    registry: StoreRegistry, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    layers = make_layers(tmp_path)
    spec = canonical.encode({**make_spec(layers), **change})
    descriptors: list[Any] = [*(layer.descriptor() for layer in layers), spec_descriptor(spec)]
    for data in (spec, b"{}", *(layer.path.read_bytes() for layer in layers)):
        registry.write_blob("churn", sha256(data), len(data), [data])
    digest = registry.write_manifest("churn", build_manifest("churn", "1.0", descriptors, b"{}"))
    with pytest.raises(BundleError, match=why):
        open_bundle(registry, Reference("churn", digest=digest))
