"""Looks through all of a bundle for pickles and secrets: code, wheels, weights, examples, documents.

A tripwire, not a proof: what is found is not let in, what is not found may still be bad.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mlship.bundle.audit.secrets import find_in_chunks
from mlship.bundle.fault import damage_placed
from mlship.bundle.models.pickles import find_pickles
from mlship.bundle.open import OpenBundle
from mlship.errors import BundleError
from mlship.progress import SILENT, Progress
from mlship_runtime.bundle.extract import hashed_chunks
from mlship_runtime.bundle.manifest import SPEC_PATH

WHOLE = 64 << 20  # bytes of a file that is looked at as a whole for pickles; of larger ones, the beginning
_NAMED = 5  # findings in a message
_MOST = 100  # findings that are kept


@dataclass(frozen=True, order=True)
class Finding:
    """Something in a file (at a line, or 0) that should not be in a bundle; `what` goes on after its name."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.what}" if self.line else f"{self.path} {self.what}"


@dataclass(frozen=True)
class Scanned:
    """What was read: files and their bytes; `findings` are those that no one has said to be fine."""

    files: int
    bytes: int
    findings: tuple[Finding, ...]


def scan_bundle(bundle: OpenBundle, excepted: Sequence[str] = (), progress: Progress = SILENT) -> Scanned:
    """Read every file of every layer that is there, held against its digest meanwhile. `excepted` are
    patterns of paths (`*/joblib/test/*`) whose findings do not count; neither do secrets that the bundle's
    build was told to be none. Raises BundleError for damage."""
    manifest, spec = bundle.manifest, bundle.manifest.spec_layer
    progress.phase(f"scanning {bundle.reference}", sum(layer.size for layer in manifest.layers), unit="bytes")
    scan = _Scan(_known(bundle), excepted)
    for layer in manifest.layers:
        if layer.is_tar and layer.digest not in bundle.absent:
            with damage_placed(bundle.registry.url, layer):
                for entry, reader in bundle.files(layer):
                    scan.look(entry.path, entry.size, hashed_chunks(entry, reader))
        progress.advance(layer.size)
    scan.look(SPEC_PATH, spec.size, bundle.blob(spec.digest))
    return Scanned(scan.files, scan.bytes, tuple(scan.findings))


def refuse_findings(bundle: OpenBundle, scanned: Scanned) -> None:
    """Raise BundleError that names what was found, if anything was."""
    found = scanned.findings
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise BundleError(
            f"{bundle.reference} does not pass the scan: {'; '.join(map(str, found[:_NAMED]))}{more}",
            cause="a pickle runs anything where it is read, and whoever has the bundle reads its secrets",
            fix="Build it without them; where they do no harm, name the files: scan_except of the target",
        )


class _Scan:
    """Collects what is found; `known` and `excepted` places do not count."""

    def __init__(self, known: frozenset[str], excepted: Sequence[str]) -> None:
        self.known, self.excepted = known, excepted
        self.files, self.bytes, self.findings = 0, 0, list[Finding]()

    def look(self, path: str, size: int, chunks: Iterable[bytes]) -> None:
        self.files, self.bytes = self.files + 1, self.bytes + size
        excepted = path in self.known or any(fnmatchcase(path, pattern) for pattern in self.excepted)
        for finding in _look(path, size, chunks):
            fine = excepted or f"{path}:{finding.line}" in self.known
            if not fine and len(self.findings) < _MOST:
                self.findings.append(finding)


def _look(path: str, size: int, chunks: Iterable[bytes]) -> Iterator[Finding]:
    kept = bytearray()

    def passing() -> Iterator[bytes]:
        for chunk in chunks:
            if size <= WHOLE or not kept:
                kept.extend(chunk)
            yield chunk

    for form, line in find_in_chunks(passing()):
        yield Finding(path, line, f"looks like it has {form}")
    for what in find_pickles(path, bytes(kept), cut=size > len(kept)):
        yield Finding(path, 0, what)


def _known(bundle: OpenBundle) -> frozenset[str]:
    """The places that the build was told to be no secrets, as paths of the bundle."""
    said = bundle.spec.document.get("notSecret", [])
    places = [place for place in said if isinstance(place, str)] if isinstance(said, list) else []
    return frozenset(places) | {f"reduction/{place}" for place in places}
