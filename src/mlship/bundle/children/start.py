"""Started by its path in the project's interpreter: `python start.py JOB.json`.

Makes this folder and mlship_runtime importable by explicit location, so that no folder of mlship's own
environment comes onto the project's search path. Old Pythons must be able to read it: no annotations.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="arg-type,union-attr"

import importlib
import importlib.util
import json
import os
import sys

OLDEST = (3, 9)


def main(job_file):
    with open(job_file) as file:  # noqa: PTH123
        job = json.load(file)
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        error = {
            "what": "the project's interpreter is Python " + found,
            "cause": "mlship needs 3.9 or newer",
            "fix": "Name another one in mlship.toml: [project] python",
        }
        with open(job["result"], "w") as file:  # noqa: PTH123
            json.dump({"ok": False, "error": error}, file)
        return
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    if sys.path and os.path.abspath(sys.path[0] or ".") == here:  # noqa: PTH100
        del sys.path[0]
    _register("mlship_runtime", job["groundFloor"])
    _register("mlship_children", here)
    importlib.import_module("mlship_children." + job["work"]).main(job)


def _register(name, folder):
    spec = importlib.util.spec_from_file_location(
        name,
        os.path.join(folder, "__init__.py"),  # noqa: PTH118
        submodule_search_locations=[folder],
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main(sys.argv[1])
