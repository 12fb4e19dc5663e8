"""Every command that README and docs show is run, page by page, in the page's order, as a reader would.

In a `console` block the lines that begin with "$ " are commands (a line that ends with a backslash goes on),
and the rest is output that is not compared; `# exit N` after a command says how it ends, 0 if it says
nothing. A `sh` block is run as it stands. `<!-- not run: reason -->` right before a block leaves it out.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
MLFLOW = "127.0.0.1:5932"  # where the docs have an MLflow server
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]

_BLOCK = re.compile(
    r"(?P<left_out><!-- not run: (?P<reason>[^\n]+) -->\n+)?^```(?P<kind>console|sh)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_EXIT = re.compile(r"\s+# exit (\d+)$")

MACHINE = "model1.example.org"  # where they have a machine behind SSH

# Told before each command, so that a failure shows where; port 0 so that pages can be read side by side, and
# a base folder of the test's own on a machine that is this one, and the base image and network of its engine.
_PRELUDE = """\
set -u -o pipefail
ran() { if [ "$1" != "$2" ]; then echo "*** ended with $1, not $2"; exit 99; fi; }
free_port() {
  [ ! -f mlship.toml ] || sed -i.bak -e 's/^port = 8080$/port = 0/' \
    -e "s|^base = .python:3.11-slim.$|base = '${BASE_OF_DOCS:-}'\\nnetwork = '${NETWORK_OF_DOCS:-}'|" \
    -e "s|^type = \\"ssh\\"$|&  # here\\nbase = \\"$MLSHIP_HOME/far\\"\\nunits = \\"none\\"|" mlship.toml
}
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    """(kind, text) of the blocks of `page` that are to be run."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [(match["kind"], match["text"]) for match in found if not match["left_out"]]


def commands(text: str) -> list[str]:
    """The commands of a console block, lines that go on joined."""
    lines = iter(text.splitlines())
    found = []
    for line in lines:
        if not line.startswith("$ "):
            continue
        command = line[2:]
        while command.endswith("\\"):
            command += "\n" + next(lines)
        found.append(command)
    return found


def script(page: Path) -> str:
    """All of a page as one shell script that stops at the first command that does not end as it should."""
    parts = [_PRELUDE]
    for kind, text in blocks(page):
        if kind == "sh":
            parts.append(f"set -e\n{text}\nset +e\n")
            continue
        for command in commands(text):
            code, shown = _EXIT.search(command), _EXIT.sub("", command).rstrip()
            parts.append(
                f"cat <<'SHOWN'\n$ {shown}\nSHOWN\nfree_port\n{shown}\nran $? {code[1] if code else 0}\n"
            )
    return "".join(parts)


@pytest.mark.pages
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_every_command_works(
    page: Path,
    tmp_path: Path,
    own_home: Path,
    running: Callable[[Path], dict[int, str]],
    require: Callable[[str], None],
    cloud_of: Any,
    mlflow_of_all: Callable[[], Any],
    request: pytest.FixtureRequest,
) -> None:
    for tool in ("openssl", "docker-registry", "curl"):
        if f"{tool} " in script(page):
            require(tool)
    environment = _environment()
    for scheme in ("s3", "azblob"):
        if f" {scheme}://" in script(page):
            environment |= cloud_of(scheme).for_docs()
    shown = script(page)
    if f'"{MACHINE}"' in shown:
        environment["PATH"] = f"{ssh_to(request.getfixturevalue('sshd'), tmp_path)}:{environment['PATH']}"
    if 'type = "docker"' in shown:
        engine = request.getfixturevalue("debian").engine
        environment |= {"DOCKER_HOST": engine.url, "NETWORK_OF_DOCS": engine.network}
        environment["BASE_OF_DOCS"] = str(request.getfixturevalue("debian_layout"))
    if MLFLOW in shown:
        shown = shown.replace(MLFLOW, f"127.0.0.1:{mlflow_of_all().port}")
    folder = tmp_path / "reader"
    folder.mkdir()
    try:
        done = subprocess.run(
            ["bash", "-c", shown],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, f"{page.name}:\n{done.stdout}"
        assert not running(own_home), f"{page.name} leaves something running; end it with mlship destroy"
        assert not (own_home / "far").exists(), f"{page.name} leaves something on the machine"
    finally:
        for number in running(own_home):
            os.kill(number, signal.SIGKILL)


def test_what_is_left_out_is_left_out_for_a_reason() -> None:
    reasons = {
        match["reason"]: page.name
        for page in PAGES
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8"))
        if match["left_out"]
    }
    assert len(reasons) <= 8, f"too much of the docs is not run: {reasons}"
    assert all(len(reason.split()) >= 3 for reason in reasons)


def test_pages_are_found_and_read() -> None:
    readme = [command for kind, text in blocks(ROOT / "README.md") for command in commands(text)]
    assert "mlship deploy local" in readme
    assert commands("$ one \\\n  two\noutput\n$ three  # exit 3\n") == ["one \\\n  two", "three  # exit 3"]


def ssh_to(server: Any, folder: Path) -> Path:
    """A folder with an `ssh` that finds MACHINE here, as if DNS and the user's ssh_config said so."""
    from ssh_server import own_ssh

    return own_ssh(folder, f"Host {MACHINE}\n{server.in_config()}")


def _environment() -> dict[str, str]:
    """As after `source .venv/bin/activate`."""
    path = f"{sys.prefix}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "VIRTUAL_ENV": sys.prefix, "PATH": path}
