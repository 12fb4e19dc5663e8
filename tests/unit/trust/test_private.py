"""Key files: made once, for their owner's eyes, and read only where they are what they should be."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from sample_signing import sample

from mlship.errors import UsageError
from mlship.trust.passphrase import read_passphrase
from mlship.trust.private import generate_key, load_key
from mlship.trust.roots import load_public_key
from mlship_runtime.trust.signature import verify_signature


def test_a_pair_is_made_and_signs(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        made = generate_key(tmp_path / "release.key")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "release.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "release.pub").stat().st_mode) == 0o644
    assert load_public_key(tmp_path / "release.pub") == made
    assert hashlib.sha256((tmp_path / "release.pub").read_bytes()).hexdigest() == made.id
    private, bundle = load_key(tmp_path / "release.key"), sample(tmp_path)
    signature = private.sign(bundle.manifest_bytes, bundle.spec)
    assert signature == private.sign(bundle.manifest_bytes, bundle.spec)
    assert verify_signature(signature, [made], bundle.manifest_bytes, bundle.spec).key == made


def test_no_two_keys_are_alike(tmp_path: Path) -> None:
    assert generate_key(tmp_path / "a.key") != generate_key(tmp_path / "b.key")


@pytest.mark.parametrize("there", ["release.key", "release.pub"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is there already"):
        generate_key(tmp_path / "release.key")
    assert [path.name for path in tmp_path.iterdir()] == [there]


def test_a_key_and_its_public_part_cannot_share_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.pub"):
        generate_key(tmp_path / "release.pub")
    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_is_needed_again(tmp_path: Path) -> None:
    file = tmp_path / "release.key"
    made = generate_key(file, b"open sesame")
    assert b"ENCRYPTED" in file.read_bytes()
    assert load_key(file, b"open sesame").public == made
    with pytest.raises(UsageError, match="is encrypted"):
        load_key(file)
    with pytest.raises(UsageError, match="passphrase is wrong"):
        load_key(file, b"open barley")
    plain = tmp_path / "plain.key"
    generate_key(plain)
    with pytest.raises(UsageError, match="is not encrypted"):
        load_key(plain, b"open sesame")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    generate_key(tmp_path / "release.key")
    (tmp_path / "release.key").chmod(mode)
    with pytest.raises(UsageError, match="others can read"):
        load_key(tmp_path / "release.key")


def written(tmp_path: Path, data: bytes) -> Path:
    file = tmp_path / "some.key"
    file.write_bytes(data)
    file.chmod(0o600)
    return file


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_keys_of_another_kind_are_refused(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(UsageError, match="of another kind"):
        load_key(written(tmp_path, pem))


@pytest.mark.parametrize(
    "data", [b"", b"-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n", b"\0" * 99]
)
def test_what_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UsageError, match="no private key"):
        load_key(written(tmp_path, data))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for read in (load_key, load_public_key):
        with pytest.raises(UsageError, match="cannot be read"):
            read(tmp_path / "none.key")


def test_a_private_key_is_not_taken_for_a_public_one(tmp_path: Path) -> None:
    generate_key(tmp_path / "release.key")
    with pytest.raises(UsageError, match="private key"):
        load_public_key(tmp_path / "release.key")


def test_where_the_passphrase_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_passphrase(None) is None
    monkeypatch.setenv("MLSHIP_KEY_PASSPHRASE", "from the environment")
    assert read_passphrase(None) == b"from the environment"
    file = tmp_path / "phrase"
    file.write_text("from the file\nsomething else\n")
    assert read_passphrase(file) == b"from the file"
    file.write_text("\n")
    with pytest.raises(UsageError, match="is empty"):
        read_passphrase(file)
    monkeypatch.setenv("MLSHIP_KEY_PASSPHRASE", "")
    with pytest.raises(UsageError, match="is empty"):
        read_passphrase(None)


def test_checking_needs_no_cryptography() -> None:
    code = "import sys, mlship.ops.verify, mlship.trust.judge; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
