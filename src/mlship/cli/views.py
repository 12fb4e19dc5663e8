"""How results about bundles and registries look, where their fields alone say too little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.cli.blocks import Block, Facts, Line, Table

if TYPE_CHECKING:
    from mlship.ops.build import BuildReport
    from mlship.ops.copy import Copied
    from mlship.ops.init import Started
    from mlship.ops.init_pipeline import PipelineMade
    from mlship.ops.inspect import Inspected, Seen, Tensor
    from mlship.ops.key import KeyMade, KeyShown
    from mlship.ops.list import Listing
    from mlship.ops.lock import LockReport
    from mlship.ops.login import LoggedIn, LoggedOut
    from mlship.ops.sign import SignedBundle
    from mlship.ops.signatures import Signature
    from mlship.ops.tag import Tagged
    from mlship.ops.verify import Checked

LARGEST = 8  # parts that are listed
SHORT = 19  # sha256: and twelve digits, enough to tell bundles apart
_SHOWN_CLASSES = 12


def size(count: int) -> str:
    """Bytes as a person reads them."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def short(digest: str) -> str:
    """So much of a digest that two bundles can be told apart."""
    return digest[:SHORT]


def brief(reference: str) -> str:
    """A reference with its digest, if it has one, shortened."""
    name, at, digest = reference.partition("@")
    return f"{name}@{short(digest)}" if at else reference


def started(result: Started) -> Iterator[Block]:
    yield Line(f"made in {result.folder}: {', '.join(result.files)}")
    seen = result.seen
    if seen is not None:
        answers = f"classes {', '.join(seen.classes)}" if seen.classes else "numbers"
        yield Line(f"{seen.model} ({seen.made_with}, Python {seen.python}) answers with {answers}")
        yield Line(
            f"{seen.rows} rows"
            + (f"; left out, the model does not read it: {', '.join(seen.left_out)}" if seen.left_out else "")
        )
    yield Line("next:")
    yield from (Line(f"  {step}") for step in result.next)


def pipeline(result: PipelineMade) -> Iterator[Block]:
    if result.files:
        yield Line(f"made in {result.folder}: {', '.join(result.files)}")
    if result.same:
        yield Line(f"as it must be: {', '.join(result.same)}")
    yield from (Line(f"! {note}") for note in result.notes)
    if result.settings:
        rows = [(setting.kind, setting.name, setting.meaning) for setting in result.settings]
        yield Table("to set there", ("kind", "name", "what"), rows)
    yield Line("next:")
    yield from (Line(f"  {step}") for step in result.next)


def locked(result: LockReport) -> Iterator[Block]:
    done = f"written: {', '.join(result.changed)}" if result.changed else "is as it must be"
    yield Line(f"{result.file} {done}")


def built(result: BuildReport) -> Iterator[Block]:
    yield Line(f"{result.reference} is {result.digest}")
    yield Facts(
        [
            ("size", f"{size(result.size)} in {result.layers} layers, {size(result.written)} of them new"),
            ("runs on", ", ".join(result.platforms)),
            ("proved", _proved(result)),
            *([("made from", result.registered)] if result.registered else []),
            (
                "mlship.lock",
                f"written: {', '.join(result.lock_changed)}" if result.lock_changed else "unchanged",
            ),
        ]
    )


def _proved(result: BuildReport) -> str:
    parity = f"decisions equal on {result.parity_rows} rows, numbers within {result.parity_max_abs:.2g}"
    return (f"{parity}; " if result.parity_rows else "") + f"{result.golden_rows} golden rows"


def copied(result: Copied) -> Iterator[Block]:
    yield Line(f"{result.reference} is in {result.destination}")
    yield Facts(
        [
            ("digest", result.digest),
            ("sent", f"{size(result.sent_bytes)} in {result.sent_blobs} blobs"),
            ("there already", f"{size(result.present_bytes)} in {result.present_blobs} blobs"),
            *(
                [("attached", f"{result.sent_attachments} sent (signatures, provenance)")]
                if result.sent_attachments
                else []
            ),
            *([("absent", ", ".join(result.absent))] if result.absent else []),
        ]
    )


def tagged(result: Tagged) -> Iterator[Block]:
    before = "" if result.before in (None, result.digest) else f" (it was {short(str(result.before))})"
    yield Line(f"{result.reference} is {result.digest}{before}")


def logged_in(result: LoggedIn) -> Iterator[Block]:
    yield Line(f"logged in to {result.host} as {result.username}; the password is kept in {result.kept_in}")


def logged_out(result: LoggedOut) -> Iterator[Block]:
    done = "its credentials are forgotten" if result.forgotten else "no credentials were kept"
    yield Line(f"{result.host}: {done}")


def checked(result: Checked) -> Iterator[Block]:
    what = f"right, without {', '.join(result.absent)}" if result.absent else "whole"
    yield Line(f"{result.reference} is {what}: {result.files} files, {size(result.bytes)}, {result.digest}")
    if result.signed_by is None:
        yield Line("no signature was checked; --key does that")
    else:
        yield Line(f"signed with the key {result.signed_by}")
    if result.scanned:
        yield Line("no pickle in it, and nothing that looks like a secret")


def signed(result: SignedBundle) -> Iterator[Block]:
    yield Line(f"{result.reference} is signed")
    with_it = "signed, too" if result.provenance else "none: the bundle was not built in this project"
    yield Facts(
        [
            ("digest", result.digest),
            ("key", result.key),
            ("kept in", result.registry),
            ("provenance", with_it),
        ]
    )


def key_made(result: KeyMade) -> Iterator[Block]:
    yield Facts(
        [
            (
                "private",
                f"{result.private} ({'encrypted' if result.encrypted else 'not encrypted'}; keep it)",
            ),
            ("public", f"{result.public} (give it away)"),
            ("id", result.id),
        ]
    )


def key_shown(result: KeyShown) -> Iterator[Block]:
    trusted = f"as {result.name}" if result.name else "no"
    yield Facts([("id", result.id), ("trusted here", "revoked" if result.revoked else trusted)])
    yield from (Line(line) for line in result.pem.splitlines())


def listing(result: Listing) -> Iterator[Block]:
    if not result.bundles:
        yield Line("no bundles here; mlship build makes one, mlship push publishes it")
        return
    rows = [
        (entry.name, ", ".join(entry.tags) or "-", short(entry.digest), entry.registry)
        for entry in result.bundles
    ]
    yield Table("", ("name", "tags", "digest", "registry"), rows)


def inspected(result: Inspected) -> Iterator[Block]:
    yield Facts(list(_summary(result)))
    yield Table(
        "layers",
        ("role", "title", "size", "files", "digest"),
        [(x.role, x.title, size(x.size), str(x.files or ""), short(x.digest)) for x in result.layers],
        frozenset({2, 3}),
    )
    yield Table(
        "what takes the room",
        ("part", "platform", "size", "share"),
        [(x.part, x.platform or "all", size(x.size), f"{x.share:.1%}") for x in result.room[:LARGEST]],
        frozenset({2, 3}),
    )
    if result.files:
        yield Table(
            "files",
            ("size", "sha256", "path"),
            [(str(x.size), x.sha256, x.path) for x in result.files],
            frozenset({0}),
        )
    yield _tensors("inputs", result.inputs)
    if result.reduction:
        yield _tensors(f"reduced by {result.reduction}{_sessions(result)}", result.reduced)
    yield _tensors("outputs", result.outputs)
    if result.globals:
        yield Table("what the model names", ("class or function",), [(name,) for name in result.globals])
    yield Table(
        "packages",
        ("platform", "name", "version", "sha256"),
        [(x.platform, x.name, x.version, x.sha256[:12]) for x in result.requirements],
    )


def _sessions(result: Inspected) -> str:
    if result.fused:
        return ", in one session with the model"
    return f", in a session of its own: {result.apart}" if result.apart else ""


def _summary(result: Inspected) -> Iterator[tuple[str, str]]:
    yield "bundle", result.reference
    yield "digest", result.digest
    yield "registry", result.registry
    for title, labels in (("labels", result.labels), ("its rows", result.row_labels)):
        if labels:
            yield title, ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    made = ", ".join(f"{name} {version}" for name, version in sorted(result.converter.items()))
    form = "" if result.engine == "onnx" else f", a {result.model} file, which runs what it names"
    yield "model", f"{result.engine}, from {result.framework}" + (f" by {made}" if made else "") + form
    if result.registered:
        yield "made from", result.registered
    yield "runs on", f"Python {result.python}, {', '.join(result.platforms)}"
    yield "size", size(result.size)
    if result.absent:
        yield "absent", ", ".join(result.absent)
    if result.card:
        yield "card", ", ".join(Path(file).name for file in result.card) + "; mlship export writes them"
    limits = "; ".join(
        f"{name} {x['abs']:g} + {x['rel']:g} of it" for name, x in sorted(result.tolerance.items())
    )
    yield "golden", f"{result.golden_rows} rows" + (f", within {limits}" if limits else ", equal")
    for signature in result.signatures:
        yield "signature", _signature(signature)
    for origin in result.origins:
        source = f"commit {origin.commit[:12]}" if origin.commit else "files that no commit has"
        yield "built from", f"{source}, by mlship {origin.mlship}; {origin.name} says so"
    for one in result.quality:
        against = f", {one.compared_value:.6g} before" if one.compared_value is not None else ""
        yield "quality", f"{one.metric} {one.value:.6g} on {one.rows} rows{against}; {one.name} says so"
    equal = "decisions equal" if result.parity.decisions_equal else "decisions differ"
    yield "parity", f"{equal} on {result.parity.rows} rows, numbers within {result.parity.max_abs:.2g}"


def _signature(signature: Signature) -> str:
    key = f"{signature.key[:16] or 'a key not named'}" + (f" ({signature.name})" if signature.name else "")
    return f"{key} holds" if signature.holds else f"{key}, which counts for nothing here: {signature.fault}"


def _tensors(title: str, tensors: Sequence[Tensor]) -> Table:
    head: tuple[str, ...] = ("name", "type", "shape", "missing values")
    rows: list[tuple[str, ...]] = [
        (x.name, x.datatype, _shape(x.shape), "allowed" if x.nullable else "no") for x in tensors
    ]
    if any(x.classes for x in tensors):
        head = (*head, "classes")
        rows = [(*row, _few(x.classes)) for row, x in zip(rows, tensors, strict=True)]
    if any(x.seen for x in tensors):
        head = (*head, "seen in the examples")
        rows = [(*row, _seen(x.seen)) for row, x in zip(rows, tensors, strict=True)]
    return Table(title, head, rows)


def _seen(seen: Seen | None) -> str:
    if seen is None:
        return ""
    if seen.values:
        return _few([repr(value) if value == "" else str(value) for value in seen.values])
    return f"{seen.min:.6g} to {seen.max:.6g}"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_CLASSES} more" if len(names) > _SHOWN_CLASSES else ""
    return ", ".join(names[:_SHOWN_CLASSES]) + more


def _shape(shape: Sequence[int]) -> str:
    return " x ".join("rows" if at == 0 and count == -1 else str(count) for at, count in enumerate(shape))
