"""`mlship lock`: mlship.lock as it must be now, without a bundle."""

from __future__ import annotations

from mlship.config.files import check_files
from mlship.ops.context import Context
from mlship.result import Result


class LockReport(Result, frozen=True, kw_only=True):
    """`changed` are the parts of the file that were written; none if it was right."""

    file: str
    changed: tuple[str, ...]


def lock(ctx: Context, *, upgrade: bool = False, allow_pickle: bool = False) -> LockReport:
    """Bring mlship.lock up to date; `upgrade` takes the newest packages that the project allows,
    `allow_pickle` tries a model that is not converted.

    Raises ConfigError for missing files, BuildError for whatever cannot become a bundle.
    """
    from mlship.bundle.build import lock_only

    project = ctx.project_or_error()
    check_files(project)
    changed = lock_only(project, upgrade=upgrade, allow_pickle=allow_pickle, progress=ctx.progress)
    return LockReport(file=project.lock_file.name, changed=changed)
