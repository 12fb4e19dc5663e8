"""The ground-floor package on its way to a host: installed there once, or run there from memory.

The programs below start it where nothing of mlship is yet: Python 3.9, standard library only.
"""

from __future__ import annotations

import io
import json
import zipfile
from functools import cache
from pathlib import Path, PurePosixPath

import mlship_runtime
from mlship.digest import sha256

BOOT = PurePosixPath("mlship_runtime", "boot.py")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # when each file in a zip was made: the format knows nothing earlier
HOME = "import os; print(os.path.expanduser('~'))"
DATA = "import os; print(os.path.expanduser('~/.local/share/mlship') if os.getuid() else '/var/lib/mlship')"

# `-c INSTALL BASE TOOLS NAME`, with {path: text} on standard input: the files, on the disk, in one folder
# that gets its name when it is whole; if somebody was faster, theirs stays.
INSTALL = """
import json, os, shutil, sys
base, tools, name = sys.argv[1:]
os.umask(0o077)
os.makedirs(base, exist_ok=True)
os.umask(0o022)
os.makedirs(tools, exist_ok=True)
part, whole = os.path.join(tools, name + ".part-%d" % os.getpid()), os.path.join(tools, name)
def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
for path, text in json.load(sys.stdin).items():
    path = os.path.join(part, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    sync(path)
for folder, _, _ in os.walk(part):
    sync(folder)
try:
    os.rename(part, whole)
except OSError:
    if not os.path.isdir(whole):
        raise
    shutil.rmtree(part)
for folder in (tools, base, os.path.dirname(base)):
    sync(folder)
"""

# `-c IN_MEMORY VERB`: runs the package in the zip archive that comes first on standard input (12 digits
# of length, then its bytes), from memory where the system can: where one only looks around, nothing stays.
IN_MEMORY = """
import os, sys, tempfile
def taken(count):
    data = b""
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            sys.exit("the package did not come whole")
        data += more
    return data
archive = taken(int(taken(12)))
if hasattr(os, "memfd_create"):
    place = "/proc/self/fd/%d" % os.memfd_create("mlship")
    file = open(place, "r+b")
else:
    file = tempfile.NamedTemporaryFile()
    place = file.name
file.write(archive)
file.flush()
sys.path.insert(0, place)
from mlship_runtime import boot
sys.exit(boot.main(sys.argv[1:]))
"""


def files() -> list[Path]:
    """Its source files, in a fixed order."""
    return sorted(_folder().rglob("*.py"))


@cache
def name() -> str:
    """What an installed copy is called: by its content."""
    content = (
        path.relative_to(_folder()).as_posix().encode() + b"\0" + path.read_bytes() for path in files()
    )
    return sha256(b"\0".join(content))[7:23]


def texts() -> bytes:
    """What INSTALL reads."""
    return json.dumps({_inside(path): path.read_text("utf-8") for path in files()}).encode()


def archive(*rooms: str) -> bytes:
    """What IN_MEMORY reads before the request: everything, or what every verb needs and these `rooms`."""
    data = packed(*rooms, method=zipfile.ZIP_DEFLATED)
    return b"%012d" % len(data) + data


def packed(*rooms: str, method: int = zipfile.ZIP_STORED) -> bytes:
    """The same as one zip file that Python imports from; the same bytes for the same content."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as writer:
        for path in files():
            if not rooms or path.parent == _folder() or path.parent.name in rooms:
                entry = zipfile.ZipInfo(_inside(path), _EPOCH)
                entry.external_attr = 0o100644 << 16
                writer.writestr(entry, path.read_bytes(), method)
    return made.getvalue()


def _inside(path: Path) -> str:
    return f"{BOOT.parent}/{path.relative_to(_folder()).as_posix()}"


def _folder() -> Path:
    return Path(mlship_runtime.__file__).parent
