"""Private keys: made, kept in a file that only its owner can read, and used to sign.

The only place that needs `cryptography`, imported when a key is used.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import MlshipError, UsageError
from mlship_runtime.bundle.spec import Spec
from mlship_runtime.trust.envelope import Envelope, pae, write_envelope
from mlship_runtime.trust.keys import PublicKey
from mlship_runtime.trust.statement import statement_of, write_statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_MAX_FILE = 1 << 16


class PrivateKey:
    """A key on P-256 that signs."""

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    def public(self) -> PublicKey:
        numbers = self._key.public_key().public_numbers()
        return PublicKey(numbers.x, numbers.y)

    def sign(self, manifest: bytes, spec: Spec) -> bytes:
        """The signature file of a bundle: the same bundle and key give the same bytes (RFC 6979)."""
        return self.sign_statement(write_statement(statement_of(manifest, spec)))

    def sign_statement(self, payload: bytes) -> bytes:
        """The signature file of an in-toto statement."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        signature = self._key.sign(pae(payload), ECDSA(SHA256(), deterministic_signing=True))
        return write_envelope(Envelope(payload, signature, self.public.id))


def generate_key(file: Path, passphrase: bytes | None = None) -> PublicKey:
    """Make a key: `file` (PEM, PKCS #8, mode 0600, encrypted if there is a passphrase) and beside it the
    public part, `public_file(file)`. Raises UsageError if one of them is there, and then writes neither."""
    _need_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = public_file(file)
    for path in (file, public):
        if os.path.lexists(path):
            raise UsageError(f"{path} is there already", fix="A key is never overwritten: give another name")
    made = ec.generate_private_key(ec.SECP256R1())
    cipher: Any = serialization.NoEncryption()
    if passphrase is not None:
        cipher = serialization.BestAvailableEncryption(passphrase)
    pem = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)
    key = PrivateKey(made).public
    _write_new(file, pem, 0o600)
    try:
        _write_new(public, key.pem, 0o644)
    except UsageError:
        with suppress(OSError):
            file.unlink()
        raise
    return key


def load_key(file: Path, passphrase: bytes | None = None) -> PrivateKey:
    """The key in `file`. Raises UsageError if it cannot be read, others than its owner can, its passphrase is
    missing or wrong, or it is no key on P-256."""
    _need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read_private(file)
    try:
        key = load_pem_private_key(data, passphrase)
    except TypeError as error:
        if passphrase is None:
            raise UsageError(
                f"{file} is encrypted",
                fix="Give its passphrase in MLSHIP_KEY_PASSPHRASE or --passphrase-file",
            ) from error
        raise UsageError(f"{file} is not encrypted", fix="Leave the passphrase out") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        cause = "it is no PEM file" if passphrase is None else "the passphrase is wrong, or it is no PEM file"
        raise UsageError(
            f"{file} is no private key", cause=cause, fix="Make one: mlship key generate"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(
            f"{file} is a key of another kind",
            cause="only P-256 is known",
            fix="Make one: mlship key generate",
        )
    return PrivateKey(key)


def public_file(file: Path) -> Path:
    """Where the public part of the key in `file` is written: `release.key` has `release.pub`."""
    return file.with_suffix(".pub")


def _read_private(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            data = opened.read(_MAX_FILE)
    except OSError as error:
        raise UsageError(f"{file} cannot be read", cause=error.strerror or str(error)) from error
    if mode & 0o077:
        raise UsageError(
            f"others can read {file}", cause=f"its mode is {mode & 0o777:04o}", fix=f"Run: chmod 600 {file}"
        )
    return data


def _write_new(file: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as opened:
            os.fchmod(descriptor, mode)
            opened.write(data)
            opened.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise UsageError(f"{file} cannot be written", cause=error.strerror or str(error)) from error


def _need_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError as error:
        raise MlshipError(
            "signing needs a package that is not installed (cryptography)",
            fix="pip install 'mlship-toolchain[sign]'",
        ) from error
