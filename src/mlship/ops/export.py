"""`mlship export`: a bundle as one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlship.ops.context import Context
from mlship.result import Result


class Exported(Result, frozen=True, kw_only=True):
    """What was written: `size` of the file in bytes, the platforms whose layers it has, and the titles of
    layers that were left out."""

    reference: str
    digest: str
    file: str
    size: int
    platforms: tuple[str, ...]
    left_out: tuple[str, ...]


def export(ctx: Context, ref: str, file: Path, *, platforms: Sequence[str] = ()) -> Exported:
    """Write what `ref` stands for to `file`, with the runtime of `platforms` (none: of all).

    Raises UsageError, RegistryError or BundleError; then `file` is as it was.
    """
    from mlship.bundle.export import export_file

    bundle = ctx.open_bundle(ref)
    written = export_file(bundle, file, platforms, ctx.progress)
    return Exported(
        reference=str(bundle.reference),
        digest=bundle.digest,
        file=str(file),
        size=written.size,
        platforms=written.platforms,
        left_out=written.left_out,
    )
