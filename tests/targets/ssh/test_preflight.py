"""What is wrong with a machine is told before anything is sent there: real ones, as far as one machine can be
several."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlship.errors import TargetError
from mlship_runtime.platforms import this_platform

pytestmark = pytest.mark.server
PYTHON = str(Path(sys.executable).resolve())
LAYER = SimpleNamespace(size=4 << 20, digest="sha256:" + "a" * 64, title="model.tar")
BUNDLE: Any = SimpleNamespace(
    reference="churn:1",
    manifest=SimpleNamespace(layers_for=lambda platform: [LAYER]),
    spec=SimpleNamespace(runtime={"platforms": {str(this_platform()): {}}}, files={}),
    absent=frozenset(),
)
# A Python that is another one than this: runs `before`, then what it was given.
ODD = """#!{python}
import sys
{before}
words = sys.argv[1:]
while words[0] != "-c" and words[0].startswith("-"):
    words.pop(0)
if words[0] == "-c":
    sys.argv = ["-c", *words[2:]]
    exec(compile(words[1], "<string>", "exec"), {{"__name__": "__main__"}})
else:
    import runpy
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")
"""
Target = Callable[..., Any]


def odd_python(folder: Path, before: str, python: str = PYTHON) -> str:
    path = folder / "python3"
    path.write_text(ODD.format(python=python, before=before))
    path.chmod(0o755)
    return str(path)


def only(problems: list[Any]) -> Any:
    (problem,) = problems
    return problem


def test_a_good_machine_has_no_problem_and_nothing_is_left_on_it(target: Target, tmp_path: Path) -> None:
    assert target(python=PYTHON).check(BUNDLE) == []
    assert not (tmp_path / "base").exists()


def test_no_python(target: Target) -> None:
    with pytest.raises(TargetError, match=r"there is no python3\.99 on") as refused:
        target(python="python3.99").observe()
    assert "Install Python 3.9 or newer" in refused.value.fix


@pytest.mark.parametrize(
    ("before", "says", "fix"),
    [
        ("sys.version_info = (3, 8, 18)", "needs Python 3.9 or newer on the host", "name it with `python`"),
        ("sys.modules['json'] = None", "import of json halted", ""),
        ("sys.exit('No module named json')", "No module named json", "not -minimal"),
    ],
)
def test_a_python_that_is_too_old_or_too_small(
    target: Target, tmp_path: Path, before: str, says: str, fix: str
) -> None:
    with pytest.raises(TargetError) as refused:
        target(python=odd_python(tmp_path, before)).observe()
    assert says in refused.value.cause
    assert fix in refused.value.fix
    assert not (tmp_path / "base").exists()


def test_a_port_that_another_program_has(target: Target) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        problem = only(target(python=PYTHON, port=port).check(BUNDLE))
    assert f"port {port} on 127.0.0.1 cannot be opened: another program listens there" in problem.what
    assert "ss -ltnp" in problem.fix


def test_a_wrong_clock(target: Target, tmp_path: Path) -> None:
    before = "import time; now = time.time; time.time = lambda: now() - 5 * 365 * 86400"
    problem = only(target(python=odd_python(tmp_path, before)).check(BUNDLE))
    assert "1,825 days behind this one" in problem.what
    assert not problem.blocks


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("size=6M", "MB are free on"),
        ("size=64M,ro", "is read-only"),
        ("size=64M,noexec", "is mounted noexec"),
        ("size=64M,nr_inodes=4", "files more, 9 are needed"),
    ],
)
def test_a_disk_that_will_not_do(
    target: Target, tmp_path: Path, require: Callable[[str], None], options: str, says: str
) -> None:
    require("tmpfs")
    base = tmp_path / "disk"
    base.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(base)], check=True)
    many: Any = SimpleNamespace(**{**vars(BUNDLE), "spec": SimpleNamespace(**vars(BUNDLE.spec))})
    many.spec.files = {LAYER.digest: [SimpleNamespace(path=f"model/{n}") for n in range(9)]}
    try:
        problem = only(target(python=PYTHON, base=str(base)).check(many))
    finally:
        subprocess.run(["umount", str(base)], check=True)
    assert says in problem.what
    assert "set `base` to a folder on another disk" in problem.fix


def test_a_user_without_rights(target: Target, tmp_path: Path, require: Callable[[str], None]) -> None:
    """The far side is somebody else, who may write nothing in a folder of ours."""
    require("tmpfs")  # which is there for root alone, as other users are
    everybodys = Path("/usr/bin/python3")
    if not everybodys.exists():
        pytest.skip(f"{everybodys} is not here: another user cannot run a Python of this one")
    before = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    python = odd_python(tmp_path, before, str(everybodys))
    problem = only(target(python=python, base="/usr/lib/mlship").check(BUNDLE))
    assert "nobody may not write /usr/lib on" in problem.what
    assert "sudo install -d -m 700 -o nobody /usr/lib/mlship" in problem.fix
    assert problem.blocks


def test_a_service_belongs_to_one_target(target: Target) -> None:
    """Another one with its base folder and its name would have the same releases and a history of its own."""
    from mlship.target.plan import Action
    from mlship.target.protocol import Given

    def order(adapter: Any, fence: int) -> None:
        action = Action(name="take", phase="clean", verb="take", subject="", command="", arguments={})
        adapter.run(action, Given(fence, None, {}))

    one, other = target("prod", python=PYTHON), target("staging", python=PYTHON)
    order(one, 1)
    assert one.check(BUNDLE) == []
    problem = only(other.check(BUNDLE))
    assert problem.what == "the service churn belongs to the target prod there"
    assert "call this target prod" in problem.fix
    with pytest.raises(TargetError, match="belongs to the target prod: two targets with one `base`"):
        order(other, 2)
    order(one, 2)
    other.site.call("destroy", fence=3, target="staging")
    order(other, 4)
