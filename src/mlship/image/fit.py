"""Whether a base can run a bundle, and with which of its Pythons."""

from __future__ import annotations

from mlship.errors import UsageError
from mlship.image.base import Base
from mlship.image.base_files import LIBRARIES, BaseFiles
from mlship_runtime.bundle.manifest import ROLES
from mlship_runtime.platforms import Platform, misfit

ENTRY_FOLDER = "mlship"
_TAKEN = frozenset({*ROLES, ENTRY_FOLDER} - {"spec"})


def fitting_python(base: Base, files: BaseFiles, wanted: Platform) -> str:
    """The path in the image of the Python that a bundle for `wanted` runs on: the first on the base's PATH,
    or else the first at all. Raises UsageError that says what the base lacks."""
    taken = sorted(_TAKEN.intersection(files.roots))
    if taken:
        raise _unfit(base, f"it has /{taken[0]} itself, where the bundle's own files go")
    major, minor = wanted.python
    right = [x for x in files.interpreters if major == 3 and x.minor == minor]
    if not right:
        has = ", ".join(sorted({f"3.{x.minor}" for x in files.interpreters})) or "none"
        raise _unfit(base, f"the bundle needs Python {major}.{minor}, and it has {has}")
    usable = [x for x in right if x.processor == wanted.processor]
    if not usable:
        raise _unfit(base, f"its {right[0].path} is for {right[0].processor or 'another processor'}")
    why = misfit(str(wanted), Platform("linux", wanted.processor, wanted.python, files.libc or (0, 0)))
    if why:
        raise _unfit(base, f"{why}{' (it is built on musl)' if files.musl and not files.libc else ''}")
    lacking = [name for name in LIBRARIES if name not in files.libraries]
    if lacking:
        raise _unfit(base, f"it has no {' and no '.join(lacking)}, which numpy and onnxruntime need")
    if minor not in files.complete:
        raise _unfit(base, f"the library of its Python {major}.{minor} has no asyncio: it is a minimal one")
    folders = [folder.rstrip("/") for folder in base.search_path.split(":")]
    on_path = [x.path for folder in folders for x in usable if x.path.rpartition("/")[0] == folder]
    return on_path[0] if on_path else usable[0].path


def _unfit(base: Base, why: str) -> UsageError:
    return UsageError(
        f"the base {base.name} cannot run the bundle",
        cause=why,
        fix="Name one that can, such as python:3.N-slim with the bundle's Python",
    )
