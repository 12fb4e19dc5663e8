"""Where a registry over a Store keeps what.

blobs/sha256/<hex>
manifests/<name>/<hex>
partial/<name>/<hex>                            a manifest of which some layers are not here
attachments/<name>/<hex of the bundle>/<hex of its content>
tags/<name>/<tag>                               what the tag names, and its last moves
marks/<name>/<tag>/<number>-<nonce>-<hex>       the same as a key, so that listing reads no values
policy                                          what may cross to and from here, signed
audit/...                                       what did (trust/audit_log.py)
intents/<id>                                    what somebody is writing now
collection                                      what a collection is removing now
"""

from __future__ import annotations

from mlship.digest import hex_of
from mlship.reference import check_name, check_tag

COLLECTION = "collection"
INTENTS = "intents/"
POLICY = "policy"


def blob(digest: str) -> str:
    return f"blobs/sha256/{hex_of(digest)}"


def manifest(name: str, digest: str) -> str:
    return f"manifests/{check_name(name)}/{hex_of(digest)}"


def partial(name: str, digest: str) -> str:
    return f"partial/{check_name(name)}/{hex_of(digest)}"


def attachments(name: str, digest: str) -> str:
    """What the keys of all that is attached to a bundle begin with."""
    return f"attachments/{check_name(name)}/{hex_of(digest)}/"


def tag(name: str, tag: str) -> str:
    return f"tags/{check_name(name)}/{check_tag(tag)}"


def marks(name: str, tag: str) -> str:
    """What the keys of a tag's marks begin with."""
    return f"marks/{check_name(name)}/{check_tag(tag)}/"


def of_one(kind: str, name: str | None) -> str:
    """What all keys of a kind begin with, or those of one bundle's name."""
    return f"{kind}/" if name is None else f"{kind}/{check_name(name)}/"
