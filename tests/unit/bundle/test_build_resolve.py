"""What is asked of uv, and what is read from its answers; uv itself does not run here."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from mlship.bundle.lock import LockedRuntime
from mlship.bundle.packages import resolve, runtime
from mlship.bundle.packages.platforms import named, wanted
from mlship.bundle.packages.resolve import Resolved, Wheel, requirements_of
from mlship.config import parse_project
from mlship.errors import BuildError
from mlship.progress import SILENT

PYLOCK = """
lock-version = "1.0"
[[packages]]
name = "numpy"
version = "2.4.6"
[[packages.wheels]]
url = "https://index.test/ab/numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl"
hashes = { sha256 = "aa" }
[[packages]]
name = "protobuf"
version = "7.0"
wheels = [
  { url = "https://index.test/protobuf-7.0-py3-none-any.whl", hashes = { sha256 = "bb" } },
  { url = "https://index.test/protobuf-7.0-cp310-abi3-manylinux2014_x86_64.whl", hashes = { sha256 = "cc" } },
]
"""
LINUX = wanted("linux/amd64", "3.11")


@pytest.fixture
def uv(monkeypatch: pytest.MonkeyPatch):
    """Stands for uv: `calls` hold what it was started with, `answer` is what it says."""
    stand_in = SimpleNamespace(calls=[], answer=(0, PYLOCK, ""))

    def run(argv, **named):
        stand_in.calls.append(SimpleNamespace(argv=argv, **named))
        stand_in.constraints = Path(argv[argv.index("--constraints") + 1]).read_text()
        code, out, err = stand_in.answer
        return subprocess.CompletedProcess(argv, code, out.encode(), err.encode())

    monkeypatch.setattr(resolve.subprocess, "run", run)
    return stand_in


def test_platforms_in_three_tongues() -> None:
    arm, mac = wanted("linux/arm64", "3.12"), wanted("macos/arm64", "3.11")
    assert (LINUX.name, LINUX.uv_platform) == ("linux-amd64-cp311-gnu2.28", "x86_64-manylinux_2_28")
    assert (arm.name, arm.uv_platform) == ("linux-arm64-cp312-gnu2.28", "aarch64-manylinux_2_28")
    assert (mac.name, mac.uv_platform) == ("macos-arm64-cp311-14", "aarch64-apple-darwin")
    assert mac.environment == {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
    assert named(arm.name) == arm
    with pytest.raises(BuildError):
        named("windows-amd64-cp311")


def test_the_wheel_with_native_code_is_taken(uv) -> None:
    found = resolve.resolve(["numpy"], LINUX, {})
    assert [wheel.sha256 for wheel in found.wheels] == ["aa", "cc"]
    assert found.wheels[0] == Wheel(
        "numpy", "2.4.6", "numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl", "aa"
    )
    assert found.urls["cc"].endswith("abi3-manylinux2014_x86_64.whl")


def test_uv_is_kept_from_configuration_downloads_and_source_builds(
    uv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@index.test/simple")
    resolve.resolve(["numpy>=2", "orjson"], LINUX, {"numpy": "2.4.6"})
    (call,) = uv.calls
    assert {"--no-config", "--no-build"} <= set(call.argv)
    assert call.argv[call.argv.index("--python-platform") + 1] == "x86_64-manylinux_2_28"
    assert call.env["UV_PYTHON_DOWNLOADS"] == "never"
    assert call.env["UV_DEFAULT_INDEX"] == "https://me:secret@index.test/simple"
    assert not any("secret" in word for word in call.argv)
    assert call.input == b"numpy>=2\norjson\n"
    assert uv.constraints == "numpy==2.4.6\n"


NO_WHEEL = """error: No solution found when resolving dependencies
  cause: Because onnxruntime==1.31.1 has no wheels with a matching platform tag (e.g., `x`) and you require \
onnxruntime==1.31.1, we can conclude that your requirements are unsatisfiable.

hint: Wheels are available for `onnxruntime` (v1.31.1) on the following platforms: `win_amd64`
"""
SOURCE_ONLY = """error: No solution found when resolving dependencies
  cause: Because all versions of pyspark have no usable wheels and you require pyspark, we can conclude that \
your requirements are unsatisfiable.

hint: Wheels are required for `pyspark` because building from source is disabled for all packages
"""
UNKNOWN = """error: No solution found when resolving dependencies
  cause: Because nosuch was not found in the package registry and you require nosuch, we can conclude that \
your requirements are unsatisfiable.
"""
UNREACHABLE = """error: Request failed after 3 retries in 12.1s
  cause: Failed to fetch: http://me:secret@127.0.0.1:9/simple/numpy/
  cause: tcp connect error
"""
OFFLINE = """error: No solution found when resolving dependencies
  cause: Because polars was not found in the cache and you require polars, we can conclude that your \
requirements are unsatisfiable.

hint: Packages were unavailable because the network was disabled.
"""


@pytest.mark.parametrize(
    ("said", "cause", "fix"),
    [
        (
            NO_WHEEL,
            "onnxruntime==1.31.1 has no wheels with a matching platform tag (e.g., `x`) and you require "
            "onnxruntime==1.31.1; there are some for `win_amd64`",
            "Name a version of onnxruntime that has wheels there, or drop linux/amd64 from [runtime]",
        ),
        (
            SOURCE_ONLY,
            "all versions of pyspark have no usable wheels",
            "Name a version of pyspark that has wheels there, or drop linux/amd64 from [runtime]",
        ),
        (
            UNKNOWN,
            "nosuch was not found in the package registry",
            "Correct its name in [runtime] requirements",
        ),
        (UNREACHABLE, "Failed to fetch: http://127.0.0.1:9/simple/numpy/", "Check the network"),
        (OFFLINE, "polars was not found in the cache", "Packages were unavailable because the network"),
    ],
)
def test_uvs_own_hint_is_shown_and_no_password(uv, said: str, cause: str, fix: str) -> None:
    uv.answer = (1, "", said)
    with pytest.raises(BuildError) as caught:
        resolve.resolve(["numpy"], LINUX, {})
    assert caught.value.what == "no set of wheels for linux-amd64-cp311-gnu2.28"
    assert caught.value.cause.startswith(cause)
    assert "we can conclude" not in caught.value.cause
    assert caught.value.fix.startswith(fix)


def test_packages_that_have_no_wheel_or_no_hash_are_refused(uv) -> None:
    uv.answer = (0, '[[packages]]\nname = "a"\nversion = "1"\narchive = { url = "https://x/a.zip" }\n', "")
    with pytest.raises(BuildError, match="a has no wheel"):
        resolve.resolve(["a"], LINUX, {})
    uv.answer = (0, '[[packages]]\nname = "a"\nversion = "1"\nwheels = [{ url = "https://x/a-1.whl" }]\n', "")
    with pytest.raises(BuildError, match=r"no sha256 for a-1\.whl"):
        resolve.resolve(["a"], LINUX, {})


def test_requirements_are_sorted_and_plain() -> None:
    found = requirements_of(["pandas >=2, <3", "scikit-learn"])
    assert set(resolve.RUNTIME) < set(found)
    assert "pandas >=2, <3" in found
    assert list(found) == sorted(found)
    bad = [
        "-r more.txt",
        "--index-url=https://x",
        "./local",
        "pkg @ file:///x",
        "git+https://x",
        "https://x/a.whl",
    ]
    for text in bad:
        with pytest.raises(BuildError, match="only names with versions"):
            requirements_of([text])


def test_a_wheel_is_found_again_at_its_exact_version(uv) -> None:
    wheel = Wheel("protobuf", "7.0", "protobuf-7.0-py3-none-any.whl", "bb")
    assert resolve.locate([wheel], "3.11")["bb"] == "https://index.test/protobuf-7.0-py3-none-any.whl"
    (call,) = uv.calls
    assert {"--universal", "--no-deps"} <= set(call.argv)
    assert call.input == b"protobuf==7.0\n"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch):
    """Each resolution that `settle` asks for: (platform, pins)."""
    calls = []

    def answer(requirements, platform, pins):
        calls.append((platform.name, dict(pins)))
        if pins.get("numpy") == "0.1":
            raise BuildError("no set of wheels")
        version = pins.get("numpy", "3.0")
        return Resolved((Wheel("numpy", version, "n.whl", platform.name + version),), {})

    monkeypatch.setattr(runtime, "resolve", answer)
    return calls


def settle(tmp_path: Path, toml: str, locked: LockedRuntime | None, upgrade: bool = False) -> LockedRuntime:
    text = '[project]\nname = "p"\n[model]\nsource = "m"\n[runtime]\npython = "3.11"\n' + toml
    project = parse_project(text, root=tmp_path)
    return runtime.settle(project, locked, "sha256:g", upgrade=upgrade, progress=SILENT).locked


def test_the_first_platforms_versions_bind_the_others(asked, tmp_path: Path) -> None:
    settle(tmp_path, 'platforms = ["linux/arm64", "linux/amd64"]\n', None)
    assert asked == [
        ("linux-arm64-cp311-gnu2.28", {}),
        ("linux-amd64-cp311-gnu2.28", {"numpy": "3.0"}),
    ]


def test_the_lock_is_repeated_until_something_is_asked_that_it_does_not_have(asked, tmp_path: Path) -> None:
    one = 'platforms = ["linux/amd64"]\n'
    first = settle(tmp_path, one, None)
    del asked[:]
    assert settle(tmp_path, one, first) == first
    assert asked == []
    assert settle(tmp_path, "", first).platforms == first.platforms  # nothing stated: as locked
    assert asked == []
    settle(tmp_path, one + 'requirements = ["pandas"]\n', first)
    assert asked == [("linux-amd64-cp311-gnu2.28", {"numpy": "3.0"})]  # near the lock
    del asked[:]
    settle(tmp_path, one, first, upgrade=True)
    assert asked == [("linux-amd64-cp311-gnu2.28", {})]


def test_versions_that_contradict_new_requirements_are_let_go(asked, tmp_path: Path) -> None:
    one = 'platforms = ["linux/amd64"]\n'
    first = settle(tmp_path, one, None)
    old = msgspec.structs.replace(first.platforms["linux-amd64-cp311-gnu2.28"][0], version="0.1")
    first = msgspec.structs.replace(first, platforms={"linux-amd64-cp311-gnu2.28": (old,)})
    del asked[:]
    found = settle(tmp_path, one + 'requirements = ["numpy>=3"]\n', first)
    assert [pins for _, pins in asked] == [{"numpy": "0.1"}, {}]
    assert found.pins == {"numpy": "3.0"}
