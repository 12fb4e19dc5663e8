"""`mlship verify`: every byte of a bundle against its digests, every file against its index; nothing runs."""

from __future__ import annotations

from mlship.ops.context import Context
from mlship.result import Result


class Checked(Result, frozen=True, kw_only=True):
    """What was read and found whole; `bytes` of its blobs. `absent` are the layers that a bundle
    which was imported or pulled for some platforms came without."""

    reference: str
    digest: str
    files: int
    bytes: int
    absent: tuple[str, ...]


def verify(ctx: Context, ref: str | None = None) -> Checked:
    """Read all of a bundle (None = the last build). Raises BundleError for the first thing wrong."""
    from mlship.bundle.open import verify_bundle

    bundle = ctx.open_bundle(ref)
    ctx.progress.phase(f"verifying {bundle.reference}", sum(blob.size for blob in bundle.manifest.blobs))
    verified = verify_bundle(bundle, ctx.progress)
    return Checked(
        reference=str(bundle.reference),
        digest=bundle.digest,
        files=verified.files,
        bytes=verified.bytes,
        absent=verified.absent,
    )
