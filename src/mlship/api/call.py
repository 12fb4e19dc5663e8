"""One call of a verb from Python: the project's context, progress that is shown and taken away, warnings."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mlship.config.load import find_project
from mlship.config.project import FILE_NAME, Project
from mlship.errors import MlshipWarning, UsageError, of_fault
from mlship.ops.context import Context
from mlship.progress import SILENT, Progress
from mlship_runtime.errors import RuntimeFault

File = str | os.PathLike[str]


class Calls:
    """Where verbs are called: the project in `folder` (None: the one that the current folder is in, if any).

    `progress` is True to show it as this place can, False for none, or what shall receive it. `timeout` in
    seconds is for requests and rollouts.
    """

    def __init__(
        self, folder: File | None = None, *, progress: Progress | bool = True, timeout: float | None = None
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.progress = progress
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r})" if self.folder else "Project()"

    @contextmanager
    def _call(self) -> Iterator[Context]:
        """The context of one call. What the ground floor raises comes out as MlshipError, and what the
        command line would warn of as MlshipWarning."""
        with ExitStack() as stack:
            context = Context(project=self._project(), progress=self._shown(stack), timeout=self.timeout)
            try:
                yield context
            except RuntimeFault as fault:
                raise of_fault(fault) from fault
            finally:
                stack.close()
                for text in context.warnings:
                    warnings.warn(text, MlshipWarning, stacklevel=4)

    def _project(self) -> Project | None:
        if self.folder is None:
            return find_project()
        return find_project(self.folder) if (self.folder / FILE_NAME).is_file() else None

    def _shown(self, stack: ExitStack) -> Progress:
        if not isinstance(self.progress, bool):
            return self.progress
        if not self.progress:
            return SILENT
        from mlship.cli.progress import choose

        shown = choose(silent=False)
        stack.callback(shown.close)
        return shown


def needs_yes(what: str, *, yes: bool) -> None:
    """Raise UsageError unless `yes`: for what removes something."""
    if not yes:
        raise UsageError(f"{what} needs a yes", fix="Call it with yes=True")
