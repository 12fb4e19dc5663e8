"""The signatures of a bundle, held against the keys that are trusted here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import BundleError, PolicyError
from mlship.ops.context import Context
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.trust.demand import Demand
    from mlship.trust.judge import Judged
    from mlship.trust.roots import Roots


class Signature(Result, frozen=True, kw_only=True):
    """A signature beside a bundle. `key` is the id of the key as it claims it, `name` what [trust] calls that
    key (empty: it is not trusted here), `holds` whether it was found right, `fault` what is wrong."""

    key: str
    name: str
    holds: bool
    fault: str


def signatures_of(ctx: Context, bundle: OpenBundle) -> tuple[Signature, ...]:
    """All of them, judged by [trust]."""
    from mlship.trust.judge import judge
    from mlship.trust.roots import load_roots
    from mlship_runtime.trust.envelope import MEDIA_TYPE

    judged = judge(bundle.attached(MEDIA_TYPE), load_roots(ctx.project), bundle.manifest_bytes, bundle.spec)
    return tuple(
        Signature(key=x.key_id, name=x.name, holds=x.fault is None, fault=str(x.fault or "")) for x in judged
    )


class Origin(Result, frozen=True, kw_only=True):
    """What a trusted key said a bundle was built from: `commit` is empty if it was no clean one, `materials`
    are sha256 by file."""

    name: str
    commit: str
    mlship: str
    materials: dict[str, str]


def origins_of(ctx: Context, bundle: OpenBundle) -> tuple[Origin, ...]:
    """The provenance that is signed by keys of [trust]; what others say is left out."""
    from mlship.trust.provenance import ATTACHED_AS, read_provenance
    from mlship.trust.roots import load_roots
    from mlship_runtime.errors import InvalidBundle

    roots = load_roots(ctx.project)
    found = []
    for envelope in bundle.attached(ATTACHED_AS):
        with suppress(InvalidBundle):
            said = read_provenance(envelope, roots.trusted, bundle.digest)
            found.append(
                Origin(
                    name=roots.name_of(said.key.id),
                    commit=said.commit,
                    mlship=said.mlship,
                    materials=said.materials,
                )
            )
    return tuple(found)


def check_signed(ctx: Context, bundle: OpenBundle, keys: Sequence[str]) -> str:
    """The id of the key of `keys` (names in [trust], or files) that signed the bundle. Raises BundleError."""
    from mlship.trust.roots import Roots, load_public_key, load_roots

    roots = load_roots(ctx.project)
    given = {key: roots.keys.get(key) or load_public_key(Path(key)) for key in keys}
    try:
        return _signer(bundle, Roots(given, roots.revoked)).key_id
    except PolicyError as error:
        raise BundleError(error.what, fix=error.fix) from error


def require_signature(ctx: Context, signed_by: Sequence[str], bundle: OpenBundle) -> tuple[str, Demand]:
    """The id of the key that signed the bundle (one of `signed_by`, if that names any), and what a target
    needs to find the same. Raises PolicyError if it is not signed, BundleError if it is signed badly or by
    others."""
    from mlship.trust.demand import Demand
    from mlship.trust.roots import load_roots

    roots = load_roots(ctx.project)
    if signed_by:
        roots = roots.only(signed_by)
    found = _signer(bundle, roots)
    return found.key_id, Demand(roots.trusted, found.envelope)


def _signer(bundle: OpenBundle, roots: Roots) -> Judged:
    from mlship.trust.judge import signer
    from mlship_runtime.trust.envelope import MEDIA_TYPE

    return signer(bundle.attached(MEDIA_TYPE), roots, bundle.manifest_bytes, bundle.spec)
