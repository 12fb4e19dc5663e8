"""What a model file may name: data always, what runs or opens anything never, the rest if it is listed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlship_runtime.errors import InvalidBundle
from mlship_runtime.model import permitted
from mlship_runtime.model.permitted import PLAIN, forbidden, resolve

NEVER = """
os.system posix.system nt.system subprocess.Popen subprocess.check_output builtins.eval builtins.exec
builtins.getattr builtins.__import__ builtins.open builtins.compile builtins.type importlib.import_module
runpy.run_path pty.spawn shutil.rmtree socket.socket ctypes.CDLL pickle.loads _pickle.loads marshal.loads
code.interact timeit.timeit pdb.run cProfile.run bdb.Bdb operator.attrgetter operator.methodcaller
functools.reduce types.FunctionType types.CodeType sys.exit threading.Thread webbrowser.open
urllib.request.urlopen http.client.HTTPSConnection multiprocessing.util.spawnv_passfds asyncio.run
zipfile.ZipFile tempfile.mktemp io.open pathlib.Path glob.glob logging.config.listen sqlite3.connect
idlelib.run.Executive ensurepip._run_pip venv.create lib2to3.pgen2.grammar.Grammar.loads doctest.debug_script
dill.loads cloudpickle.cloudpickle.subimport joblib.load joblib.numpy_pickle.load pip.main
numpy.load numpy.fromfile numpy.testing._private.utils.runstring numpy.f2py.crackfortran.getlincoef
numpy.distutils.exec_command numpy.ctypeslib.load_library pandas.read_pickle pandas.io.pickle.read_pickle
pandas.core.computation.eval.eval scipy.io.loadmat torch.load torch.utils.collect_env.run requests.get
sklearn.datasets.fetch_openml setuptools.setup pkg_resources.run_script paramiko.SSHClient
__main__.Model anything.eval anything.system eval a..b a.b-c mlship_runtime.boot.main
""".split()  # noqa: SIM905 - one a line would be two screens


@pytest.mark.parametrize("name", NEVER)
def test_never(name: str) -> None:
    assert forbidden(name)
    with pytest.raises(InvalidBundle, match="cannot be permitted"):
        resolve(name)


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.pipeline.Pipeline",
        "sklearn.tree._tree.Tree",
        "numpy.log1p",
        "functools.partial",
        "math.log",
        "datetime.date",
        "steps.Clip",
        "xgboost.sklearn.XGBClassifier",
        *sorted(PLAIN),
    ],
)
def test_can_be_permitted(name: str) -> None:
    assert forbidden(name) == ""


def test_without_the_list_of_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Python 3.9: what lies in the library's folder, or in the interpreter, is of it."""
    monkeypatch.delattr(sys, "stdlib_module_names")
    for name in ("os.system", "posix.system", "subprocess.Popen", "email.message.Message", "zipimport.x"):
        assert "standard library" in forbidden(name), name
    assert not forbidden("numpy.log1p")
    assert not forbidden("no_such_package.Model")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that has other people's functions under names of its own."""
    text = (
        "import os\nimport shutil\nfrom os import system as helpful\nfrom subprocess import Popen as Model\n"
    )
    text += "from functools import partial\nclass Own:\n    pass\nNUMBER = 3\n"
    (tmp_path / "innocent_package.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield "innocent_package"
    sys.modules.pop("innocent_package", None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("helpful", "it is posix.system"),
        ("Model", "it is subprocess.Popen"),
        ("os", "no class and no function"),
        ("shutil", "no class and no function"),
        ("NUMBER", "no class and no function"),
        ("gone", "AttributeError"),
    ],
)
def test_another_name_does_not_help(package: str, name: str, said: str) -> None:
    assert not forbidden(f"{package}.{name}")
    with pytest.raises(InvalidBundle) as caught:
        resolve(f"{package}.{name}")
    assert said in str(caught.value)


def test_what_is_there_is_found(package: str) -> None:
    assert resolve(f"{package}.Own").__name__ == "Own"
    assert resolve(f"{package}.partial") is resolve("functools.partial")
    with pytest.raises(InvalidBundle, match=r"the model needs no_such_package\.Model: ModuleNotFoundError"):
        resolve("no_such_package.Model")


def test_every_plain_name_of_this_python_resolves() -> None:
    """Nothing in the list of harmless names is made of something else."""
    for name in sorted(PLAIN - {"builtins.NoneType"}):
        if ".core." in name:  # of numpy 1, which numpy 2 only knows while it reads a pickle
            continue
        assert permitted.resolve(name) is not None, name
