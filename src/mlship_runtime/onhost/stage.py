"""Brings a release onto the host: what was sent is hashed, unpacked, verified and compiled, then recorded.

Nothing shows under its final name before all of it is right; repeating the command goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlship_runtime.bundle.agreement import check_agreement
from mlship_runtime.bundle.extract import PART, extract_layer
from mlship_runtime.bundle.manifest import Descriptor, read_manifest
from mlship_runtime.bundle.spec import Spec, read_spec
from mlship_runtime.bundle.verify import verify_layer
from mlship_runtime.errors import InvalidBundle, SiteError
from mlship_runtime.files import (
    as_site_errors,
    locked,
    make_folder,
    read_json,
    remove,
    sync_folder,
    write_json,
)
from mlship_runtime.onhost.sweep import sweep_unfinished
from mlship_runtime.supervision import fence
from mlship_runtime.supervision.layout import Layout, Site, hex_of
from mlship_runtime.supervision.release_record import read_record
from mlship_runtime.supervision.spawn import clean_environment, python_command
from mlship_runtime.trust.demand import signer_on_demand

_CODE_ROLES = ("runtime", "reduction")
_LOCK_WAIT = 600.0  # seconds: another service may be staging
_SPARE = 16 << 20  # bytes that stay free: records, logs, byte code
_FROM_REQUEST = ("digest", "reference", "settings", "settingsDigest", "platform")


def do_stage(layout: Layout, request: dict[str, Any]) -> dict[str, Any]:
    """Stage release number `release` from what lies in incoming and what is here already."""
    site, number = layout.site, int(request["release"])
    with as_site_errors(f"release {number} cannot be staged"):
        for folder in (site.blobs, site.layers, site.pycache, layout.releases, layout.logs):
            make_folder(folder)
        with locked(site.lock, str(site.base), _LOCK_WAIT):
            fence.admit(layout, request.get("fence"))
            sweep_unfinished(site)
            staged = _stage(layout, number, request)
            remove(layout.incoming)  # other bundles' layers too: a deploy that was killed had sent them
            return staged


def _stage(layout: Layout, number: int, request: dict[str, Any]) -> dict[str, Any]:
    site, digest, platform = layout.site, request["digest"], request["platform"]
    _check_free_number(layout, number, request)
    data = _document(layout, digest)
    manifest = read_manifest(data)
    spec = read_spec(_document(layout, manifest.spec_layer.digest))
    check_agreement(manifest, spec)
    if platform not in manifest.platforms:
        raise InvalidBundle(
            f"the bundle has no runtime for {platform}", cause=f"only {', '.join(manifest.platforms)}"
        )
    signed_by = _signed_by(layout, request, data, spec)
    layers = [layer for layer in manifest.layers_for(platform) if layer.is_tar]
    _check_room(site, [layer for layer in layers if not site.layer(layer.digest).exists()])
    python = str(request["settings"].get("python") or sys.executable)
    if shutil.which(python) is None:
        raise SiteError(f"there is no Python {python}", fix="Install it, or set `python` of the target")
    unpacked = [layer.digest for layer in layers if _unpack(layout, layer, spec, python)]
    record = {
        "schemaVersion": 1,
        "number": number,
        "service": layout.name,
        **{name: request[name] for name in _FROM_REQUEST},
        "environment": _environment(layout, request),
        "signedBy": signed_by,
        "manifest": str(site.blob(digest)),
        "spec": str(site.blob(manifest.spec_layer.digest)),
        "layers": {layer.digest: str(site.layer(layer.digest)) for layer in layers},
    }
    write_json(layout.record(number), record)
    return {"release": number, "unpacked": unpacked, "present": len(layers) - len(unpacked)}


def _signed_by(layout: Layout, request: dict[str, Any], manifest: bytes, spec: Spec) -> str | None:
    """The id of the key whose signature the request demands; where it demands none, what was found when an
    earlier release of the same bundle was staged. Raises InvalidBundle if the signature does not hold."""
    if "demand" in request:
        return signer_on_demand(request["demand"], manifest, spec)
    for number in reversed(layout.numbers()):
        record = read_record(layout.record(number))
        if record["digest"] == request["digest"]:
            return record.get("signedBy")
    return None


def _environment(layout: Layout, request: dict[str, Any]) -> dict[str, str]:
    """The variables of the release with their values, which only releases/N.json has: as sent, or those of an
    earlier release with the same digest of them. Raises SiteError if that is gone."""
    if "environment" in request:
        return dict(request["environment"])
    settings = request["settings"]
    for number in reversed(layout.numbers()):
        record = read_record(layout.record(number))
        if record["settings"].get("environmentDigest") == settings.get("environmentDigest"):
            return dict(record["environment"])
    names = ", ".join(settings.get("environment", ())) or "the environment"
    raise SiteError(
        f"the values of {names} are not on the host",
        cause="the record of the release that had them is gone, and no ledger keeps values",
        fix=f"Set them in `environment` of the target and deploy {request['reference']}",
    )


def _check_free_number(layout: Layout, number: int, request: dict[str, Any]) -> None:
    before = read_json(layout.record(number))
    if before and any(before[name] != request[name] for name in ("digest", "settingsDigest", "platform")):
        raise SiteError(
            f"release {number} of {layout.name} is another one", fix="Stage it under a new number"
        )


def _document(layout: Layout, digest: str) -> bytes:
    """A manifest or spec by its digest, from the blobs or from what was sent (which becomes a blob)."""
    blob, sent = layout.site.blob(digest), layout.incoming / hex_of(digest)
    for path in (sent, blob):
        with contextlib.suppress(FileNotFoundError):
            data = path.read_bytes()
            if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
                remove(path)
                raise InvalidBundle(f"{path.name} is not what its digest says", fix="Send it again")
            if path != blob:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                path.replace(blob)
            sync_folder(blob.parent)  # also for one who was killed right after this replace
            return data
    raise SiteError(f"{digest[:19]}… is not on the host", fix="Send it first")


def _check_room(site: Site, missing: list[Descriptor]) -> None:
    """The tars are here already; what is needed is the room to unpack them."""
    space = os.statvfs(site.base)
    free, need = space.f_bavail * space.f_frsize, sum(layer.size for layer in missing)
    if missing and free < need + _SPARE:
        raise SiteError(
            f"{site.base} has no room for the release",
            cause=f"{free:,} bytes are free, {need + _SPARE:,} are needed",
            fix="Free space there and try again",
        )


def _unpack(layout: Layout, layer: Descriptor, spec: Spec, python: str) -> bool:
    """Make sure that the layer is unpacked and right; True if that took unpacking it now."""
    site, sent = layout.site, layout.incoming / hex_of(layer.digest)
    root, entries = site.layer(layer.digest), spec.files[layer.digest]
    if root.exists():
        try:
            verify_layer(str(root), entries)
        except InvalidBundle as fault:
            remove(root)  # so that the next deploy sends it again
            raise InvalidBundle(
                f"the unpacked layer {layer.title} was damaged: {fault.what}",
                cause=fault.cause,
                fix="It was removed: deploy again to send it anew",
            ) from fault
        sync_folder(root.parent)  # for one who was killed right after giving it this name
        remove(sent)
        if layer.role in _CODE_ROLES:
            compile_code(site, root, python)
        return False
    try:
        stream = sent.open("rb")
    except FileNotFoundError:
        raise SiteError(f"the layer {layer.title} is not on the host", fix="Send it first") from None
    with stream:
        extract_layer(stream, str(root), entries, layer.digest)
    remove(sent)
    if layer.role in _CODE_ROLES:
        compile_code(site, root, python)
    return True


def compile_code(site: Site, root: Path, python: str) -> None:
    """Write the byte code of the Python files below `root` into the cache beside the layers, with the
    interpreter that will run it: all of it or none, and once. What does not compile is left to fail where it
    is imported. Raises OSError."""
    cache, part = site.cache_of(root), site.pycache / f"{PART}{root.name}"
    if cache.is_dir():
        return
    remove(part)  # of a process that was killed; the caller has the lock
    made = part / root.relative_to("/")
    make_folder(made)
    command = [*python_command(python, part), "-m", "compileall", "-q", str(root)]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            command, env=clean_environment(), cwd="/", check=False, timeout=300, capture_output=True
        )
    for path in made.rglob("*.pyc"):
        with path.open("rb") as file:  # half a file after a power cut would break the import
            os.fsync(file.fileno())
    for folder, _, _ in os.walk(made):
        sync_folder(Path(folder))
    make_folder(cache.parent)
    made.replace(cache)
    sync_folder(cache.parent)
    remove(part)
