"""What every test starts from: folders of its own, no settings of the user, and servers found or asked for.

`--sample N --seed S` runs one of every kind of the chosen tests, and in it N points at most, the same ones
for the same seed (CI samples the faults so; see sampling.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent / "samples"))

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell's background job ignores Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Read by the tests themselves; every other MLSHIP_ variable is the user's and stays outside.
OURS = ("MLSHIP_REQUIRE", "MLSHIP_TEST_CACHE", "MLSHIP_TEST_PYTHON_ARM64")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample", type=int, default=0, help="run some of every kind of test, with so many points at most"
    )
    parser.addoption("--seed", default="0", help="which ones --sample takes")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a sample, in the order of the files. After -m and -k, which is why it comes last."""
    if not config.getoption("sample"):
        return
    from sampling import one_of_each

    kept = one_of_each(items, config.getoption("seed"))
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_report_header(config: pytest.Config) -> str | None:
    if wanted := config.getoption("sample"):
        return f"sample: of every kind, {wanted} points at most, --seed {config.getoption('seed')}"
    return None


@pytest.fixture
def some(request: pytest.FixtureRequest) -> Any:
    """How much of its table a test takes (sampling.Some)."""
    from sampling import Some

    seed = f"{request.config.getoption('seed')} {request.node.nodeid}"
    return Some(request.config.getoption("sample"), seed)


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the user reaches a test, nor anything a test does the user's folders.

    What was fetched or can be made again (wheels, runtime layers) is kept between runs, since it is named
    by its digest: MLSHIP_TEST_CACHE, else mlship-tests in the user's cache folder.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("MLSHIP_") and name not in OURS:
                patch.delenv(name)
        patch.setenv("DOCKER_CONFIG", str(tmp_path_factory.mktemp("docker")))
        for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "MLFLOW_"))]:
            patch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("NO_COLOR", "FORCE_COLOR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHASHSEED"):
            patch.delenv(name, raising=False)
        cache = os.environ.get("MLSHIP_TEST_CACHE") or Path.home() / ".cache" / "mlship-tests"
        patch.setenv("MLSHIP_CACHE", str(cache))
        patch.setenv("MLSHIP_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MLSHIP_HOME of this test alone: its default registry, its local services, its ledgers."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MLSHIP_HOME", str(home))
    return home


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MLSHIP_CACHE of this test alone: for tests of a first time, or of a cache that is broken."""
    cache = tmp_path / "own-cache"
    monkeypatch.setenv("MLSHIP_CACHE", str(cache))
    return cache


def _can_mount(*words: str) -> bool:
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", *words, folder], capture_output=True)
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return mounted.returncode == 0


def _ext4() -> bool:
    if not shutil.which("mkfs.ext4"):
        return False
    with tempfile.NamedTemporaryFile() as image:
        image.truncate(4 << 20)
        subprocess.run(["mkfs.ext4", "-q", image.name], check=True)
        return _can_mount("-o", "loop", image.name)


def _strace() -> bool:
    """It is here, and may look at processes."""
    return (
        bool(shutil.which("strace"))
        and subprocess.run(["strace", "-qq", "-o", os.devnull, "true"]).returncode == 0
    )


@pytest.fixture(scope="session")
def running() -> Callable[[Path], dict[int, str]]:
    """`running(folder)`: number and words of each process whose command line names `folder`."""

    def listed() -> Iterator[tuple[int, str]]:
        proc = Path("/proc")
        if (proc / "self" / "cmdline").exists():
            for cmdline in proc.glob("[0-9]*/cmdline"):
                with suppress(OSError):  # it ended meanwhile
                    yield (
                        int(cmdline.parent.name),
                        cmdline.read_bytes().replace(b"\0", b" ").decode(errors="replace"),
                    )
            return
        done = subprocess.run(["ps", "-axo", "pid=,args="], capture_output=True, text=True, check=True)
        for number, _, words in (line.strip().partition(" ") for line in done.stdout.splitlines()):
            yield int(number), words

    def naming(folder: Path) -> dict[int, str]:
        return {number: words for number, words in listed() if str(folder) in words}

    return naming


def _azurite() -> bool:
    from cloud_stores import azurite

    return azurite() is not None


def _mlflow() -> bool:
    from mlflow_servers import mlflow_python

    return mlflow_python() is not None


def _zowe() -> bool:
    from zos import zowe

    return zowe() is not None


def _debian_hosts() -> bool:
    from docker_engines import can_run

    return can_run() and _can_mount("-t", "tmpfs", "-o", "size=1M", "none")


def _sshd() -> bool:
    from ssh_server import SSHD

    return SSHD is not None


# Name -> is it here, and what to do when it is not.
TESTBED: dict[str, tuple[Callable[[], bool], str]] = {
    "docker-registry": (lambda: shutil.which("docker-registry") is not None, "make testbed"),
    "skopeo": (lambda: shutil.which("skopeo") is not None, "make testbed"),
    "azurite": (_azurite, "make testbed (npm installs it into the tests' cache)"),
    "mlflow": (_mlflow, "make testbed (pip installs it into an environment in the tests' cache)"),
    "debian-hosts": (_debian_hosts, "make testbed, and run the tests as root (docker.io, debootstrap)"),
    "cobc": (lambda: shutil.which("cobc") is not None, "make testbed (gnucobol3)"),
    "zowe": (_zowe, "make testbed (npm installs @zowe/cli into the tests' cache)"),
    "sshd": (_sshd, "make testbed (openssh-server)"),
    "curl": (lambda: shutil.which("curl") is not None, "make testbed, or install curl"),
    "openssl": (lambda: shutil.which("openssl") is not None, "make testbed, or install openssl"),
    "arm64": (
        lambda: bool(os.environ.get("MLSHIP_TEST_PYTHON_ARM64")),
        "name a Python of this one's version: MLSHIP_TEST_PYTHON_ARM64='qemu-aarch64-static -L ROOT PYTHON'",
    ),
    "tmpfs": (
        lambda: _can_mount("-t", "tmpfs", "-o", "size=1M", "none"),
        "make testbed, and run the tests as root where mounting is allowed",
    ),
    "ext4": (_ext4, "make testbed, and run the tests as root where loop devices can be mounted"),
    "strace": (_strace, "make testbed, where processes may be traced"),
}


@pytest.fixture(scope="session")
def require() -> Callable[[str], None]:
    """`require("tmpfs")` skips the test, saying what to install, or fails it where MLSHIP_REQUIRE names it.

    MLSHIP_REQUIRE is a list of names between commas; "all" names every one.
    """
    demanded = {name.strip() for name in os.environ.get("MLSHIP_REQUIRE", "").split(",")}
    seen: dict[str, bool] = {}

    def check(name: str) -> None:
        here, how = TESTBED[name]
        if name not in seen:
            seen[name] = here()
        if seen[name]:
            return
        if demanded & {name, "all"}:
            pytest.fail(f"{name} is demanded by MLSHIP_REQUIRE and is not here: {how}", pytrace=False)
        pytest.skip(f"{name} is not here: {how}")

    return check


@pytest.fixture(scope="session")
def cloud_of(require: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`cloud_of("s3")`, `cloud_of("azblob")`: the running server (cloud_stores.Cloud), one for all tests."""
    from cloud_stores import Cloud, azure_cloud, s3_cloud

    with ExitStack() as stack:
        running: dict[str, Cloud] = {}

        def of(scheme: str) -> Cloud:
            if scheme == "azblob":
                require("azurite")
            if scheme not in running:
                cloud = s3_cloud() if scheme == "s3" else azure_cloud(tmp_path_factory.mktemp("azurite"))
                running[scheme] = stack.enter_context(cloud)
            return running[scheme]

        yield of


@pytest.fixture(scope="session")
def debian_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hosts' root file system as a base image, in a layout."""
    from docker_engines import debian_base

    return debian_base(tmp_path_factory.mktemp("base") / "debian").folder


@pytest.fixture(scope="session")
def debian(require: Callable[[str], None]) -> Iterator[Any]:
    """debian_hosts.DebianHosts: whole hosts with systemd or without, started when they are asked for."""
    require("debian-hosts")
    from debian_hosts import debian_hosts

    with debian_hosts() as hosts:
        yield hosts


@pytest.fixture(scope="session")
def mlflow_of_all(
    require: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Any]]:
    """`mlflow_of_all()`: the running server (mlflow_servers.MlflowServer), one for all tests."""
    from mlflow_servers import MlflowServer, mlflow_server

    with ExitStack() as stack:
        running: list[MlflowServer] = []

        def of() -> MlflowServer:
            require("mlflow")
            if not running:
                running.append(stack.enter_context(mlflow_server(tmp_path_factory.mktemp("mlflow"))))
            return running[0]

        yield of


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str], None]) -> Iterator[Any]:
    """The running sshd (ssh_server.SshServer) on the loopback, one for all tests."""
    from ssh_server import ssh_server

    require("sshd")
    with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], object]]:
    """`agent(key)`: the agent of this test has that key."""
    where = tmp_path / "agent"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(where))
    running = subprocess.Popen(["ssh-agent", "-D", "-a", str(where)], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not where.exists():
        assert time.monotonic() < end, "ssh-agent does not listen"
        time.sleep(0.02)
    yield lambda key: subprocess.run(["ssh-add", "-q", str(key)], check=True)
    running.terminate()
    running.wait()


@pytest.fixture
def mlflow(mlflow_of_all: Callable[[], Any]) -> Iterator[Any]:
    """The MLflow server; its proxy cuts nothing, and has seen nothing."""
    server = mlflow_of_all()
    server.proxy.cuts.clear()
    server.proxy.seen.clear()
    yield server
    server.proxy.cuts.clear()


@pytest.fixture
def url_of(
    request: pytest.FixtureRequest, tmp_path: Path, cloud_of: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """`url_of("s3")`: of a store that has nothing in it yet, its credentials in the environment."""

    def of(kind: str) -> str:
        if kind == "dir":
            return f"dir://{tmp_path}/store"
        if kind in ("paramiko", "openssh"):
            return str(request.getfixturevalue("sshd").url(tmp_path / "store", kind))
        cloud = cloud_of(kind)
        for name, value in cloud.environment().items():
            monkeypatch.setenv(name, value)
        return str(cloud.fresh())

    return of


@pytest.fixture(params=["dir", "s3", "azblob", "paramiko", pytest.param("openssh", marks=pytest.mark.faults)])
def store_url(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> str:
    """Of a store of each kind, as `url_of` gives it."""
    return url_of(request.param)


@pytest.fixture
def cloud(request: pytest.FixtureRequest, cloud_of: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The server of the scheme that a test is parametrised with (indirect), and its credentials in the
    environment; nothing is cut, nothing seen."""
    cloud = cloud_of(request.param)
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    cloud.proxy.cuts.clear()
    cloud.proxy.seen.clear()
    yield cloud
    cloud.proxy.cuts.clear()


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[str, Any]:
    """The URL of a registry with the conformance kit's bundles (nobody may change it), and the bundles."""
    from kit_bundles import bundles_of_run

    base = tmp_path_factory.getbasetemp()
    return bundles_of_run((base if worker_id == "master" else base.parent) / "kit")


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A kit_bundles.WarmHome for the targets `local` and `here` of a module's tests."""
    from kit_bundles import WarmHome

    return WarmHome(tmp_path_factory.mktemp("warm"))
