"""The verifier of the OpenSSF, as it comes from PyPI, takes our signatures over an unpacked bundle."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "samples"))
from sample_signing import Signer, sample

from mlship_runtime.bundle.extract import extract_layer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PACKAGES = ("model-signing==1.1.1", "pyOpenSSL")  # which it needs and does not declare
SIGNER, OTHER = Signer(21), Signer(22)


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model_signing` in an environment of its own."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    home = tmp_path_factory.mktemp("openssf") / "env"
    for words in (
        ["venv", "--python", sys.executable, str(home)],
        ["pip", "install", "--python", str(home / "bin" / "python"), *PACKAGES],
    ):
        subprocess.run([uv, *words, "--quiet", "--no-config"], check=True)
    return home / "bin" / "model_signing"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked `bundle`, its signature `churn.sig`, and two public keys."""
    folder = tmp_path_factory.mktemp("signed")
    bundle, root = sample(folder), folder / "bundle"
    root.mkdir()
    for layer in bundle.manifest.layers:
        if layer.digest == bundle.manifest.spec_layer.digest:
            (root / "mlship.json").write_bytes(b"".join(bundle.blob(layer.digest)))
            continue
        unpacked = folder / layer.title.removesuffix(".tar")
        with bundle.fetch(layer.digest, folder).open("rb") as stream:
            extract_layer(stream, str(unpacked), bundle.spec.files[layer.digest], layer.digest)
        shutil.copytree(unpacked, root, dirs_exist_ok=True)
    (root / "manifest.json").write_bytes(bundle.manifest_bytes)
    (folder / "churn.sig").write_bytes(SIGNER.sign(bundle))
    (folder / "signer.pub").write_bytes(SIGNER.key.pem)
    (folder / "other.pub").write_bytes(OTHER.key.pem)
    return folder


def verified(verifier: Path, folder: Path, key: str = "signer.pub") -> bool:
    words = ["verify", "key", "bundle", "--signature", "churn.sig", "--public_key", key]
    return subprocess.run([verifier, *words], cwd=folder, capture_output=True, check=False).returncode == 0


def test_it_verifies_our_signature(verifier: Path, signed: Path) -> None:
    assert verified(verifier, signed)
    assert not verified(verifier, signed, "other.pub")


@pytest.mark.parametrize("change", ["flip", "add", "remove"])
def test_it_refuses_what_we_would_refuse(verifier: Path, signed: Path, tmp_path: Path, change: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(signed, copy)
    victim = copy / "bundle" / "reduction" / "reduce.py"
    victim.chmod(0o600)
    victim.parent.chmod(0o700)
    if change == "flip":
        victim.write_bytes(victim.read_bytes() + b"\n")
    elif change == "add":
        victim.with_name("more.py").write_bytes(b"")
    else:
        victim.unlink()
    assert not verified(verifier, copy)
