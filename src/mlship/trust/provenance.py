"""Provenance: a signed statement of what a bundle was built from, in the form of SLSA 1.0.

A build leaves a record in the project's `.mlship`, `sign` makes a statement of it, and it lies beside the
bundle as signatures do. Source: https://slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.digest import hex_of
from mlship.errors import BundleError
from mlship.trust import about
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.tree import MAX_MANIFEST_BYTES
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.keys import PublicKey
from mlship_runtime.trust.signature import open_envelope

ATTACHED_AS = "application/vnd.mlship.provenance.v1.sigstore+json"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:mlship:build:1"
BUILDER = "urn:mlship:builder"
_PLACE = "the provenance"


@dataclass(frozen=True)
class Provenance:
    """What the statement of `key` says: the commit (empty: not a clean one), the mlship that built, and the
    digests of what it read by name."""

    key: PublicKey
    commit: str
    mlship: str
    materials: dict[str, str]


def predicate(materials: list[dict[str, Any]], *, mlship: str, locked: bool) -> dict[str, Any]:
    """What a build by this mlship was made of."""
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"locked": locked},
            "resolvedDependencies": materials,
        },
        "runDetails": {"builder": {"id": BUILDER, "version": {"mlship": mlship}}},
    }


def record_file(state: Path, digest: str) -> Path:
    """Where a build of the project leaves what the bundle `digest` was made of."""
    return state / "provenance" / f"{hex_of(digest)}.json"


def read_record(state: Path, digest: str) -> Any:
    """The predicate that a build has left; None if there is none. Raises BundleError if it is damaged."""
    file = record_file(state, digest)
    try:
        return canonical.decode(file.read_bytes(), max_bytes=MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, InvalidBundle) as error:
        raise BundleError(f"{file} cannot be read", cause=str(error), fix="Build again") from error


def write_statement(digest: str, said: Any) -> bytes:
    """The bytes to sign: `said` (a predicate) of the bundle `digest`."""
    return about.write_statement(digest, PREDICATE_TYPE, said)


def read_provenance(envelope: bytes, keys: Iterable[PublicKey], digest: str) -> Provenance:
    """What a key of `keys` said of the bundle `digest`; raises InvalidBundle for another key, changed bytes,
    and a statement of another kind or bundle."""
    key, payload = open_envelope(envelope, keys)
    said = about.read_statement(payload, digest, PREDICATE_TYPE, _PLACE)
    build = said.object("buildDefinition")
    build.constant("buildType", BUILD_TYPE)
    found = {part.text("name"): part.object("digest") for part in build.objects("resolvedDependencies")}
    builder = said.object("runDetails").object("builder")
    builder.constant("id", BUILDER)
    source = found.pop("source", None)
    return Provenance(
        key=key,
        commit=source.text("gitCommit", 64) if source else "",
        mlship=builder.object("version").text("mlship", 100),
        materials={name: part.text("sha256", 64) for name, part in found.items()},
    )
