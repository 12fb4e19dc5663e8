"""The file of a signature: a Sigstore bundle (version 0.3, key by hint) around a DSSE envelope.

Sources: DSSE protocol 1.0.2 (PAE); sigstore/protobuf-specs, sigstore_bundle.proto. It is what the
`model-signing` library of the OpenSSF writes and reads. We write it as canonical JSON with one signature.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.errors import InvalidBundle

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_BYTES = 48 << 20  # a statement names each file that an index of 16 MiB can hold
_PLACE = "the signature file"


@dataclass(frozen=True)
class Envelope:
    """A statement's bytes, the signature (DER) of their PAE, and the id of the key, if it is named."""

    payload: bytes
    signature: bytes
    key_id: str


def pae(payload: bytes) -> bytes:
    """What is signed: the payload with its type and length before it."""
    head = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} "
    return head.encode("ascii") + payload


def write_envelope(envelope: Envelope) -> bytes:
    """The file, the same for the same envelope."""
    signature = {"keyid": "", "sig": base64.b64encode(envelope.signature).decode("ascii")}
    return canonical.encode(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": envelope.key_id}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(envelope.payload).decode("ascii"),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [signature],
            },
        }
    )


def read_envelope(data: bytes) -> Envelope:
    """Read the file of a signature by a key; raises InvalidBundle for anything else. Nothing is verified."""
    top = Fields(canonical.decode(data, max_bytes=MAX_BYTES), _PLACE)
    top.only("mediaType", "verificationMaterial", "dsseEnvelope").constant("mediaType", MEDIA_TYPE)
    inner = top.object("dsseEnvelope").only("payload", "payloadType", "signatures")
    inner.constant("payloadType", PAYLOAD_TYPE)
    signatures = inner.objects("signatures")
    if len(signatures) != 1:
        raise inner.wrong("signatures", "has not exactly one entry")
    signature = signatures[0].only("sig", "keyid")
    if signature.values.get("keyid", "") != "":
        raise signature.wrong("keyid", "is not empty; the key is named in verificationMaterial")
    return Envelope(_decoded(inner, "payload"), _decoded(signature, "sig"), _key_id(top))


def _key_id(top: Fields) -> str:
    material = top.object("verificationMaterial").only("publicKey", "tlogEntries")
    if material.values.get("tlogEntries", []) != []:
        raise material.wrong("tlogEntries", "is not empty: only signatures by a key are checked here")
    key = material.object("publicKey").only("hint")
    return key.text("hint", 200) if key.values else ""


def _decoded(fields: Fields, key: str) -> bytes:
    text = fields.text(key, MAX_BYTES)
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise InvalidBundle(f"{fields.place}: {key!r} is not base64", cause=str(error)) from error
    if base64.b64encode(data).decode("ascii") != text:
        raise fields.wrong(key, "is base64 with bits left over")
    return data
