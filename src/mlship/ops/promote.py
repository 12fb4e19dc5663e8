"""`mlship promote`: a tag that means something moves to a bundle only after that has been looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.gates import GATES, Gate, Passed, Rules, check_gates
from mlship.reference import Reference, check_tag
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.registry.protocol import Registry
    from mlship.trust.private import PrivateKey


class Promoted(Result, frozen=True, kw_only=True):
    """`before` is the digest that the tag named until now, `gates` what was found of the one it names now;
    `remembered` says whether the registry keeps who moved the tag, when and from where."""

    reference: str
    digest: str
    before: str | None
    registry: str
    gates: tuple[Passed, ...]
    remembered: bool = True


@dataclass(frozen=True)
class _Rules:
    require: tuple[str, ...]
    signed_by: tuple[str, ...]
    scan_except: tuple[str, ...]


def promote(
    ctx: Context,
    ref: str,
    tag: str,
    *,
    require: Sequence[str] = (),
    signed_by: Sequence[str] = (),
    scan_except: Sequence[str] = (),
    key_file: Path | None = None,
    passphrase_file: Path | None = None,
) -> Promoted:
    """Let `tag` name what `ref` stands for, in its registry, if that passes the gates `require`.

    `signed_by` are names of keys in [trust]. The key in `key_file` signs what the gate quality found. Raises
    UsageError for an unknown gate or key, PolicyError or BundleError if a gate does not let the bundle
    through (the tag stays), TagMovedError if somebody moves the tag meanwhile.
    """
    from mlship.bundle.open import open_bundle
    from mlship.ops.crossing import passage_of
    from mlship.registry.protocol import KeepsMoves
    from mlship.registry.transfer import move_tag

    rules = _Rules(_known(require, ("signature", *GATES), "gate"), _keys(ctx, signed_by), tuple(scan_except))
    key = _key(require, key_file, passphrase_file)
    registry, reference = ctx.locate(ref)
    before = registry.read_tag(reference.name, check_tag(tag))
    bundle = open_bundle(registry, reference)
    passage_of(ctx, "promote", bundle, lambda places: places.registry(registry)).check()
    passed = check_gates(ctx, rules, bundle, {"quality": _measuring(registry, key)}).passed
    move_tag(registry, reference.name, tag, bundle.digest, before, str(reference))
    return Promoted(
        reference=str(Reference(reference.name, tag=tag)),
        digest=bundle.digest,
        before=before.digest if before else None,
        registry=registry.url,
        gates=passed,
        remembered=isinstance(registry, KeepsMoves),
    )


def _key(require: Sequence[str], file: Path | None, passphrase_file: Path | None) -> PrivateKey | None:
    """The key that signs, if one is given; asked for before anything is done."""
    if file is None:
        return None
    if "quality" not in require:
        raise UsageError("--key signs what the gate quality found", fix="Add --require quality")
    from mlship.trust.passphrase import read_passphrase
    from mlship.trust.private import load_key

    return load_key(file, read_passphrase(passphrase_file))


def _measuring(registry: Registry, key: PrivateKey | None) -> Gate:
    """Where the rows are, they are asked; a target takes an attestation only."""

    def gate(ctx: Context, rules: Rules, bundle: OpenBundle) -> str:
        from mlship.ops.quality import measured_quality

        return measured_quality(ctx, rules.signed_by, bundle, registry, key)

    return gate


def _keys(ctx: Context, names: Sequence[str]) -> tuple[str, ...]:
    return _known(names, tuple(ctx.project.trust.keys if ctx.project else ()), "key in [trust]")


def _known(words: Sequence[str], known: Sequence[str], what: str) -> tuple[str, ...]:
    for word in words:
        if word not in known:
            fix = f"There are {', '.join(sorted(known))}" if known else "mlship.toml names none"
            raise UsageError(f"there is no {what} {word!r}", fix=fix)
    return tuple(words)
