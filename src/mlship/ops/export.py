"""`mlship export`: a bundle as one file, or its parts in the forms of other tools."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.result import Result

BUNDLE = "bundle"
# Format -> function of a module in mlship.bundle.
FORMATS = {
    BUNDLE: "export:export_file",
    "onnx": "formats:export_onnx",
    "mlflow": "formats:export_mlflow",
    "wheelhouse": "formats:export_wheelhouse",
    "sbom": "formats:export_sbom",
    "card": "formats:export_card",
}


class Exported(Result, frozen=True, kw_only=True):
    """What was written: `size` of the file or folder in bytes, the platforms that it is for, the titles of
    layers that were left out, and how many attachments (signatures, provenance) went along."""

    reference: str
    digest: str
    file: str
    format: str
    size: int
    platforms: tuple[str, ...]
    left_out: tuple[str, ...]
    attachments: int = 0


def export(
    ctx: Context, ref: str, file: Path, *, platforms: Sequence[str] = (), form: str = BUNDLE
) -> Exported:
    """Write what `ref` stands for to `file` (a folder, for some forms), with the runtime of `platforms`
    (none: of all). Raises UsageError, RegistryError or BundleError, and PolicyError where it may not leave;
    then `file` is as it was.
    """
    from mlship.ops.crossing import passage_of

    if form not in FORMATS:
        raise UsageError(f"there is no format {form!r}", fix=f"Formats are {', '.join(FORMATS)}")
    module, _, name = FORMATS[form].partition(":")
    write = getattr(importlib.import_module(f"mlship.bundle.exchange.{module}"), name)
    bundle = ctx.open_bundle(ref)
    with passage_of(ctx, "export", bundle, lambda places: places.file(file)).open():
        written = write(bundle, file, platforms, ctx.progress)
    return Exported(
        reference=str(bundle.reference),
        digest=bundle.digest,
        file=str(file),
        format=form,
        size=written.size,
        platforms=written.platforms,
        left_out=written.left_out,
        attachments=written.attachments,
    )
