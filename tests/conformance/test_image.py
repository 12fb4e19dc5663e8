"""An image in a real engine: read-only, as nobody, the golden answers over HTTP, and how it ends."""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker_engines import debian_base

from mlship.cli.main import main
from mlship.target.conformance import Bundles
from mlship.target.golden import golden_of
from mlship_runtime.golden import compare

pytestmark = [pytest.mark.hosts, pytest.mark.server, pytest.mark.timeout(900)]

_END = 300.0  # seconds: somebody else may have the processors


@pytest.fixture(scope="module")
def engine(debian: Any, kit: tuple[str, Bundles], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The engine of the hosts, with the kit's bundle over the hosts' own Debian loaded as `conform:test`."""
    folder = tmp_path_factory.mktemp("image")
    layout = debian_base(folder / "base")
    digest = kit[1].first.digest
    image = f"{folder}/image:test"
    words = ["image", "build", f"{kit[0]}/conform@{digest}", "--base", str(layout.folder), "--output", image]
    assert main(words) == 0
    assert main(["image", "verify", image, "--base", str(layout.folder)]) == 0
    assert main(["image", "save", image, f"{folder}/image.tar"]) == 0
    debian.engine.docker("load", "--input", f"{folder}/image.tar")
    yield debian.engine
    debian.engine.docker("rmi", "--force", "conform:test")


@pytest.fixture
def started(engine: Any) -> Iterator[Callable[..., tuple[str, str]]]:
    """`started("serve")`: name and address of a container that is ready."""
    made: list[str] = []

    def start(*words: str, options: tuple[str, ...] = ()) -> tuple[str, str]:
        name = f"image-{len(made)}"
        made.append(name)
        safe = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
        engine.docker(
            "run",
            "--detach",
            "--name",
            name,
            "--network",
            engine.network,
            *safe,
            *options,
            "conform:test",
            *words,
        )
        format_ = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = f"http://{engine.docker('inspect', '--format', format_, name).strip()}:8080"
        end = time.monotonic() + _END
        while not (said := engine.docker("logs", name)):
            assert time.monotonic() < end, engine.docker("inspect", name)
            time.sleep(0.2)
        assert json.loads(said.splitlines()[-1])["ok"], said
        return name, address

    yield start
    for name in made:
        engine.docker("rm", "--force", name)


def ask(url: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read()), answer.headers


@pytest.mark.parametrize("words", [(), ("serve",)], ids=["no word", "serve"])
def test_the_golden_answers_and_the_end(
    engine: Any, started: Callable[..., tuple[str, str]], bundles: Bundles, words: tuple[str, ...]
) -> None:
    name, address = started(*words)
    golden = golden_of(bundles.first)
    answer, headers = ask(f"{address}/v2/models/conform/infer", {"inputs": golden["inputs"]})
    assert compare(golden["outputs"], answer["outputs"], golden["tolerance"]).equal
    assert headers["Mlship-Bundle"] == bundles.first.digest
    assert ask(f"{address}/ping")[0] == {"ready": True}
    engine.docker("stop", "-t", "120", name)
    assert engine.docker("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "0"


def test_who_it_is_and_whether_it_is_well(engine: Any, started: Callable[..., tuple[str, str]]) -> None:
    name, _ = started(options=("--user", "4321:4321", "--env", "MLSHIP_PORT=9090"))
    assert engine.docker("exec", name, "id", "-u").strip() == "4321"
    start = json.loads(engine.docker("inspect", "--format", "{{json .Config.Healthcheck.Test}}", name))
    assert start[0] == "CMD"
    engine.docker("exec", name, *start[1:])  # it finds the port that is said
    assert engine.docker("inspect", "--format", "{{.Config.User}}", "conform:test").strip() == "65532:65532"
    assert not engine.docker("diff", name).strip()


def test_what_is_asked_when_it_is_stopped_is_answered(
    engine: Any, started: Callable[..., tuple[str, str]], bundles: Bundles
) -> None:
    """SIGTERM comes in the middle of a request's body; the rest of it is read, and answered."""
    name, address = started()
    body = json.dumps({"inputs": golden_of(bundles.first)["inputs"]}).encode()
    place = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=_END)
    connection.putrequest("POST", "/v2/models/conform/infer")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:20])
    assert ask(f"{address}/ping")[0] == {"ready": True}  # by then it has the beginning, too
    engine.docker("kill", "--signal", "TERM", name)
    time.sleep(1)
    connection.send(body[20:])
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    golden = golden_of(bundles.first)
    assert compare(golden["outputs"], said["outputs"], golden["tolerance"]).equal
    assert engine.docker("wait", name).strip() == "0"


def test_another_word_is_refused(engine: Any) -> None:
    name = "image-refused"
    engine.docker("run", "--name", name, "--network", "none", "conform:test", "bash", check=False)
    assert engine.docker("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "2"
    engine.docker("rm", name)


def test_a_base_out_of_the_engine(
    engine: Any, kit: tuple[str, Bundles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine gives the layers of its own Debian as the layout has them: the same image comes of it."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.folder}/socket")
    monkeypatch.setenv("MLSHIP_CACHE", str(tmp_path / "cache"))
    bundle, image = f"{kit[0]}/conform@{kit[1].first.digest}", f"{tmp_path}/image:test"
    words = ["image", "build", bundle, "--base", "docker-daemon:debian-host", "--output", image]
    assert main(words) == 0
    assert main(["image", "verify", image, "--base", str(debian_base(tmp_path / "base").folder)]) == 0
    assert main(["image", "verify", "docker-daemon:conform:test", "--base", "docker-daemon:debian-host"]) == 0
