"""`mlship serve`: a bundle in the foreground, by its own runtime; no target, no ledger."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from msgspec.structs import replace

from mlship.bundle.open import OpenBundle
from mlship.config.folders import cache_dir
from mlship.config.sections import ServeSection
from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.foreground import run
from mlship.ops.unpacked import unpacked_here
from mlship_runtime.supervision.spawn import BOOT, python_command

LOOPBACK = "127.0.0.1"


def serve(ctx: Context, ref: str | None = None, *, port: int | None = None, reload: bool = False) -> int:
    """Serve on the loopback address until SIGINT or SIGTERM; the exit code of the server. The project's
    [serve] says how, and the port if none is given. `reload` builds the project first, and again whenever one
    of its files changes.

    Raises PolicyError where it may not come here, BundleError for damaged layers, TargetError if the bundle
    does not run here or a port is taken, UsageError for `reload` of a bundle that is named.
    """
    port = port if port is not None else settings_of(ctx).port
    if reload:
        from mlship.ops.reload import serve_and_reload

        if ref is not None:
            raise UsageError("--reload serves what the project builds", fix=f"Leave out {ref}, or --reload")
        return serve_and_reload(
            ctx, LOOPBACK, port, lambda now, folder: _command(now, now.open_bundle(), folder)
        )
    bundle = ctx.open_bundle(ref)
    with tempfile.TemporaryDirectory(prefix="mlship-serve-") as scratch:
        command = [*_command(ctx, bundle, Path(scratch)), "--port", str(port)]
        return run(
            command, lambda where: ctx.progress.say(f"{bundle.reference} answers at {where}; Ctrl-C ends it")
        )


def settings_of(ctx: Context) -> ServeSection:
    """What the project's [serve] says, or the defaults; its files by their whole names."""
    project = ctx.project
    if project is None:
        return ServeSection()
    external = project.serve.external
    return replace(project.serve, external=external.beneath(project.root) if external else None)


def _command(ctx: Context, bundle: OpenBundle, folder: Path) -> list[str]:
    """What starts a server of `bundle`, whose record is put into `folder`."""
    record, python = unpacked_here(ctx, bundle, folder, settings_of(ctx).answering())
    release = folder / "release.json"
    release.write_text(json.dumps(record), encoding="utf-8")
    command = [*python_command(python, cache_dir() / "pycache"), str(BOOT), "serve"]
    return [*command, "--release", str(release), "--host", LOOPBACK]
