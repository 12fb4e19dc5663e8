"""What a worker gives back once it is loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mlship_runtime.serving.residence import code_as_on_disk

AREA = """{place} {mode} 00000000 08:01 1234 {path}
Size:                  8 kB
Rss:                   8 kB
Shared_Dirty:          0 kB
Private_Clean:         8 kB
Private_Dirty:         {dirty} kB
Anonymous:             {own} kB
Swap:                  {swapped} kB
VmFlags: rd ex mr mw me
"""
LIBRARY = "/opt/with space/lib.so.1 (deleted)"


def area(number: int, mode: str, path: str, *, dirty: int = 0, own: int = 0, swapped: int = 0) -> str:
    place = f"{number:x}000-{number + 1:x}000"
    return AREA.format(place=place, mode=mode, path=path, dirty=dirty, own=own, swapped=swapped)


def given_back(*areas: str) -> list[int]:
    return [start >> 12 for start, _ in code_as_on_disk("".join(areas).encode().splitlines())]


def test_code_and_constants_of_a_library_are() -> None:
    found = given_back(area(1, "r--p", LIBRARY), area(2, "r-xp", LIBRARY), area(3, "rw-p", LIBRARY))
    assert found == [1, 2]


def test_also_of_a_file_that_the_disk_does_not_have_yet() -> None:
    """Its pages are dirty, and those of the file nevertheless."""
    assert given_back(area(1, "r--p", LIBRARY, dirty=4), area(2, "r-xp", LIBRARY)) == [1, 2]


@pytest.mark.parametrize("changed", ["own", "swapped"])
def test_nothing_is_that_was_changed_in_memory(changed: str) -> None:
    """As where a library was relocated: the file does not have that."""
    changes = {changed: 4}
    assert given_back(area(1, "r--p", LIBRARY, **changes), area(2, "r-xp", LIBRARY)) == [2]


@pytest.mark.parametrize("path", ["", "[vdso]", "/srv/weights.bin", "/dev/shm/x"])
def test_data_is_not(path: str) -> None:
    code = area(2, "r-xp", path) if path == "[vdso]" else area(2, "r-xp", LIBRARY)
    assert 1 not in given_back(area(1, "r--p", path), code)


MEASURED = """
import json, re, numpy
from mlship_runtime.serving.residence import give_back

def of_files():
    with open("/proc/self/smaps_rollup") as file:
        sizes = dict(re.findall(r"(\\w+): +([0-9]+)", file.read()))
    return int(sizes["Rss"]) - int(sizes["Anonymous"])

before = of_files()
give_back()
after = of_files()
solved = numpy.linalg.solve(numpy.eye(50) * 2, numpy.ones(50))
print(json.dumps([before, after, solved.sum()]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is changed")
def test_what_is_given_back_comes_again_when_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    before, after, solved = json.loads(done.stdout)
    assert after < before / 2
    assert solved == 25
