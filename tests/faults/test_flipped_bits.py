"""Every single bit of manifest and signature, and 10,000 bits of the data, the other way: each is refused.

In the registry, in the file that `export` writes, and on the way into a folder: nothing stands under a final
name afterwards. Which bits of the data is decided by the number of the lot, so that a failure comes back.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from sample_bundle import make_bundle
from sample_signing import Signer, sample
from sampling import Some

from mlship.bundle.exchange.export import export_file
from mlship.bundle.exchange.import_file import import_file
from mlship.bundle.open import OpenBundle, open_bundle, verify_bundle
from mlship.errors import BundleError
from mlship.reference import Reference
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship_runtime.bundle.extract import extract_layer
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.signature import verify_signature

pytestmark = pytest.mark.faults

LOTS, FLIPS = range(5), 2000  # of so many bits each: 10,000
SLICES = range(4)
CHEAP = 0.05  # a bit, beside the points of other tables
SIGNER = Signer(11)
REFUSED = (BundleError, InvalidBundle)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> OpenBundle:
    return sample(tmp_path_factory.mktemp("bundle"), model=random.Random(1).randbytes(20_000))


def flipped(data: bytes, bits: Iterable[int]) -> Iterator[bytes]:
    for bit in bits:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


@pytest.mark.parametrize("part", SLICES)
def test_every_bit_of_the_manifest(bundle: OpenBundle, part: int, some: Some) -> None:
    """To who asks for its digest, and to who has a signature of it."""
    envelope, data = SIGNER.sign(bundle), bundle.manifest_bytes
    registry = open_folder(bundle.registry.url)
    file = Path(bundle.registry.url[6:], "manifests", "churn", bundle.digest[7:])
    file.chmod(0o644)
    try:
        for changed in flipped(data, some.among(range(part, len(data) * 8, len(SLICES)), CHEAP)):
            file.write_bytes(changed)
            with pytest.raises(BundleError):
                open_bundle(registry, bundle.reference)
            with pytest.raises(InvalidBundle):
                verify_signature(envelope, [SIGNER.key], changed, bundle.spec)
    finally:
        file.write_bytes(data)


@pytest.mark.parametrize("part", SLICES)
def test_every_bit_of_the_signature(bundle: OpenBundle, part: int, some: Some) -> None:
    envelope = SIGNER.sign(bundle)
    bits = range(part, len(envelope) * 8, len(SLICES))
    for changed in flipped(envelope, some.among(bits, CHEAP)):
        with pytest.raises(InvalidBundle):
            verify_signature(changed, [SIGNER.key], bundle.manifest_bytes, bundle.spec)


@pytest.mark.parametrize("lot", LOTS)
def test_any_bit_of_the_data(bundle: OpenBundle, lot: int, tmp_path: Path, some: Some) -> None:
    """Of every blob alike: where it is verified, and where a layer is unpacked."""
    chance = random.Random(lot)
    blobs = Path(bundle.registry.url[6:], "blobs", "sha256")
    for _ in range(some.of(FLIPS, CHEAP)):
        blob = chance.choice(bundle.manifest.blobs)
        file = blobs / blob.digest[7:]
        data = file.read_bytes()
        (changed,) = flipped(data, [chance.randrange(len(data) * 8)])
        file.chmod(0o644)
        file.write_bytes(changed)
        try:
            with pytest.raises(BundleError):
                verify_bundle(open_bundle(bundle.registry, bundle.reference))
        finally:
            file.write_bytes(data)
        if blob.is_tar:
            entries = bundle.spec.files[blob.digest]
            with pytest.raises(InvalidBundle):
                extract_layer(io.BytesIO(changed), str(tmp_path / "layer"), entries, blob.digest)
            assert list(tmp_path.iterdir()) == []
    assert verify_bundle(open_bundle(bundle.registry, bundle.reference)).files == 7


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("exported")
    registry = open_folder(f"dir://{folder}/registry")
    make_bundle(registry, model=random.Random(1).randbytes(20_000))
    (digest,) = registry.digests("churn")
    export_file(open_bundle(registry, Reference("churn", digest=digest)), folder / "churn.tar")
    return (folder / "churn.tar").read_bytes()


@pytest.mark.parametrize("part", SLICES)
def test_every_bit_of_what_comes_before_the_data_of_a_file(
    exported: bytes, part: int, tmp_path: Path, some: Some
) -> None:
    """Its layout, its index and its manifest, with their headers."""
    head = exported.index(b'"modelfs"')
    into = open_folder(f"dir://{tmp_path}/registry")
    for changed in flipped(exported, some.among(range(part, head * 8, len(SLICES)), CHEAP)):
        refused(changed, into)


def test_any_bit_of_a_file(exported: bytes, tmp_path: Path, some: Some) -> None:
    chance = random.Random(7)
    bits = [chance.randrange(len(exported) * 8) for _ in range(FLIPS)]
    into = open_folder(f"dir://{tmp_path}/registry")
    for changed in flipped(exported, some.among(bits, CHEAP)):
        refused(changed, into)


def refused(data: bytes, into: StoreRegistry) -> None:
    with pytest.raises(REFUSED):
        import_file(io.BytesIO(data), into)
    assert into.names() == []
