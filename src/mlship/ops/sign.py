"""`mlship sign`: say with a private key that a bundle is what one means; its digest stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlship.ops.context import Context
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.registry.protocol import Registry
    from mlship.trust.private import PrivateKey


class SignedBundle(Result, frozen=True, kw_only=True):
    """A signature that is now in `registry` (or was already); `key` is the id of the key. `provenance` is the
    digest of the signed provenance, None if the bundle was not built here."""

    reference: str
    digest: str
    registry: str
    key: str
    signature: str
    provenance: str | None


def sign(ctx: Context, ref: str | None, key_file: Path, passphrase_file: Path | None = None) -> SignedBundle:
    """Read all of a bundle (None = the last build), sign it and keep the signature where the bundle is; if
    this project has built it, with what it was built from.

    Raises BundleError for a damaged bundle, UsageError for the key.
    """
    from mlship.bundle.open import open_bundle, verify_bundle
    from mlship.trust.passphrase import read_passphrase
    from mlship.trust.private import load_key
    from mlship_runtime.trust.envelope import MEDIA_TYPE

    key = load_key(key_file, read_passphrase(passphrase_file))
    registry, reference = ctx.locate(ref)
    bundle = open_bundle(registry, reference)
    ctx.progress.phase(
        f"verifying {reference}", sum(blob.size for blob in bundle.manifest.blobs), unit="bytes"
    )
    verify_bundle(bundle, ctx.progress)
    signature = key.sign(bundle.manifest_bytes, bundle.spec)
    kept = registry.attach(reference.name, bundle.digest, MEDIA_TYPE, signature)
    return SignedBundle(
        reference=str(reference),
        digest=bundle.digest,
        registry=registry.url,
        key=key.public.id,
        signature=kept.digest,
        provenance=_attach_provenance(ctx, registry, bundle, key),
    )


def _attach_provenance(ctx: Context, registry: Registry, bundle: OpenBundle, key: PrivateKey) -> str | None:
    from mlship.trust.provenance import ATTACHED_AS, read_record, write_statement

    said = read_record(ctx.project.state, bundle.digest) if ctx.project else None
    if said is None:
        return None
    statement = key.sign_statement(write_statement(bundle.digest, said))
    return registry.attach(bundle.reference.name, bundle.digest, ATTACHED_AS, statement).digest
