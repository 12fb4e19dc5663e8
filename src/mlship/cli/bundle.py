"""Verbs about making bundles and looking into them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlship.cli import complete
from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.cli.words import Bundle
from mlship.errors import EXIT_CHANGES_PENDING, UsageError
from mlship.result import Result

_Upgrade = Annotated[
    bool, typer.Option("--upgrade", help="Take newer packages where the project allows them.")
]

_AllowPickle = Annotated[
    bool,
    typer.Option(
        "--allow-pickle",
        help='Let a model travel as it is ([model] engine = "python"); it runs code when loaded.',
    ),
]


@verb("""
    mlship init churn                                 a working example in ./churn
    mlship init --model model.joblib --examples rows.csv
    mlship init --model model.ubj --examples rows.csv   XGBoost; LightGBM, ONNX and MLflow folders likewise
    mlship init --ci github                           a pipeline for the project that is here
    mlship init --make --target prod
""")
def init(
    run: Run,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; it is made if need be.")] = Path(),
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="PATH", help="Your own model: a file, or an MLflow folder.", show_default=False
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option("--examples", metavar="FILE", help="Rows for it: a CSV file.", show_default=False),
    ] = None,
    ci: Annotated[
        str | None,
        typer.Option(
            "--ci",
            metavar="NAME",
            help="A pipeline for a built project: github or gitlab.",
            show_default=False,
        ),
    ] = None,
    make: Annotated[bool, typer.Option("--make", help="A Makefile for a built project.")] = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="Where the pipeline deploys. Without it: the only target.",
            autocompletion=complete.targets,
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the pipeline that is there.")] = False,
) -> Result:
    """Start a project: a working example, or your own model.

    With --model and --examples, mlship.toml is written for what they contain. With --ci or --make, a project
    that is there gets a pipeline: build, verify, push, plan, and a deploy of that plan. Nothing is
    overwritten.
    """
    from mlship.ops import init as op

    if ci is not None or make:
        if model is not None or examples is not None:
            raise UsageError(
                "a pipeline is for a project that is built", fix="Leave out --model and --examples"
            )
        from mlship.ops.init_pipeline import add_pipeline

        return add_pipeline(folder, ci=ci, make=make, target=target, replace=force)
    if target is not None or force:
        raise UsageError("--target and --force are about a pipeline", fix="Add --ci NAME or --make")
    if (model is None) != (examples is None):
        raise UsageError(
            "--model and --examples go together", fix="Give both, or neither for a working example"
        )
    if model is None or examples is None:
        return op.init(folder)
    return op.init_for_model(folder, model=model, examples=examples, progress=run.progress)


@verb("""
    mlship lock
    mlship lock --upgrade
""")
def lock(run: Run, upgrade: _Upgrade = False, allow_pickle: _AllowPickle = False) -> Result:
    """Resolve the runtime's packages and write mlship.lock.

    The first `mlship build` does it, too. Commit the file: with it, the digest is the same anywhere.
    """
    from mlship.ops import lock as op

    return op.lock(run.context, upgrade=upgrade, allow_pickle=allow_pickle)


@verb(
    """
    mlship build
    mlship build --locked                             in CI: fail if mlship.lock would change
    mlship build --allow-pickle                       a model that ONNX has no form for, as it is
    mlship build --from models:/churn@champion        a model that an MLflow server has
""",
    summary=True,
)
def build(
    run: Run,
    locked: Annotated[bool, typer.Option("--locked", help="Refuse to change mlship.lock.")] = False,
    allow_pickle: _AllowPickle = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="URI",
            help="Fetch the model from MLflow before: models:/NAME@ALIAS or models:/NAME/VERSION.",
            show_default=False,
        ),
    ] = None,
) -> Result:
    """Make a bundle, proved equal to the original model.

    The same project with the same mlship.lock gives the same digest, on any machine, any day.

    With --from, the folder that [model] source names is replaced by the model that MLflow has, and the bundle
    and mlship.lock say which version it was.
    """
    from mlship.ops import build as op

    return op.build(run.context, locked=locked, allow_pickle=allow_pickle, source=source)


@verb("""
    mlship inspect
    mlship inspect churn:1.4 --json
    mlship inspect churn:1.4 --files
""")
def inspect(
    run: Run,
    bundle: Bundle = None,
    files: Annotated[bool, typer.Option("--files", help="List every file with size and sha256.")] = False,
) -> Result:
    """Show what is in a bundle.

    Layers with sizes and digests, what takes the room, schema, packages, golden examples, and how equal the
    ONNX model is.
    """
    from mlship.ops import inspect as op

    return op.inspect(run.context, bundle, files=files)


@verb(
    """
    mlship diff churn:1.3                             what this project's last build changes
    mlship diff team/churn:1.3 churn:1.4
    mlship diff churn:1.3 churn:1.4 --detailed-exitcode
""",
    summary=True,
)
def diff(
    run: Run,
    before: Annotated[
        str,
        typer.Argument(metavar="A", help="The bundle before: a reference.", autocompletion=complete.bundles),
    ],
    after: Annotated[
        str | None,
        typer.Argument(
            metavar="B",
            help="The bundle after. Without it: the last build.",
            autocompletion=complete.bundles,
            show_default=False,
        ),
    ] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="End with 3 if they differ.")
    ] = False,
) -> Result:
    """Show what is different between two bundles.

    Layers and the bytes that would be sent to one who has A, schema, packages, parity, golden answers and
    weights.
    """
    from mlship.ops import diff as op

    found = op.diff(run.context, before, after)
    if detailed_exitcode and not found.equal:
        run.exit_code = EXIT_CHANGES_PENDING
    return found


@verb(
    """
    mlship verify
    mlship verify team/churn@sha256:1f0c...
    mlship verify churn:1.4 --key keys/release.pub
    mlship verify churn:1.4 --scan
""",
    summary=True,
)
def verify(
    run: Run,
    bundle: Bundle = None,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="PUB",
            help="A public key (file, or name in [trust]) that must have signed it; several: one of them.",
            show_default=False,
        ),
    ] = None,
    scan: Annotated[
        bool, typer.Option("--scan", help="Look for pickles and secrets in every file, packages included.")
    ] = False,
) -> Result:
    """Check every byte of a bundle against its digests.

    Nothing of it is run. Exit code 4 if one bit is wrong, or a file is missing or too many. Signatures are
    checked with --key only, pickles and secrets looked for with --scan only.
    """
    from mlship.ops import verify as op

    return op.verify(run.context, bundle, keys or (), scan=scan)
