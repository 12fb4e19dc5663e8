"""Verbs about bundles in files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlship.cli import complete
from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.cli.words import NamedBundle, Platforms
from mlship.errors import UsageError
from mlship.result import Result


@verb("""
    mlship export churn:1.4 churn.tar
    mlship export team/churn:1.4 churn.tar --platform linux/amd64
    mlship export churn:1.4 wheels --format wheelhouse
    mlship export churn:1.4 churn.cdx.json --format sbom
""")
def export(
    run: Run,
    bundle: NamedBundle,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to: a file, which is replaced, or a new folder.")
    ],
    platforms: Platforms = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="bundle, onnx, mlflow, wheelhouse, sbom or card."),
    ] = "bundle",
) -> Result:
    """Write a bundle to a file, or its parts for other tools.

    The file is an OCI image layout in a tar: for an air gap, or as an archive. Signatures and provenance go
    along. The same bundle gives the same bytes. mlship import takes it.

    Other formats are one way: onnx is the model's file, mlflow a folder that MLflow loads, wheelhouse a
    folder with the locked packages of one platform, sbom the bill of materials (CycloneDX), card the model
    card of the project.
    """
    from mlship.ops import export as op

    return op.export(run.context, bundle, file, platforms=platforms or (), form=form)


@verb("""
    mlship import churn.tar
    mlship import churn.tar team
    mlship import --from mlruns/1/models/m-0f3a/artifacts churn    an MLflow model
    mlship import --from models:/churn@champion churn              the same, from an MLflow server
    mlship import --from kit churn --examples rows.csv             a KitOps project
""")
def import_(
    run: Run,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="What mlship export wrote; with --from, the new project's folder (here).",
            show_default=False,
        ),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Argument(
            metavar="REGISTRY",
            help="Where to. Without it: this project; outside of a project, the default registry.",
            autocompletion=complete.registries,
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="An MLflow model (also models:/NAME@ALIAS) or a project with a Kitfile, to start from.",
            show_default=False,
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option("--examples", metavar="FILE", help="Rows for it, if it has none.", show_default=False),
    ] = None,
) -> Result:
    """Take a bundle from a file, or a project from another tool.

    Every byte is checked, and nothing is published unless all of it is right. The digest is the one that it
    had, and so are the signatures, which mlship verify --key checks. A file of some platforms can be imported
    in a project, and deployed from there.

    With --from, the model and its rows are copied into a new project, whose mlship.toml is written for them
    as by mlship init; what is not taken is named. Nothing is overwritten.
    """
    if source is not None:
        from mlship.ops.import_folder import import_any

        if registry is not None:
            raise UsageError("--from makes a project, which is in no registry", fix="Build and push it")
        return import_any(source, file or Path(), examples=examples, progress=run.progress)
    if file is None or examples is not None:
        raise UsageError("import takes a FILE, or --from FOLDER with --examples FILE if need be")
    from mlship.ops import import_bundle as op

    return op.import_bundle(run.context, file, registry)
