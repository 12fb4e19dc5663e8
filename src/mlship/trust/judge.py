"""What the signatures of a bundle are worth to somebody who trusts certain keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mlship.errors import BundleError, PolicyError
from mlship.trust.roots import Roots
from mlship_runtime.bundle.spec import Spec
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.envelope import read_envelope
from mlship_runtime.trust.signature import verify_signature


@dataclass(frozen=True)
class Judged:
    """One signature: the id of its key as it claims it, that key's name if it is known, and what is wrong
    (None: it holds); `envelope` is its file."""

    key_id: str
    name: str
    fault: InvalidBundle | None
    envelope: bytes = field(repr=False)


def judge(signatures: Iterable[bytes], roots: Roots, manifest: bytes, spec: Spec) -> list[Judged]:
    """All signatures, in their order."""
    return [_judge(signature, roots, manifest, spec) for signature in signatures]


def signer(signatures: Iterable[bytes], roots: Roots, manifest: bytes, spec: Spec) -> Judged:
    """The first signature that holds. Whoever can write to a registry can add bad ones, so they do no harm
    beside a good one. Raises PolicyError if there is none at all, BundleError if none of them holds."""
    faults = []
    for signature in signatures:
        judged = _judge(signature, roots, manifest, spec)
        if judged.fault is None:
            return judged
        faults.append(judged.fault)
    if not faults:
        raise PolicyError(
            f"{spec.name}:{spec.version} is not signed",
            cause="a signature by a trusted key is required",
            fix="Sign it: mlship sign REF --key FILE",
        )
    raise BundleError(faults[0].what, cause=faults[0].cause, fix=faults[0].fix) from faults[0]


def _judge(signature: bytes, roots: Roots, manifest: bytes, spec: Spec) -> Judged:
    key_id = ""
    try:
        key_id = read_envelope(signature).key_id
        if key_id in roots.revoked:
            raise _revoked(key_id)
        key = verify_signature(signature, roots.keys.values(), manifest, spec).key
        if key.id in roots.revoked:
            raise _revoked(key.id)
    except InvalidBundle as fault:
        return Judged(key_id, roots.name_of(key_id), fault, signature)
    return Judged(key.id, roots.name_of(key.id), None, signature)


def _revoked(key_id: str) -> InvalidBundle:
    return InvalidBundle(
        "the bundle is signed with a key that was revoked", cause=key_id[:16], fix="Sign it with another one"
    )
