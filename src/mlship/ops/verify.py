"""`mlship verify`: every byte of a bundle against its digests, every file against its index; nothing runs."""

from __future__ import annotations

from collections.abc import Sequence

from mlship.ops.context import Context
from mlship.ops.signatures import check_signed
from mlship.result import Result


class Checked(Result, frozen=True, kw_only=True):
    """What was read and found whole; `bytes` of its blobs. `absent` are the layers that a bundle which was
    imported or pulled for some platforms came without. `signed_by` is the id of the key whose signature
    holds, None if none was checked; `scanned` says whether pickles and secrets were looked for (and
    not found)."""

    reference: str
    digest: str
    files: int
    bytes: int
    absent: tuple[str, ...]
    signed_by: str | None = None
    scanned: bool = False


def verify(ctx: Context, ref: str | None = None, keys: Sequence[str] = (), *, scan: bool = False) -> Checked:
    """Read all of a bundle (None = the last build); with `keys`, one of them must have signed it; with
    `scan`, there must be no pickle in it and nothing that looks like a secret.

    Raises BundleError for the first thing wrong, and for all that a scan finds.
    """
    from mlship.bundle.audit.scan import refuse_findings, scan_bundle
    from mlship.bundle.open import verify_bundle

    bundle = ctx.open_bundle(ref)
    signed_by = check_signed(ctx, bundle, keys) if keys else None
    ctx.progress.phase(
        f"verifying {bundle.reference}", sum(blob.size for blob in bundle.manifest.blobs), unit="bytes"
    )
    verified = verify_bundle(bundle, ctx.progress)
    if scan:
        refuse_findings(bundle, scan_bundle(bundle, progress=ctx.progress))
    return Checked(
        reference=str(bundle.reference),
        digest=bundle.digest,
        files=verified.files,
        bytes=verified.bytes,
        signed_by=signed_by,
        absent=verified.absent,
        scanned=scan,
    )
