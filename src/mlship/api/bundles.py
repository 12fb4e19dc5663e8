"""Verbs about making bundles and looking into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_changes
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.api.call import Calls, File

if TYPE_CHECKING:
    from mlship.ops.build import BuildReport
    from mlship.ops.diff import Difference
    from mlship.ops.inspect import Inspected
    from mlship.ops.score import Scored
    from mlship.ops.sign import SignedBundle
    from mlship.ops.verify import Checked


class Bundles(Calls):
    """`ref` is `name:tag` or `name@sha256:…`, after `REGISTRY/` if need be; None is the last build here."""

    def build(
        self,
        model: object = None,
        *,
        examples: object = None,
        name: str = "",
        version: str = "",
        locked: bool = False,
        allow_pickle: bool = False,
        replace: bool = False,
        source: str | None = None,
    ) -> BuildReport:
        """Make a bundle, proved equal to the original model.

        `model` is a fitted object, or the path of its file; `examples` are rows that it reads: a DataFrame,
        an array of shape [rows, features], a list of dicts, or the path of a file. A column more, the
        target, is left out. Where there is no mlship.toml yet, one is written beside them, and the next call
        needs only what has changed; without `model` and `examples` it is built as mlship.toml says.

        `version` becomes the one in mlship.toml. With `replace`, files that somebody else wrote are replaced.
        `locked`, `allow_pickle` and `source` are --locked, --allow-pickle and --from of the command.

        Raises BuildError for a model that cannot become a bundle, UsageError and ConfigError for what does
        not fit the project.
        """
        from mlship.api.project_files import ProjectFiles
        from mlship.ops import build as op

        with self._call() as ctx:
            if model is not None or examples is not None or name or version:
                root = ctx.project.root if ctx.project else (self.folder or Path.cwd())
                files = ProjectFiles(root, ctx.progress, model, examples, name, version, replace)
                with files.settled(ctx.project) as project:
                    ctx = with_changes(ctx, project=project)
                    return op.build(ctx, locked=locked, allow_pickle=allow_pickle, source=source)
            return op.build(ctx, locked=locked, allow_pickle=allow_pickle, source=source)

    def inspect(self, ref: str | None = None, *, files: bool = False) -> Inspected:
        """What is in a bundle; with `files`, every file. Raises BundleError, RegistryError."""
        from mlship.ops import inspect as op

        with self._call() as ctx:
            return op.inspect(ctx, ref, files=files)

    def diff(self, before: str, after: str | None = None) -> Difference:
        """What is different between two bundles (`after` None: the last build). Raises RegistryError."""
        from mlship.ops import diff as op

        with self._call() as ctx:
            return op.diff(ctx, before, after)

    def verify(self, ref: str | None = None, *, keys: Sequence[str] = (), scan: bool = False) -> Checked:
        """Check every byte of a bundle; nothing of it is run. `keys` are public keys (files, or names in
        [trust]) of which one must have signed it; `scan` looks for pickles and secrets. Raises BundleError
        for the first thing that is wrong."""
        from mlship.ops import verify as op

        with self._call() as ctx:
            return op.verify(ctx, ref, keys, scan=scan)

    def sign(self, ref: str | None = None, *, key: File, passphrase_file: File | None = None) -> SignedBundle:
        """Sign a bundle with the private key in the file `key`. Raises BundleError, UsageError."""
        from mlship.ops import sign as op

        with self._call() as ctx:
            return op.sign(ctx, ref, Path(key), Path(passphrase_file) if passphrase_file else None)

    def score(
        self,
        rows: File,
        answers: File,
        ref: str | None = None,
        *,
        keep: Sequence[str] = (),
        workers: int = 0,
        force: bool = False,
    ) -> Scored:
        """Score the file `rows` with a bundle, on this machine, into the file `answers` (.csv, .tsv, .jsonl,
        .parquet). `keep` are columns that are copied; `workers` 0 is one for each processor; `force` replaces
        `answers`. Raises UsageError for rows that do not fit, TargetError."""
        from mlship.ops import score as op
        from mlship_runtime.scoring.job import Job

        tabs = "\t" if str(rows).endswith(".tsv") else ","
        job = Job(
            input=str(rows),
            output=str(answers),
            keep=tuple(keep),
            workers=workers,
            force=force,
            delimiter=tabs,
        )
        with self._call() as ctx:
            return op.score(ctx, ref, job)
