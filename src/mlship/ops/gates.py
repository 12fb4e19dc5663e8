"""What is required of a bundle before a target or a tag takes it: signature, parity, scan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mlship.ops.context import Context
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.trust.demand import Demand


class Rules(Protocol):
    """What is required, whose signatures count (empty: those of all trusted keys), and in which files
    findings of the scan do not."""

    @property
    def require(self) -> Sequence[str]: ...
    @property
    def signed_by(self) -> Sequence[str]: ...
    @property
    def scan_except(self) -> Sequence[str]: ...


class Passed(Result, frozen=True, kw_only=True):
    """A gate that let a bundle through, and what it found."""

    gate: str
    found: str


@dataclass(frozen=True)
class LetIn:
    """What the gates found, and the signature that the target is to check again, if it requires one."""

    passed: tuple[Passed, ...]
    demand: Demand | None


def check_gates(ctx: Context, rules: Rules, bundle: OpenBundle) -> LetIn:
    """All that `rules` require, the quickest first. Raises PolicyError for a bundle without a signature,
    BundleError for one that another gate does not let through."""
    demand = None
    found: list[Passed] = []
    if "signature" in rules.require:
        from mlship.ops.signatures import require_signature

        key, demand = require_signature(ctx, rules.signed_by, bundle)
        found.append(Passed(gate="signature", found=f"by the key {key}"))
    found += _others(ctx, rules, bundle)
    return LetIn(tuple(found), demand)


def _others(ctx: Context, rules: Rules, bundle: OpenBundle) -> Iterator[Passed]:
    if "parity" in rules.require:
        yield Passed(gate="parity", found=_parity(bundle))
    if "scan" in rules.require:
        yield Passed(gate="scan", found=_scan(ctx, rules, bundle))


def _parity(bundle: OpenBundle) -> str:
    from mlship.bundle.audit.evidence import read_evidence

    found = read_evidence(bundle)
    golden = f"{found.golden_rows} golden rows"
    if not found.rows:
        return f"{golden}; the model was not converted"
    return f"{golden}; decides as the original on {found.rows} rows, numbers within {found.max_abs:.2g}"


def _scan(ctx: Context, rules: Rules, bundle: OpenBundle) -> str:
    from mlship.bundle.audit.scan import refuse_findings, scan_bundle

    scanned = scan_bundle(bundle, rules.scan_except, ctx.progress)
    refuse_findings(bundle, scanned)
    return f"{scanned.files} files, {scanned.bytes / 1e6:.1f} MB: no pickle, nothing that looks like a secret"
