"""What a signature says: an in-toto statement with the predicate of OpenSSF Model Signing 1.0.

Its resources are the files of the unpacked bundle: everything in the index, for all platforms, `mlship.json`
and `manifest.json` (whose sha256 is the bundle's digest). The subject's digest is the sha256 of those of
the resources, one after the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.manifest import SPEC_PATH, read_manifest
from mlship_runtime.bundle.spec import Spec
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.envelope import MAX_BYTES

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
MANIFEST_PATH = "manifest.json"
_HASH = "sha256"
_PLACE = "the signed statement"


@dataclass(frozen=True)
class Statement:
    """A name, and the sha256 (64 hexadecimal digits) of each file by its path."""

    subject: str
    resources: Mapping[str, str]


def statement_of(manifest: bytes, spec: Spec) -> Statement:
    """What a signature of this bundle must say; raises InvalidBundle if the manifest is none."""
    read = read_manifest(manifest)
    files = {entry.path: entry.sha256 for entries in spec.files.values() for entry in entries}
    files[SPEC_PATH] = read.spec_layer.digest.partition(":")[2]
    files[MANIFEST_PATH] = hashlib.sha256(manifest).hexdigest()
    return Statement(f"{spec.name}:{spec.version}", files)


def write_statement(statement: Statement) -> bytes:
    """The bytes to sign: canonical JSON, resources sorted by their paths."""
    resources = sorted(statement.resources.items())
    return canonical.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": statement.subject, "digest": {_HASH: _digest_of([sha for _, sha in resources])}}
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": _HASH,
                    "allow_symlinks": False,
                    "ignore_paths": [],
                },
                "resources": [{"name": path, "algorithm": _HASH, "digest": sha} for path, sha in resources],
            },
        }
    )


def read_statement(payload: bytes) -> Statement:
    """Read what was signed; raises InvalidBundle for one about anything but files by sha256."""
    top = Fields(canonical.decode(payload, max_bytes=MAX_BYTES), _PLACE)
    top.only("_type", "subject", "predicateType", "predicate")
    top.constant("_type", STATEMENT_TYPE)
    top.constant("predicateType", PREDICATE_TYPE)
    subjects = top.objects("subject")
    if len(subjects) != 1:
        raise top.wrong("subject", "is not exactly one")
    predicate = top.object("predicate").only("serialization", "resources")
    _check_serialization(predicate.object("serialization"))
    digests, resources = [], {}
    for resource in predicate.objects("resources"):
        resource.only("name", "algorithm", "digest").constant("algorithm", _HASH)
        name = resource.text("name")
        if name in resources:
            raise InvalidBundle(f"{_PLACE} names {name[:250]!a} twice")
        resources[name] = _sha256(resource, "digest")
        digests.append(resources[name])
    subject = subjects[0].only("name", "digest")
    if _sha256(subject.object("digest").only(_HASH), _HASH) != _digest_of(digests):
        raise InvalidBundle(f"{_PLACE} contradicts itself", cause="its subject is not its resources")
    return Statement(subject.text("name"), resources)


def _check_serialization(fields: Fields) -> None:
    """`ignore_paths` may be anything: we compare with the whole index and leave nothing out."""
    fields.only("method", "hash_type", "allow_symlinks", "ignore_paths").constant("method", "files")
    fields.constant("hash_type", _HASH)
    if fields.truth("allow_symlinks"):
        raise fields.wrong("allow_symlinks", "is true, and bundles have no links")


def _sha256(fields: Fields, key: str) -> str:
    value = fields.text(key, 64)
    if len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise fields.wrong(key, "is not 64 hexadecimal digits")
    return value


def _digest_of(digests: list[str]) -> str:
    return hashlib.sha256(bytes.fromhex("".join(digests))).hexdigest()
