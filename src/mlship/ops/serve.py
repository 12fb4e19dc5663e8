"""`mlship serve`: a bundle in the foreground, by its own runtime; no target, no ledger."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.open import OpenBundle
from mlship.config.folders import cache_dir
from mlship.digest import hex_of, sha256
from mlship.errors import BundleError, MlshipError, TargetError
from mlship.host.local import LocalHost
from mlship.host.site import Site
from mlship.ops.context import Context
from mlship.result import to_json
from mlship.target.hosted_platform import fitting_platform
from mlship_runtime.bundle.extract import extract_layer
from mlship_runtime.bundle.ustar import ChunkStream
from mlship_runtime.errors import InvalidBundle, RuntimeFault
from mlship_runtime.supervision.control import fault_of
from mlship_runtime.supervision.spawn import BOOT, clean_environment, python_command

LOOPBACK = "127.0.0.1"
_SETTINGS: dict[str, Any] = {"workers": 1, "readyTimeout": 60.0, "drainTimeout": 5.0}


def serve(ctx: Context, ref: str | None = None, *, port: int = 8080) -> int:
    """Serve on the loopback address until SIGINT or SIGTERM; the exit code of the server.

    Raises BundleError for damaged layers, TargetError if the bundle does not run here or the port is taken.
    """
    bundle = ctx.open_bundle(ref)
    base = getattr(sys, "_base_executable", "") or sys.executable
    platform, python = fitting_platform(Site(LocalHost(), "", bundle.spec.name, base), bundle, "")
    with tempfile.TemporaryDirectory(prefix="mlship-serve-") as scratch:
        record = _record(bundle, platform, Path(scratch), unpack(ctx, bundle, platform))
        command = [*python_command(python, cache_dir() / "pycache"), str(BOOT), "serve"]
        command += ["--release", str(record), "--host", LOOPBACK, "--port", str(port)]
        return _run(
            command, lambda where: ctx.progress.say(f"{bundle.reference} answers at {where}; Ctrl-C ends it")
        )


def unpack(ctx: Context, bundle: OpenBundle, platform: str) -> dict[str, str]:
    """Folder by layer digest, in the user's cache; what is there is not unpacked again."""
    folder = cache_dir() / "unpacked"
    layers = [layer for layer in bundle.manifest.layers_for(platform) if layer.is_tar]
    roots = {layer.digest: folder / hex_of(layer.digest) for layer in layers}
    missing = [layer for layer in layers if not roots[layer.digest].exists()]
    if missing:
        ctx.progress.phase("unpacking", sum(layer.size for layer in missing), unit="bytes")
    for layer in missing:
        _make(folder)
        with as_bundle_error():
            stream = ChunkStream(bundle.blob(layer.digest))
            extract_layer(stream, str(roots[layer.digest]), bundle.spec.files[layer.digest], layer.digest)
        ctx.progress.advance(layer.size)
    return {digest: str(root) for digest, root in roots.items()}


def _record(bundle: OpenBundle, platform: str, folder: Path, layers: dict[str, str]) -> Path:
    """A release record as a host has it, for a release that is none."""
    digest, spec = bundle.digest, bundle.manifest.spec_layer.digest
    record = {
        "schemaVersion": 1,
        "number": 1,
        "service": bundle.spec.name,
        "digest": digest,
        "reference": str(bundle.reference),
        "settings": _SETTINGS,
        "settingsDigest": sha256(to_json(_SETTINGS)),
        "manifest": str(bundle.fetch(digest, folder)),
        "spec": str(bundle.fetch(spec, folder)),
        "layers": layers,
        "platform": platform,
    }
    path = folder / "release.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def _run(command: list[str], ready: Callable[[str], None]) -> int:
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=clean_environment(),
        cwd="/",
        text=True,
        process_group=0,  # a terminal's Ctrl-C reaches this process, which passes it on once
    )
    assert server.stdout is not None  # noqa: S101 - it is a pipe
    try:
        with _passed_on(server) as asked:
            said = _first_word(server.stdout)
            if said is None:
                code = server.wait()
                if asked:
                    raise KeyboardInterrupt
                raise TargetError("the server ended before it was ready", cause=f"exit code {code}")
            if not said["ok"]:
                raise _as_error(fault_of(said["error"]))
            ready(f"http://{said['host']}:{said['port']}")
            for line in server.stdout:
                sys.stderr.write(line)
            code = server.wait()
            return 0 if asked else code
    finally:
        if server.poll() is None:
            server.terminate()
        server.stdout.close()
        server.wait()


def _first_word(lines: Iterable[str]) -> dict[str, Any] | None:
    """What the server says when it is ready or has failed. A reduction step may print before."""
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if isinstance(said, dict) and "ok" in said:
            return said
        sys.stderr.write(line)
    return None


def _as_error(fault: RuntimeFault) -> MlshipError:
    kind = BundleError if isinstance(fault, InvalidBundle) else TargetError
    return kind(fault.what, cause=fault.cause, fix=fault.fix)


@contextmanager
def _passed_on(server: subprocess.Popen[str]) -> Iterator[list[int]]:
    """SIGINT, SIGTERM and SIGHUP end the server, which then ends this; gives the signals that came."""
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if not asked:
            server.terminate()
        asked.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, pass_on) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(
            f"the folder {folder} cannot be made",
            cause=error.strerror or "",
            fix="MLSHIP_CACHE can name another place",
        ) from error
