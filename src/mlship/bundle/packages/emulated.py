"""Tries the bundle on platforms that this machine is not, where the user names an emulated Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlship.bundle.archive import Layer
from mlship.bundle.document import Content
from mlship.bundle.lock import LockedGolden, LockedRuntime
from mlship.bundle.packages.platforms import Wanted, named
from mlship.bundle.rows.golden import tolerances
from mlship.bundle.rows.trial import try_bundle
from mlship.config.settings import EMULATED, emulated_python
from mlship.errors import BuildError
from mlship.progress import Progress
from mlship_runtime.bundle.manifest import ANY_PLATFORM
from mlship_runtime.golden import compare


def try_elsewhere(
    content: Content,
    layers: Sequence[Layer],
    runtime: LockedRuntime,
    golden: LockedGolden,
    folder: Path,
    *,
    progress: Progress,
) -> None:
    """Let the bundle of `layers` answer its golden examples on each platform that does not run here as it is,
    and say which were not tried. Raises BuildError if one cannot, or answers otherwise."""
    for name in sorted(runtime.platforms):
        platform = named(name)
        if platform.runs_here:
            continue
        word = f"{platform.platform.system}/{platform.platform.processor}"
        command = emulated_python(word)
        if not command:
            how = f"{EMULATED[word]} can name a command that runs its Python here" if word in EMULATED else ""
            progress.say(f"{name} was not tried: {how or 'it does not run here'}")
            continue
        own = [layer for layer in layers if layer.platform in ("", ANY_PLATFORM, name)]
        scratch = folder / name
        scratch.mkdir()
        _try(content, own, platform, golden, scratch, command)
        progress.say(f"{name} gives the golden answers, as {Path(command[0]).name} runs it")


def _try(
    content: Content,
    layers: Sequence[Layer],
    platform: Wanted,
    golden: LockedGolden,
    folder: Path,
    command: Sequence[str],
) -> None:
    try:
        answers = try_bundle(content, layers, platform, folder, python=command, rows=golden.rows)
    except OSError as error:
        raise BuildError(
            f"{command[0]} cannot be run for {platform.name}",
            cause=error.strerror or "",
            fix="Correct the MLSHIP_PYTHON_… that names it",
        ) from error
    except BuildError as error:
        raise BuildError(f"{platform.name}: {error.what}", cause=error.cause, fix=error.fix) from error
    limits = tolerances(content.project, answers.outputs)
    found = compare(golden.outputs, answers.outputs, limits)
    if not found.equal:
        raise BuildError(
            f"{platform.name} answers {len(found.differences)} golden values otherwise than this machine",
            cause=str(found.differences[0]),
            fix="Find out why, widen [golden] tolerance, or leave the platform out of [runtime] platforms",
        )
