"""`mlship import`: a bundle out of a file, to a registry or to where this project keeps its own."""

from __future__ import annotations

from pathlib import Path

from mlship.errors import BundleError, MlshipError, RegistryError
from mlship.ops.context import Context
from mlship.reference import Reference
from mlship.result import Result
from mlship_runtime.errors import InvalidBundle


class Imported(Result, frozen=True, kw_only=True):
    """What was taken: blobs and bytes that were new, and those that were there already. `absent` are the
    layers of other platforms, which neither the file nor the destination has; `sent_attachments` counts
    signatures and the like that were new."""

    reference: str
    digest: str
    file: str
    destination: str
    sent_blobs: int
    sent_bytes: int
    present_blobs: int
    present_bytes: int
    absent: tuple[str, ...]
    sent_attachments: int


def import_bundle(ctx: Context, file: Path, registry: str | None = None) -> Imported:
    """Take the bundle in `file` to `registry`; None is this project's own store, or outside of a project the
    default registry. A file of some platforms can go to a project's own store only.

    Raises BundleError for a file that is not whole and right, PolicyError where the registry may not have it,
    UsageError, RegistryError; nothing is published then.
    """
    from mlship.bundle.exchange.import_file import Taken, import_file
    from mlship.ops.crossing import import_passage
    from mlship.registry.over_store import StoreRegistry
    from mlship.registry.transfer import move_tag

    own = registry is None and ctx.project is not None
    sink = ctx.build_registry() if own else ctx.registry(registry)

    def let_tag(taken: Taken) -> None:
        if taken.tag:
            before = sink.read_tag(taken.name, taken.tag)
            move_tag(sink, taken.name, taken.tag, taken.digest, before, file.name)

    try:
        with file.open("rb") as stream:
            partial = sink if own and isinstance(sink, StoreRegistry) else None
            taken = import_file(
                stream,
                sink,
                partial_sink=partial,
                passing=lambda *read: import_passage(ctx, file, sink, *read).open(),
                published=let_tag,
                progress=ctx.progress,
            )
    except OSError as error:
        raise RegistryError(f"{file} cannot be read", cause=error.strerror or str(error)) from error
    except (InvalidBundle, BundleError) as error:
        raise _refused(file, error) from error
    named = Reference(taken.name, tag=taken.tag) if taken.tag else Reference(taken.name, digest=taken.digest)
    return Imported(
        reference=str(named),
        digest=taken.digest,
        file=str(file),
        destination=sink.url,
        sent_blobs=taken.sent_blobs,
        sent_bytes=taken.sent_bytes,
        present_blobs=taken.present_blobs,
        present_bytes=taken.present_bytes,
        absent=taken.absent,
        sent_attachments=taken.sent_attachments,
    )


def _refused(file: Path, error: InvalidBundle | MlshipError) -> BundleError:
    what = f"{file.name} cannot be imported: {error.what}"
    return BundleError(what, cause=error.cause, fix=error.fix or "Copy or export it again")
