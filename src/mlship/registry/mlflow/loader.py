"""Serves a bundle of mlship inside MLflow: `_load_pyfunc` starts the bundle's own runtime beside MLflow's
process and passes rows on to it. Beneath the folder lie the bundle as an OCI image layout, and code/.

Also a script, in a Python that sees nothing else: `loader.py start FOLDER SCRATCH`. It unpacks the bundle,
checks every byte of it and becomes its server, which proves itself by the golden examples before it answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import weakref
from pathlib import Path
from shutil import rmtree
from typing import Any, NoReturn

FLOOR = "mlship_runtime.zip"
_SETTINGS = {"workers": 1, "readyTimeout": 60.0, "drainTimeout": 5.0}
# Between MLflow's process and the server, so that this one ends with that one, however it ends.
_KEEPER = """
import subprocess, sys, threading
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def watch():
    sys.stdin.buffer.read()
    server.terminate()
threading.Thread(target=watch, daemon=True).start()
sys.exit(server.wait())
"""


def _load_pyfunc(path: str) -> Bundle:
    """What MLflow calls, with the folder of the model."""
    return Bundle(Path(path))


class Bundle:
    """A running bundle. RuntimeError if it does not hold what its digests say, or does not run here."""

    def __init__(self, folder: Path) -> None:
        self._scratch = tempfile.mkdtemp(prefix="mlship-mlflow-")
        try:
            self._server, self._url, self._inputs = _started(folder, self._scratch)
        except BaseException:
            rmtree(self._scratch, ignore_errors=True)
            raise
        self._end = weakref.finalize(self, _ended, self._server, self._scratch)

    def predict(self, model_input: Any, params: Any = None) -> Any:
        """One answer for each row; an object of names where the bundle has several outputs."""
        columns = {entry["name"]: _values(model_input, entry) for entry in self._inputs}
        return _asked(self._url, json.dumps({"inputs": columns}).encode())


def _values(given: Any, entry: dict[str, Any]) -> list[Any]:
    """The values of one input, out of a table, a dict of arrays, or the only array."""
    name, count = entry["name"], len(given)
    if hasattr(given, "columns") or isinstance(given, dict):
        if name not in given:
            rows = count if hasattr(given, "columns") else max(map(len, given.values()))
            return [None] * rows  # an optional column that was left out
        given = given[name]
    values = given.tolist() if hasattr(given, "tolist") else list(given)
    return [_plain(value, entry["datatype"]) for value in values]


def _plain(value: Any, datatype: str) -> Any:
    """A cell in JSON: pandas says NaN where nothing is, and has no whole numbers where some are missing."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(one, datatype) for one in value]
    if value is None or value != value or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, float) and "INT" in datatype and value.is_integer():
        return int(value)
    return value


def _asked(url: str, body: bytes) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/invocations", body, headers)  # noqa: S310 - our own child
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request) as answer:
            return json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        raise ValueError(error.read().decode("utf-8", "replace")) from None


def _started(folder: Path, scratch: str) -> tuple[subprocess.Popen[str], str, list[dict[str, Any]]]:
    """The process that keeps the server, where that answers, and the inputs of the bundle."""
    # Its own copy of this file: MLflow's process may have loaded that of another bundle before.
    folder = folder.resolve()
    script = str(folder / "code" / Path(__file__).name)
    python = [getattr(sys, "_base_executable", "") or sys.executable, "-I", "-S", "-B", "-u"]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": tempfile.gettempdir()}
    server = [*python, script, "start", str(folder), scratch]
    keeper = subprocess.Popen(
        [*python, "-c", _KEEPER, *server],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    for line in keeper.stdout or ():
        try:
            said = json.loads(line)
        except ValueError:  # a reduction step may print
            continue
        if isinstance(said, dict) and said.get("ok"):
            inputs = json.loads(Path(scratch, "inputs.json").read_text(encoding="utf-8"))
            threading.Thread(target=_passed_on, args=(keeper.stdout,), daemon=True).start()
            return keeper, f"http://{said['host']}:{said['port']}", inputs
        if isinstance(said, dict) and "error" in said:
            _ended(keeper, scratch)
            raise RuntimeError(
                ": ".join(said["error"][key] for key in ("what", "cause") if said["error"].get(key))
            )
    keeper.wait()
    raise RuntimeError("the bundle's server ended before it was ready")


def _passed_on(lines: Any) -> None:
    """What the server and its reduction step say goes to MLflow's log: nobody else reads it."""
    with contextlib.suppress(ValueError):  # closed at the end
        for line in lines:
            sys.stderr.write(line)


def _ended(keeper: subprocess.Popen[str], scratch: str) -> None:
    if keeper.stdin:
        keeper.stdin.close()
    try:
        keeper.wait(30)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()
    rmtree(scratch, ignore_errors=True)


def start(folder: Path, scratch: Path) -> None:
    """Unpack the bundle in `folder` to `scratch` and become its server; says so in JSON if it cannot."""
    sys.path.insert(0, str(Path(__file__).with_name(FLOOR)))
    from mlship_runtime.errors import RuntimeFault

    try:
        command = _prepared(folder, scratch)
    except RuntimeFault as fault:
        _give_up(str(fault), fault.exit_code)
    except (OSError, LookupError, ValueError) as error:
        _give_up(f"the folder does not hold a whole bundle: {error}", 4)
    os.execv(command[0], command)  # noqa: S606 - no shell: the interpreter that runs this


def _give_up(why: str, code: int) -> NoReturn:
    print(json.dumps({"ok": False, "error": {"what": why}}), flush=True)  # noqa: T201
    sys.exit(code)


def _prepared(folder: Path, scratch: Path) -> list[str]:
    from mlship_runtime.bundle.extract import extract_layer
    from mlship_runtime.bundle.manifest import read_manifest
    from mlship_runtime.bundle.spec import read_spec
    from mlship_runtime.errors import InvalidBundle, SiteError
    from mlship_runtime.platforms import misfit, this_platform
    from mlship_runtime.supervision.launch import own_command

    def blob(digest: str) -> Path:
        return folder / "blobs" / "sha256" / digest.rpartition(":")[2]

    def document(digest: str) -> bytes:
        data = blob(digest).read_bytes()
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            raise InvalidBundle(
                f"{digest[:19]} is not what its digest says", cause="it was damaged or exchanged"
            )
        return data

    digest = json.loads((folder / "index.json").read_bytes())["manifests"][0]["digest"]
    manifest = read_manifest(document(digest))
    spec = read_spec(document(manifest.spec_layer.digest))
    here = this_platform()
    platform = next((name for name in manifest.platforms if not misfit(name, here)), None)
    if platform is None:
        raise SiteError(f"the bundle is for {', '.join(manifest.platforms)}", cause=f"this is {here}")
    layers = {}
    for layer in manifest.layers_for(platform):
        if layer.is_tar:
            root = layers[layer.digest] = str(scratch / layer.digest.rpartition(":")[2])
            with blob(layer.digest).open("rb") as stream:
                extract_layer(stream, root, spec.files[layer.digest], layer.digest)
    inputs = [{"name": tensor.name, "datatype": tensor.datatype} for tensor in spec.inputs]
    (scratch / "inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    record = {
        "schemaVersion": 1,
        "number": 1,
        "service": spec.name,
        "digest": digest,
        "reference": f"{spec.name}@{digest}",
        "settings": _SETTINGS,
        "settingsDigest": "sha256:" + hashlib.sha256(json.dumps(_SETTINGS).encode()).hexdigest(),
        "manifest": str(blob(digest)),
        "spec": str(blob(manifest.spec_layer.digest)),
        "layers": layers,
        "platform": platform,
    }
    (scratch / "release.json").write_text(json.dumps(record), encoding="utf-8")
    options = ["--release", str(scratch / "release.json"), "--host", "127.0.0.1", "--port", "0"]
    return own_command(record, None, "serve", options)


if __name__ == "__main__":
    start(Path(sys.argv[2]), Path(sys.argv[3]))
