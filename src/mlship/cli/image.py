"""The group of verbs about container images."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlship.cli.run import Run
from mlship.cli.verb import group, verb
from mlship.cli.words import Bundle, Platforms
from mlship.result import Result


class Profile(StrEnum):
    """The form of an image's manifest."""

    oci = "oci"
    docker = "docker"


Image = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE", help="FOLDER or FOLDER:TAG, or HOST/NAME:TAG in a registry; @sha256:... of either."
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="IMAGE",
        help="What it is put on: an image with the bundle's Python, docker-daemon:NAME for one in an engine. "
        "Without it: base of [image].",
        show_default=False,
    ),
]


@verb(
    """
    mlship image build churn:1.4 --base python:3.11-slim
    mlship image build --push registry.example.com/team/churn:1.4
    mlship image build --profile docker --platform linux/amd64    for SageMaker
    mlship image build --base ./base --output ./image
    mlship image build --base docker-daemon:python:3.11-slim    from the local Docker engine
""",
    summary=True,
)
def build(
    run: Run,
    *,
    bundle: Bundle = None,
    base: Base = None,
    platforms: Platforms = None,
    profile: Annotated[
        Profile,
        typer.Option("--profile", metavar="FORM", help="oci, or docker (schema 2, for one platform)."),
    ] = Profile.oci,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            metavar="FOLDER",
            help="Write an OCI image layout there. Without it: NAME-VERSION.oci.",
            show_default=False,
        ),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(
            "--push", metavar="IMAGE", help="Send it to a registry: HOST/NAME:TAG.", show_default=False
        ),
    ] = None,
) -> Result:
    """Make a container image of a bundle, without an engine.

    The bundle's layers are put on the base as they are, once the base's Python and C library were found to
    fit. The same bundle, signatures, base and profile give the same digest anywhere; what a registry has
    already is not sent.

    The container serves on port 8080 (MLSHIP_PORT) as user 65532. Its root may be read-only, with a temporary
    folder at /tmp.
    """
    from mlship.ops import image_build as op

    return op.build_image(
        run.context,
        bundle,
        base=base,
        platforms=platforms or (),
        profile=profile.value,
        output=output,
        push=push,
    )


@verb(
    """
    mlship image push churn-1.4.oci registry.example.com/team/churn:1.4
    mlship image push registry.example.com/team/churn:1.4 other.example.com/churn:1.4
""",
    summary=True,
)
def push(
    run: Run,
    image: Image,
    to: Annotated[str, typer.Argument(metavar="TO", help="HOST/NAME:TAG, or a folder.")],
) -> Result:
    """Copy an image to a registry, under the same digest."""
    from mlship.ops import image_copy as op

    return op.push_image(run.context, image, to)


@verb("""
    mlship image save churn-1.4.oci churn.tar
    mlship image save churn-1.4.oci churn.tar --platform linux/arm64
""")
def save(
    run: Run,
    image: Image,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it is replaced.")],
    platform: Annotated[
        str | None,
        typer.Option(
            "--platform", metavar="PLATFORM", help="Which of several, e.g. linux/amd64.", show_default=False
        ),
    ] = None,
) -> Result:
    """Write an image to a file that docker load and podman load take."""
    from mlship.ops import image_copy as op

    return op.save_image(run.context, image, file, platform)


@verb("""
    mlship image inspect churn-1.4.oci
    mlship image inspect registry.example.com/team/churn:1.4
""")
def inspect(run: Run, image: Image) -> Result:
    """Show what an image says of itself: its bundle, its base, its platforms, how it starts."""
    from mlship.ops import image_verify as op

    return op.inspect_image(run.context, image)


@verb(
    """
    mlship image verify registry.example.com/team/churn:1.4
    mlship image verify churn-1.4.oci --key release.pub --base python:3.11-slim
""",
    summary=True,
)
def verify(
    run: Run,
    image: Image,
    *,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="PUB",
            help="A public key (file, or name in [trust]) that must have signed it; several: one of them.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="IMAGE", help="What it must have been put on.", show_default=False),
    ] = None,
    platforms: Platforms = None,
) -> Result:
    """Prove from the image alone that it is a bundle's.

    Every byte of the bundle is read. What lies above the base is that bundle and nothing else, and it is
    started as mlship does it. With --key, the bundle was signed; with --base, what lies below is that image.
    Exit code 4 for the first thing that is not so.
    """
    from mlship.ops import image_verify as op

    return op.verify_image(run.context, image, keys or (), base=base, platforms=platforms or ())


@group(
    "mlship image build churn:1.4 --base python:3.11-slim",
    build=build,
    push=push,
    save=save,
    inspect=inspect,
    verify=verify,
)
def image() -> None:
    """Make, copy and check container images of bundles."""
