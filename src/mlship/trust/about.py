"""In-toto statements about one bundle: what somebody says of it, in bytes to sign.

The subject is the bundle's manifest, whose sha256 is the bundle's digest; `kind` is the predicate's type.
"""

from __future__ import annotations

from typing import Any

from mlship.digest import hex_of
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.tree import MAX_MANIFEST_BYTES
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.statement import MANIFEST_PATH, STATEMENT_TYPE


def write_statement(digest: str, kind: str, said: Any) -> bytes:
    """The bytes to sign: `said` (a predicate) of the bundle `digest`."""
    return canonical.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": MANIFEST_PATH, "digest": {"sha256": hex_of(digest)}}],
            "predicateType": kind,
            "predicate": said,
        }
    )


def read_statement(payload: bytes, digest: str, kind: str, place: str) -> Fields:
    """What `payload` says of the bundle `digest`; raises InvalidBundle, in which it is called `place`, for a
    statement of another kind or bundle."""
    top = Fields(canonical.decode(payload, max_bytes=MAX_MANIFEST_BYTES), place)
    top.only("_type", "subject", "predicateType", "predicate").constant("_type", STATEMENT_TYPE)
    top.constant("predicateType", kind)
    subjects = top.objects("subject")
    if len(subjects) != 1 or subjects[0].object("digest").get("sha256") != hex_of(digest):
        raise InvalidBundle(f"{place} is of another bundle")
    return top.object("predicate")
