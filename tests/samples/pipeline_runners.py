"""Runners of pipelines, here: the steps of a GitHub workflow and of GitLab's jobs in order, by bash, each job
in a fresh clone and home. What others provide (`uses:`) is done as they document it; anything unknown fails.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import string
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_TOKEN = re.compile(r"'[^']*'|&&|\|\||!=|==|[()!,]|[A-Za-z_][A-Za-z0-9_.-]*|\d+|\s+")
_PYTHON = {"&&": " and ", "||": " or ", "!": " not ", "true": "True", "false": "False"}
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


def read_yaml(text: str) -> Any:
    """YAML 1.2, in which `on` is a word."""
    return YAML(typ="safe").load(text)


@dataclass
class Job:
    """How a job ended: of each step that was run its name and exit code, the last one's words, and what it
    gives to others."""

    steps: list[tuple[str, int]] = field(default_factory=list)
    said: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def code(self) -> int:
        return self.steps[-1][1] if self.steps else 0


@dataclass
class Runner:
    """`repository` is cloned at `commit` into a folder of `place` for each job; `kept` are files of artifacts
    by name."""

    repository: Path
    place: Path
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    kept: Path = Path()
    count: int = 0

    def __post_init__(self) -> None:
        self.kept = self.place / "artifacts"

    def clone(self, commit: str) -> tuple[Path, dict[str, str]]:
        """A fresh clone, and the environment of a runner's job."""
        self.count += 1
        root = self.place / f"job-{self.count}"
        git("clone", "--quiet", str(self.repository), str(root / "work"), cwd=self.place)
        git("checkout", "--quiet", commit, cwd=root / "work")
        (root / "home" / ".cache").mkdir(parents=True)
        cache = Path(os.environ["MLSHIP_CACHE"])
        cache.mkdir(parents=True, exist_ok=True)
        (root / "home" / ".cache" / "mlship").symlink_to(cache)
        path = f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(root / "home"), "CI": "true", "LANG": "C.UTF-8"}
        # What is to be installed is: pip may only find that it is there.
        environment |= {
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
        }
        environment["MLSHIP_HOME"] = os.environ["MLSHIP_HOME"]
        return root / "work", environment


def git(*words: str, cwd: Path) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "safe.directory=*"]
    done = subprocess.run(["git", *who, *words], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def bash(script: str, cwd: Path, environment: dict[str, str]) -> tuple[int, str]:
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(
        words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=900,
    )  # fmt: skip
    return done.returncode, done.stdout


class Github(Runner):
    """`run(workflow, job, event, commit)`; `needs` are the outputs of jobs before."""

    def run(
        self,
        workflow: Any,
        name: str,
        event: dict[str, Any],
        commit: str,
        needs: dict[str, Job] | None = None,
    ) -> Job | None:
        """None if the job's condition does not hold."""
        job, done = workflow["jobs"][name], Job()
        known: dict[str, Any] = {
            "github": event, "vars": self.variables, "secrets": self.secrets, "steps": {},
            "needs": {key: {"outputs": value.outputs} for key, value in (needs or {}).items()},
        }  # fmt: skip
        if not said(job.get("if", "true"), known):
            return None
        root, environment = self.clone(commit)
        known["root"] = root
        environment |= {"GITHUB_EVENT_NAME": event["event_name"]}
        environment |= {key: filled(value, known) for key, value in workflow.get("env", {}).items()}
        inner = root / workflow.get("defaults", {}).get("run", {}).get("working-directory", ".")
        for at, step in enumerate(job["steps"]):
            if not said(step.get("if", "true"), known):
                continue
            title = step.get("name", step.get("uses", ""))
            if "uses" in step:
                self.used(step, known, root)
                done.steps.append((title, 0))
                continue
            output, summary = (root.parent / f"{kind}-{at}" for kind in ("output", "summary"))
            own = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
            own |= {key: filled(value, known) for key, value in step.get("env", {}).items()}
            code, done.said = bash(filled(step["run"], known), inner, environment | own)
            done.steps.append((title, code))
            lines = output.read_text().splitlines() if output.exists() else []
            done.summary += summary.read_text() if summary.exists() else ""
            known["steps"][step.get("id", "")] = {"outputs": dict(line.split("=", 1) for line in lines)}
            if code:
                return done
        done.outputs = {key: filled(value, known) for key, value in job.get("outputs", {}).items()}
        return done

    def used(self, step: Any, known: dict[str, Any], root: Path) -> None:
        what, _, release = step["uses"].partition("@")
        given = {key: filled(str(value), known) for key, value in step.get("with", {}).items()}
        assert re.fullmatch(r"v\d+", release), step
        if what == "actions/setup-python":
            assert (root / given["cache-dependency-path"]).is_file()
        elif what == "actions/cache":
            assert re.fullmatch(r"mlship-[a-z0-9-]+-[0-9a-f]{64}", given["key"]), given
        elif what == "actions/upload-artifact":
            assert not any(part.startswith(".") for part in Path(given["path"]).parts)  # it leaves those out
            (self.kept / given["name"]).mkdir(parents=True, exist_ok=True)
            shutil.copy(root / given["path"], self.kept / given["name"])
        elif what == "actions/download-artifact":
            shutil.copytree(self.kept / given["name"], root / given["path"], dirs_exist_ok=True)
        else:
            assert what == "actions/checkout", f"{what} is not known here"


def said(condition: str, known: dict[str, Any]) -> bool:
    return bool(_value(condition, known))


def filled(text: Any, known: dict[str, Any]) -> str:
    def shown(found: re.Match[str]) -> str:
        value = _value(found[1], known)
        return str(value).lower() if isinstance(value, bool) else str(value)

    return _EXPRESSION.sub(shown, str(text))


def _value(expression: str, known: dict[str, Any]) -> Any:
    """GitHub's expression as Python's: what is not there is empty."""
    words, rest = [], _EXPRESSION.sub(r"\1", expression).strip()
    while rest:
        token = _TOKEN.match(rest)
        assert token, f"{rest!r} of {expression!r} is not known here"
        words.append(token[0])
        rest = rest[token.end() :]
    return eval("".join(_python(word) for word in words), {"look": _look, "known": known, "hashed": _hashed})


def _python(word: str) -> str:
    if word in _PYTHON:
        return _PYTHON[word]
    if word == "hashFiles":
        return "(lambda name: hashed(known, name))"
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", word):
        return f"look(known, {word!r})"
    return " " if word.isspace() else word


def _look(known: dict[str, Any], path: str) -> Any:
    value: Any = known
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    return value


def _hashed(known: dict[str, Any], name: str) -> str:
    return hashlib.sha256((known["root"] / name).read_bytes()).hexdigest()


class Gitlab(Runner):
    """`run(pipeline, job, variables, commit)` with the variables that GitLab gives to a pipeline."""

    def run(self, pipeline: Any, name: str, given: dict[str, str], commit: str) -> Job | None:
        """None if no rule holds."""
        own = pipeline[name]
        job = {**pipeline[own["extends"]], **own}
        rule = next((rule for rule in job["rules"] if _holds(rule["if"], given)), None)
        if rule is None:
            return None
        root, environment = self.clone(commit)
        variables = {**given, "CI_PROJECT_DIR": str(root)}
        for key, value in {**job["variables"], **rule.get("variables", {})}.items():
            variables[key] = string.Template(value).substitute(variables)
        cached = Path(variables["MLSHIP_CACHE"])
        cached.parent.mkdir(exist_ok=True)
        cached.symlink_to(os.environ["MLSHIP_CACHE"])
        for needed in job.get("needs", []):
            shutil.copytree(self.kept / needed.replace(":", "-"), root, dirs_exist_ok=True)
        script = "\n".join([*job["before_script"], *job["script"]])
        code, words = bash(script, root, environment | self.variables | self.secrets | variables)
        done = Job(steps=[(name, code)], said=words)
        for path in job["artifacts"]["paths"]:
            if (root / path).exists():
                kept = self.kept / name.replace(":", "-") / path
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / path, kept)
        summary = Path(variables["MLSHIP_SUMMARY"])
        done.summary = summary.read_text() if summary.exists() else ""
        return done


def _holds(rule: str, given: dict[str, str]) -> bool:
    one, two = (side.strip() for side in rule.split("=="))
    sides = [given.get(side[1:], "") if side.startswith("$") else side.strip('"') for side in (one, two)]
    return sides[0] == sides[1] != ""
