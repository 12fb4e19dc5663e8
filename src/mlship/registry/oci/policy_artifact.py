"""A registry's policy as an OCI artifact: the tag `current` of the repository PREFIX/mlship-policy.

Nothing can be compared and set there, so it is looked at right before and right after it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from mlship.bundle.fault import as_bundle_error
from mlship.digest import checked, sha256
from mlship.errors import BundleError, PolicyError
from mlship.registry.oci.documents import Documents
from mlship.registry.oci.referrers import EMPTY, EMPTY_TYPE
from mlship.registry.oci.trouble import NotLetIn, Refused
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.manifest import MANIFEST_TYPE

NAME = "mlship-policy"  # where a bundle would have its name
TAG = "current"
TYPE = "application/vnd.mlship.policy.v1+json"
MAX_BYTES = 1 << 20
T = TypeVar("T")
_NOT_LET_IN = (401, 403)
ReadBlob = Callable[[str, str, int], Iterable[bytes]]
WriteBlob = Callable[[str, str, int, Iterable[bytes]], bool]


def read(documents: Documents, repository: str, read_blob: ReadBlob) -> tuple[bytes, str] | None:
    """The record of the policy and the digest of its manifest; None if there is none. Raises PolicyError if
    it is damaged or something else."""
    data = _or_none(lambda: documents.read(repository, TAG))
    if data is None:
        return None
    try:
        with as_bundle_error():
            top = Fields(canonical.decode(data), "the manifest of a policy")
            top.constant("artifactType", TYPE)
            (layer,) = top.objects("layers") or [top]
            digest, size = layer.digest("digest"), layer.number("size")
            if size > MAX_BYTES:
                raise layer.wrong("size", f"is more than {MAX_BYTES}")
        return b"".join(checked(read_blob(NAME, digest, size), digest, size)), sha256(data)
    except (BundleError, ValueError) as error:
        raise PolicyError(
            f"the policy in {documents.client.address.url} cannot be read",
            cause=str(error),
            fix="Set it again: mlship policy set",
        ) from error


def _or_none(asked: Callable[[], T | None]) -> T | None:
    """Many registries let nobody into a repository that is not there, instead of saying so. Who has seen a
    policy, or asks for one, is told by that that there is none."""
    try:
        return asked()
    except NotLetIn:
        return None
    except Refused as refusal:
        if refusal.status in _NOT_LET_IN:
            return None
        raise


def write(
    documents: Documents, repository: str, data: bytes, version: str | None, write_blob: WriteBlob
) -> bool:
    """Store the record under the tag, if that still names `version` (None: nothing); whether it was so."""
    if _or_none(lambda: documents.digest_of(repository, TAG)) != version:
        return False
    for blob in (EMPTY, data):
        write_blob(NAME, sha256(blob), len(blob), [blob])
    manifest = canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": TYPE,
            "config": {"mediaType": EMPTY_TYPE, "digest": sha256(EMPTY), "size": len(EMPTY)},
            "layers": [{"mediaType": TYPE, "digest": sha256(data), "size": len(data)}],
        }
    )
    if _or_none(lambda: documents.digest_of(repository, TAG)) != version:
        return False
    documents.write(repository, TAG, manifest, MANIFEST_TYPE)
    return documents.digest_of(repository, TAG) == sha256(manifest)
