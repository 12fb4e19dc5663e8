"""A signed sample bundle without a key file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sample_bundle import make_bundle

from mlship.bundle.open import OpenBundle, open_bundle
from mlship.reference import Reference
from mlship.registry.over_store import open_folder
from mlship_runtime.trust.envelope import Envelope, pae, write_envelope
from mlship_runtime.trust.keys import PublicKey
from mlship_runtime.trust.statement import statement_of, write_statement


@dataclass(frozen=True)
class Signer:
    """A key whose secret is a small number."""

    secret: int

    @property
    def key(self) -> PublicKey:
        numbers = self._private.public_key().public_numbers()
        return PublicKey(numbers.x, numbers.y)

    def envelope(self, payload: bytes) -> bytes:
        signature = self._private.sign(pae(payload), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return write_envelope(Envelope(payload, signature, self.key.id))

    def sign(self, bundle: OpenBundle) -> bytes:
        return self.envelope(write_statement(statement_of(bundle.manifest_bytes, bundle.spec)))

    @property
    def _private(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.secret, ec.SECP256R1())


def sample(folder: Path, **different: object) -> OpenBundle:
    """A small bundle in a registry below `folder`."""
    registry = open_folder(f"dir://{folder}/registry")
    return open_bundle(registry, Reference("churn", digest=make_bundle(registry, **different)))  # type: ignore[arg-type]
