"""What a target requires of a bundle before anything of it is changed: signature, parity, scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlship.ops.context import Context
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.config import TargetSection


class Passed(Result, frozen=True, kw_only=True):
    """A gate that let a bundle through, and what it found."""

    gate: str
    found: str


def check_gates(ctx: Context, section: TargetSection, bundle: OpenBundle) -> tuple[Passed, ...]:
    """All that `section` requires, the quickest first. Raises PolicyError for a bundle without a signature,
    BundleError for one that another gate does not let through."""
    return tuple(
        Passed(gate=name, found=check(ctx, section, bundle))
        for name, check in _GATES.items()
        if name in section.require
    )


def _signature(ctx: Context, section: TargetSection, bundle: OpenBundle) -> str:
    from mlship.ops.signatures import require_signature

    return f"signed with the key {require_signature(ctx, section, bundle)}"


def _parity(ctx: Context, section: TargetSection, bundle: OpenBundle) -> str:
    from mlship.bundle.evidence import read_evidence

    found = read_evidence(bundle)
    golden = f"{found.golden_rows} golden rows"
    if not found.rows:
        return f"{golden}; the model was not converted"
    return f"{golden}; decides as the original on {found.rows} rows, numbers within {found.max_abs:.2g}"


def _scan(ctx: Context, section: TargetSection, bundle: OpenBundle) -> str:
    from mlship.bundle.scan import refuse_findings, scan_bundle

    scanned = scan_bundle(bundle, section.scan_except, ctx.progress)
    refuse_findings(bundle, scanned)
    return f"{scanned.files} files, {scanned.bytes / 1e6:.1f} MB: no pickle, nothing that looks like a secret"


_GATES: dict[str, Callable[[Context, TargetSection, OpenBundle], str]] = {
    "signature": _signature,
    "parity": _parity,
    "scan": _scan,
}
