"""Networks of PyTorch become bundles, from a function, from torch.jit.save and from torch.save.

They run in an environment of their own, for PyTorch is not in requirements.lock: 750 MB for these few tests.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

from mlship.errors import BuildError

pytestmark = [pytest.mark.e2e, pytest.mark.builds]
NETWORK = """
import numpy, torch
from sklearn_data import rows, wanted

class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        first, last = torch.nn.Linear(4, 8), torch.nn.Linear(8, 3)
        drop, answer = torch.nn.Dropout(0.5), torch.nn.Softmax(1)
        self.layers = torch.nn.Sequential(first, torch.nn.ReLU(), drop, last, answer)

    def forward(self, x):
        return self.layers(x)

def make():
    torch.manual_seed(0)
    model, at, want = Small(), torch.tensor(rows), torch.tensor(wanted)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.nll_loss(torch.log(model(at)), want).backward()
        optimizer.step()
    return model
"""


def data(root: Path) -> None:
    """Flowers, for the examples and (as a module) for the training in an environment without scikit-learn."""
    rows, wanted = load_iris(return_X_y=True)
    np.savetxt(root / "rows.csv", rows, delimiter=",", header="a,b,c,d", comments="", fmt="%.1f")
    values = f"numpy.array({rows.tolist()}, 'f4')"
    (root / "sklearn_data.py").write_text(f"import numpy\nrows = {values}\nwanted = {wanted.tolist()}\n")


@pytest.fixture
def flowers(project, torch_python: Path):
    """`flowers(source, folder)`: a project whose interpreter has PyTorch."""

    def make(source: str, folder: str = "project") -> Path:
        root = project(
            f'[model]\nsource = "{source}"\n[golden]\nfrom = "rows.csv"\n', folder=folder, net=NETWORK
        )
        text = (root / "mlship.toml").read_text()
        (root / "mlship.toml").write_text(
            text.replace("[project]\n", f'[project]\npython = "{torch_python}"\n')
        )
        data(root)
        return root

    return make


def test_a_function_that_returns_a_network(flowers, build, opened) -> None:
    """In eval(): without the dropout of the training; twice the same digest, in two folders."""
    root = flowers("net:make")
    built = build(root)
    assert built.spec.model["framework"] == "pytorch"
    assert [(o.name, o.datatype, o.shape) for o in built.spec.outputs] == [("output", "FP32", (-1, 3))]
    assert built.spec.assemble == {"X": ("a", "b", "c", "d")}
    assert built.spec.parity["rows"] == 150
    golden = opened(root, built).golden()
    inputs = np.stack([tensor["data"] for tensor in golden["inputs"]], 1)
    rows, wanted = load_iris(return_X_y=True)
    nearest = [int(np.abs(rows - row).sum(1).argmin()) for row in inputs]
    found = np.reshape(golden["outputs"][0]["data"], (-1, 3)).argmax(1)
    assert np.mean(found == wanted[nearest]) > 0.9
    assert build(flowers("net:make", "other")).digest == built.digest


def test_a_saved_script(flowers, build, torch_python: Path) -> None:
    root = flowers("model.pt")
    code = "import torch, net\ntorch.jit.save(torch.jit.script(net.Small().eval()), 'model.pt')\n"
    subprocess.run([torch_python, "-W", "ignore", "-c", code], cwd=root, check=True)
    spec = build(root).spec
    assert (spec.model["framework"], spec.parity["rows"]) == ("pytorch", 150)


EXPORT = """
import torch, net
for name, rows in (("model", {0: torch.export.Dim("rows")}), ("fixed", None)):
    made = torch.export.export(net.Small().eval(), (torch.zeros(2, 4),), dynamic_shapes=(rows,))
    torch.export.save(made, f"logged/data/{name}.pt2")
"""


def test_an_exported_network_in_a_folder_of_mlflow(flowers, build, torch_python: Path) -> None:
    """As `mlflow.pytorch.save_model(…, serialization_format="pt2")` writes it."""
    root = flowers("logged")
    (root / "logged" / "data").mkdir(parents=True)
    said = "flavors:\n  pytorch:\n    code: null\n    model_data: data\n    pytorch_version: 2.13.0\n"
    (root / "logged" / "MLmodel").write_text(said)
    subprocess.run([torch_python, "-W", "ignore", "-c", EXPORT], cwd=root, check=True)
    spec = build(root).spec
    assert (spec.model["framework"], spec.parity["rows"]) == ("pytorch", 150)
    (root / "logged" / "data" / "fixed.pt2").replace(root / "logged" / "data" / "model.pt2")
    with pytest.raises(BuildError, match=r"cannot answer the examples.*Export it with a free number of rows"):
        build(root)


def test_a_network_of_mlflow_with_its_code(flowers, build, torch_python: Path) -> None:
    """As `mlflow.pytorch.save_model(…, code_paths=[…])` writes it: the class is in the folder, not
    in the project."""
    root = flowers("logged")
    for folder in ("data", "code"):
        (root / "logged" / folder).mkdir(parents=True)
    said = "flavors:\n  pytorch:\n    code: code\n    model_data: data\n    pytorch_version: 2.13.0\n"
    (root / "logged" / "MLmodel").write_text(said)
    (root / "logged" / "data" / "pickle_module_info.txt").write_text("mlflow.pytorch.pickle_module")
    save = "import torch, net; torch.save(net.Small(), 'logged/data/model.pth')"
    subprocess.run([torch_python, "-W", "ignore", "-c", save], cwd=root, check=True)
    for module in ("net", "sklearn_data"):
        (root / f"{module}.py").rename(root / "logged" / "code" / f"{module}.py")
    assert build(root).spec.model["framework"] == "pytorch"


def test_weights_alone_are_refused(flowers, build, torch_python: Path) -> None:
    root = flowers("model.pt")
    code = "import torch, net; torch.save(net.Small().state_dict(), 'model.pt')"
    subprocess.run([torch_python, "-c", code], cwd=root, check=True)
    with pytest.raises(BuildError, match=r"model\.pt holds the weights alone"):
        build(root)


def test_images_as_one_array(project, torch_python: Path, build) -> None:
    """A convolution over [rows, 1, 8, 8], whose weights are random: the proof is that both answer alike."""
    code = (
        "import torch\n"
        "def make():\n"
        "    torch.manual_seed(1)\n"
        "    first, last = torch.nn.Conv2d(1, 4, 3), torch.nn.Linear(144, 10)\n"
        "    return torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Flatten(), last)\n"
    )
    toml = '[model]\nsource = "net:make"\n[golden]\nfrom = "rows.npy"\nrows = 32\n'
    root = project(toml, net=code)
    text = (root / "mlship.toml").read_text()
    (root / "mlship.toml").write_text(text.replace("[project]\n", f'[project]\npython = "{torch_python}"\n'))
    np.save(root / "rows.npy", (load_digits().images[:100, None] / 16).astype("f4"))
    spec = build(root).spec
    assert [(o.datatype, o.shape) for o in spec.outputs] == [("FP32", (-1, 10))]
    assert [(i.datatype, i.shape) for i in spec.inputs] == [("FP32", (-1, 1, 8, 8))]
