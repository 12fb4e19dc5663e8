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

import re
from collections.abc import Iterator
from typing import Literal

from mlship.digest import hex_of
from mlship.reference import MAX_NAME, NAME, TAG, check_name, check_tag
from mlship.store.protocol import Store

COLLECTION = "collection"
INTENTS = "intents/"
POLICY = "policy"

Kind = Literal["blobs", "manifests", "partial", "attachments", "tags", "marks"]
_HEX = "[0-9a-f]{64}"
_NAME = rf"(?=[^/]{{1,{MAX_NAME}}}/){NAME.pattern}"
_FORMS: dict[Kind, re.Pattern[str]] = {
    "blobs": re.compile(f"blobs/sha256/{_HEX}"),
    "manifests": re.compile(f"manifests/{_NAME}/{_HEX}"),
    "partial": re.compile(f"partial/{_NAME}/{_HEX}"),
    "attachments": re.compile(f"attachments/{_NAME}/{_HEX}/{_HEX}"),
    "tags": re.compile(f"tags/{_NAME}/{TAG.pattern}"),
    "marks": re.compile(f"marks/{_NAME}/{TAG.pattern}/[0-9]+-[0-9a-f]+-{_HEX}"),
}


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


def listed(store: Store, kind: Kind, below: str | None = None) -> Iterator[str]:
    """All keys of a kind, or those of one bundle's name, or of what else they begin with, sorted; what
    somebody else has put between them is passed over."""
    if below is not None and not below.startswith(f"{kind}/"):
        below = f"{kind}/{check_name(below)}/"
    return (key for key in store.list(below or f"{kind}/") if _FORMS[kind].fullmatch(key))
