"""Whether a signature is one of this bundle, by a key that is trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlship_runtime.bundle.spec import Spec
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.ecdsa import signed_by
from mlship_runtime.trust.envelope import Envelope, pae, read_envelope
from mlship_runtime.trust.keys import PublicKey
from mlship_runtime.trust.statement import Statement, read_statement, statement_of


@dataclass(frozen=True)
class Signed:
    """Who signed, and what: the statement as it was verified."""

    key: PublicKey
    statement: Statement


def verify_signature(envelope: bytes, keys: Iterable[PublicKey], manifest: bytes, spec: Spec) -> Signed:
    """Who of `keys` signed the bundle of `manifest` and `spec` (which agree) in the file `envelope`.

    Raises InvalidBundle for another key, changed bytes, and a signature of anything but this very bundle: a
    file missing, added or with another content, or a statement of another kind.
    """
    key, payload = open_envelope(envelope, keys)
    signed = Signed(key, read_statement(payload))
    _compare(signed.statement, statement_of(manifest, spec))
    return signed


def open_envelope(
    envelope: bytes, keys: Iterable[PublicKey], what: str = "the bundle"
) -> tuple[PublicKey, bytes]:
    """Who of `keys` signed the file, and the statement that was signed, whatever it says; raises
    InvalidBundle for another key and changed bytes. `what` was signed, for the message."""
    read = read_envelope(envelope)
    return _signer(read, keys, what), read.payload


def _signer(envelope: Envelope, keys: Iterable[PublicKey], what: str) -> PublicKey:
    named = [key for key in keys if envelope.key_id in ("", key.id)]
    if not named:
        raise InvalidBundle(
            f"{what} is signed with another key",
            cause=f"it is {envelope.key_id[:16] or 'not named'!s}, which is none of those that are trusted",
            fix="Compare it with mlship key show, and trust it if it is right",
        )
    message = pae(envelope.payload)
    for key in named:
        if signed_by(key, message, envelope.signature):
            return key
    raise InvalidBundle("the signature does not hold", cause="it, or what it was made of, has been changed")


def _compare(signed: Statement, bundle: Statement) -> None:
    if signed.resources == bundle.resources:
        return
    differing = set(signed.resources.items()) ^ set(bundle.resources.items())
    path = min(name for name, _ in differing)
    raise InvalidBundle(
        "the signature is of another bundle",
        cause=f"{path!a} is {_difference(path, signed, bundle)}, and {len(differing)} differences in all",
    )


def _difference(path: str, signed: Statement, bundle: Statement) -> str:
    if path not in signed.resources:
        return "in this bundle and was not signed"
    return "not the one that was signed" if path in bundle.resources else "signed and not in this bundle"
