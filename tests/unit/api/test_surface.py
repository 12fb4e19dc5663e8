"""What `import mlship` offers, and that it says the same as the command line."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import make_bundle

import mlship
from mlship.api.project import Project
from mlship.cli.main import main
from mlship.errors import BundleError, LockedError, RegistryError, TargetError, UsageError, of_fault
from mlship.registry import open_registry
from mlship.result import to_json
from mlship_runtime import errors as runtime_errors

TOML = (
    '[project]\nname = "churn"\nversion = "1.0"\n[model]\nsource = "m.pkl"\n[targets.here]\ntype = "local"\n'
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project that has built `churn` twice."""
    (tmp_path / "mlship.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    store = open_registry(f"dir://{tmp_path}/.mlship/store")
    for version, model in (("0.9", b"an old model"), ("1.0", b"a model")):
        digest = make_bundle(store, version=version, model=model)
        store.set_tag("churn", version, digest, None)
    return tmp_path


def test_it_is_light() -> None:
    code = (
        "import sys, mlship; assert mlship.__doc__; dir(mlship)\n"
        "heavy = ('mlship.', 'msgspec', 'rich', 'typer')\n"
        "print([x for x in sys.modules if x.startswith(heavy)])\n"
        "mlship.build; print('typer' in sys.modules, 'rich' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nFalse False False\n"


def test_every_verb_is_there_with_words() -> None:
    verbs = {
        name: getattr(mlship, name)
        for name in mlship.__all__
        if name not in ("Project", "MlshipError", "MlshipWarning")
    }
    assert set(verbs) == {name for name in vars(mlship.Project) | inherited() if not name.startswith("_")}
    for name, verb in verbs.items():
        assert "Raises" in (inspect.getdoc(verb) or ""), name
        assert "self" not in inspect.signature(verb).parameters
    assert set(verbs) <= set(dir(mlship))
    with pytest.raises(AttributeError, match="has no attribute 'lunch'"):
        mlship.lunch  # noqa: B018


def inherited() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for room in Project.__mro__:
        found |= {k: v for k, v in vars(room).items() if inspect.isfunction(v)}
    return found


SAME: dict[str, tuple[Callable[[], Any], str]] = {
    "list": (lambda: mlship.list("churn"), "list churn"),
    "inspect": (lambda: mlship.inspect("churn:1.0", files=True), "inspect churn:1.0 --files"),
    "verify": (lambda: mlship.verify("churn:1.0"), "verify churn:1.0"),
    "diff": (lambda: mlship.diff("churn:0.9", "churn:1.0"), "diff churn:0.9 churn:1.0"),
    "status": (lambda: mlship.status("here"), "status here"),
    "history": (lambda: mlship.history("here"), "history here"),
    "tag": (lambda: mlship.tag("churn:1.0", "0.9"), "tag churn:1.0 0.9"),
    "push": (lambda: mlship.push("churn:1.0", "dir://./there"), "push churn:1.0 dir://./there"),
    "a bundle that is not there": (lambda: mlship.verify("churn:7"), "verify churn:7"),
    "a target that is not there": (lambda: mlship.deploy("moon"), "deploy moon"),
    "a wrong reference": (lambda: mlship.pull("Churn:1"), "pull Churn:1"),
    "a bundle that was never a container's": (
        lambda: mlship.build_image("churn:1.0", base="./nowhere"),
        "image build churn:1.0 --base ./nowhere",
    ),
    "nothing live": (lambda: mlship.invoke("here", {"instances": []}), 'invoke here --data {"instances":[]}'),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_result_or_error(project: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    call, words = SAME[name]
    main([*words.split(" "), "--json"])  # what it changes is there when the second one looks
    main([*words.split(" "), "--json"])
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    if not said["ok"]:
        with pytest.raises(mlship.MlshipError) as told:
            call()
        parts = {key: getattr(told.value, key) for key in said["error"]}
        assert (parts, told.value.exit_code) == (said["error"], said["exitCode"])
        return
    result = call()
    assert json.loads(to_json(result)) == said["result"]
    main(words.split(" "))
    assert repr(result) == capfd.readouterr().out.removesuffix("\n")


def test_what_removes_wants_a_yes(project: Path) -> None:
    for call in (lambda: mlship.untag("churn:0.9"), lambda: mlship.destroy("here")):
        with pytest.raises(UsageError, match="needs a yes"):
            call()
    assert mlship.untag("churn:0.9", yes=True).reference == "churn:0.9"


def test_of_another_folder(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert mlship.Project(elsewhere).list().bundles == ()
    assert mlship.Project(project).inspect("churn:1.0").version == "1.0"
    assert repr(mlship.Project("x")) == "Project('x')"


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def phase(self, name: str, total: int | None = None, *, unit: str = "items") -> None:
        self.said.append(name)

    def advance(self, amount: int = 1) -> None:
        self.said.append(str(amount))


def test_progress(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    heard = Heard()
    mlship.Project(progress=heard).verify("churn:1.0")
    assert heard.said
    assert capfd.readouterr().err == ""
    mlship.Project(progress=False).verify("churn:1.0")
    assert capfd.readouterr().err == ""
    mlship.verify("churn:1.0")
    assert heard.said[0] in capfd.readouterr().err


def test_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars where a kernel has widgets; without them, and at the prompt without a terminal, lines."""
    from mlship.cli import progress, terminal

    class ZMQInteractiveShell:
        """As a kernel calls it."""

    class IPython:
        get_ipython = staticmethod(ZMQInteractiveShell)

    monkeypatch.setitem(sys.modules, "IPython", IPython)  # type: ignore[arg-type]
    monkeypatch.setattr(terminal, "find_spec", lambda name: None)
    assert isinstance(progress.choose(silent=False), progress.Lines)
    monkeypatch.setattr(terminal, "find_spec", lambda name: name == "ipywidgets")
    assert isinstance(progress.choose(silent=False), progress.Bars)
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    assert isinstance(progress.choose(silent=False), progress.Lines)


def ask() -> None:
    with pytest.raises(TargetError):
        mlship.invoke("here", [{"a": 1, "target": 2}])


def test_warnings_are_warnings(project: Path) -> None:
    (project / "mlship.toml").write_text(TOML + '[golden]\nfrom = "rows.csv"\ncolumns = ["a"]\n')
    with pytest.warns(mlship.MlshipWarning, match="does not list it: target") as caught:
        ask()
    assert [warning.filename for warning in caught] == [__file__]


def test_faults_of_the_ground_floor_have_their_class() -> None:
    expected = {
        runtime_errors.InvalidBundle: BundleError,
        runtime_errors.BadInput: UsageError,
        runtime_errors.NotReady: TargetError,
        runtime_errors.Fenced: LockedError,
        runtime_errors.StoreFault: RegistryError,
        runtime_errors.SiteError: TargetError,
    }
    for kind, known in expected.items():
        error = of_fault(kind("what", cause="cause", fix="fix"))
        assert (type(error), error.kind, error.exit_code) == (known, kind.kind, kind.exit_code)
        assert str(error) == "what: cause. fix"
