"""What is required of a bundle before a target or a tag takes it: signature, parity, scan, quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

from mlship.ops.context import Context
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.registry.protocol import Registry
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


Gate = Callable[[Context, Rules, "OpenBundle"], str]


class Passed(Result, frozen=True, kw_only=True):
    """A gate that let a bundle through, and what it found."""

    gate: str
    found: str


@dataclass(frozen=True)
class LetIn:
    """What the gates found, and the signature that the target is to check again, if it requires one."""

    passed: tuple[Passed, ...]
    demand: Demand | None


def check_gates(
    ctx: Context, rules: Rules, bundle: OpenBundle, instead: Mapping[str, Gate] = MappingProxyType({})
) -> LetIn:
    """All that `rules` require, the quickest first; a gate of `instead` is asked for the one of its name.

    Raises PolicyError for a bundle without a signature or that is not good enough, BundleError for one that
    another gate does not let through."""
    demand = None
    found: list[Passed] = []
    if "signature" in rules.require:
        from mlship.ops.signatures import require_signature

        key, demand = require_signature(ctx, rules.signed_by, bundle)
        found.append(Passed(gate="signature", found=f"by the key {key}"))
    for name, gate in {**GATES, **instead}.items():
        if name in rules.require:
            found.append(Passed(gate=name, found=gate(ctx, rules, bundle)))
    return LetIn(tuple(found), demand)


def _parity(_: Context, __: Rules, bundle: OpenBundle) -> str:
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


def _quality(ctx: Context, rules: Rules, bundle: OpenBundle) -> str:
    """What is attested: the rows stay where they are, and no target's rollout waits for a measurement."""
    from mlship.ops.attested import attested_quality

    return attested_quality(ctx, rules.signed_by, bundle, cast("Registry", bundle.registry))


# Each says what it found, or raises. In the order in which they are asked.
GATES: Mapping[str, Gate] = {"parity": _parity, "scan": _scan, "quality": _quality}
