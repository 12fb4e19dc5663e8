"""What a target that takes signed bundles only sends along with one: whose signature counts, and signatures.

The host checks them with its own copy of the ground floor, over the manifest and index that arrived there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.spec import Spec
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.envelope import MAX_BYTES
from mlship_runtime.trust.keys import MAX_PEM_BYTES, read_public_key
from mlship_runtime.trust.signature import verify_signature

_PLACE = "the demand for a signature"


def signer_on_demand(demand: Mapping[str, Any], manifest: bytes, spec: Spec) -> str:
    """The id of the key of `demand` ({"keys": PEM texts, "signatures": texts of signature files}) that signed
    the bundle of `manifest` and `spec`; raises InvalidBundle if none did."""
    fields = Fields(dict(demand), _PLACE).only("keys", "signatures")
    keys = [read_public_key(pem) for pem in _texts(fields, "keys", MAX_PEM_BYTES)]
    faults = []
    for envelope in _texts(fields, "signatures", MAX_BYTES):
        try:
            return verify_signature(envelope, keys, manifest, spec).key.id
        except InvalidBundle as fault:
            faults.append(fault)
    if faults:
        raise faults[0]
    raise InvalidBundle("the bundle came without a signature", cause="the target takes signed ones only")


def _texts(fields: Fields, key: str, limit: int) -> list[bytes]:
    found = fields.array(key)
    if not all(isinstance(text, str) and len(text) <= limit for text in found):
        raise fields.wrong(key, "is not a list of texts")
    return [text.encode("utf-8", "surrogatepass") for text in found]
