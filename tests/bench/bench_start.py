"""How quickly mlship starts, as CPU time of whole processes, children included; ends with 1 over a limit.

1. `mlship --help` against `python -c "import typer"`, in turn: at most 1.5 times.
2. A deploy that has nothing to change, on the quickstart: at most 1 s.
3. The only worker of that service killed: seconds by the clock until a new connection is answered: at most 1.
   On a machine that does other things it is they who are measured: the CPU that it took stands beside.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ROUNDS = 5
HELP_LIMIT = 1.5  # times `import typer`
NO_OP_LIMIT = 1.0  # seconds of CPU
BACK_ROUNDS, BACK_LIMIT = 3, 1.0  # seconds
SOUND = 11.0  # seconds of service after which a death counts as the first one again
BIN = Path(sys.prefix, "bin")


def cpu(command: Sequence[str | Path], folder: Path, environment: dict[str, str]) -> float:
    """Seconds of CPU, user and system, of `command` and all it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3f} s ({min(values):.3f} to {max(values):.3f})"


def verdict(what: str, value: float, limit: float) -> bool:
    print(f"{what}: {value:.2f}, limit {limit}: {'held' if value <= limit else 'BROKEN'}")
    return value <= limit


def help_holds(folder: Path, environment: dict[str, str]) -> bool:
    ours: Sequence[str | Path] = (BIN / "mlship", "--help")
    theirs: Sequence[str | Path] = (BIN / "python", "-c", "import typer")
    for command in (ours, theirs):  # byte code and page cache
        cpu(command, folder, environment)
    rounds = [(cpu(ours, folder, environment), cpu(theirs, folder, environment)) for _ in range(ROUNDS)]
    print(f"mlship --help: {spread([one for one, _ in rounds])}")
    print(f"import typer:  {spread([other for _, other in rounds])}")
    ratio = statistics.median(one / other for one, other in rounds)
    return verdict("help / import typer", ratio, HELP_LIMIT)


def service_holds(folder: Path, environment: dict[str, str]) -> bool:
    def mlship(*words: str) -> float:
        return cpu((BIN / "mlship", *words), folder / "first", environment)

    cpu((BIN / "mlship", "init", "first"), folder, environment)
    settings = folder / "first" / "mlship.toml"
    settings.write_text(
        settings.read_text(encoding="utf-8").replace("port = 8080", "port = 0\nworkers = 1"), encoding="utf-8"
    )
    cpu((BIN / "python", "train.py"), folder / "first", environment)
    print(f"build: {mlship('build'):.2f} s of CPU")
    try:
        print(f"first deploy: {mlship('deploy', 'local'):.2f} s of CPU on this side")
        rounds = [mlship("deploy", "local") for _ in range(ROUNDS)]
        said = subprocess.run(
            [BIN / "mlship", "status", "local", "--json"],
            cwd=folder / "first",
            env=environment,
            capture_output=True,
            check=True,
        ).stdout
        port = int(json.loads(said)["result"]["endpoints"][0]["url"].rpartition(":")[2])
        back = [killed(folder, port) for _ in range(BACK_ROUNDS)]
    finally:
        mlship("destroy", "local", "--yes", "--purge")
    print(f"deploy without a change: {spread(rounds)}")
    print(f"killed until answered: {spread([clock for clock, _ in back])}")
    print(f"CPU of the worker that answers: {spread([used for _, used in back])}")
    return all(
        [
            verdict("no-op deploy, seconds of CPU", statistics.median(rounds), NO_OP_LIMIT),
            verdict("worker back, seconds", statistics.median(clock for clock, _ in back), BACK_LIMIT),
        ]
    )


def killed(home: Path, port: int) -> tuple[float, float]:
    """Seconds from the death of the worker until another one answers, and the CPU that this one took."""
    began = time.monotonic()
    os.kill(worker(home), signal.SIGKILL)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=60) as answer:
        answer.read()
    clock = time.monotonic() - began
    words = Path(f"/proc/{worker(home)}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    time.sleep(SOUND)
    return clock, (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def worker(home: Path) -> int:
    """The process that serves what was deployed in `home`."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if b"work" in words and any(word.startswith(os.fsencode(home)) for word in words):
                return int(entry.name)
    raise SystemExit("no worker is there")


def main() -> int:
    # As on a user's machine: byte code is written once, and read from then on.
    own = ("MLSHIP_", "PYTHON")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch:
        folder = Path(scratch)
        environment |= {
            "MLSHIP_HOME": str(folder / "home"),
            "VIRTUAL_ENV": sys.prefix,
            "PATH": f"{BIN}{os.pathsep}{environment.get('PATH', os.defpath)}",
        }
        held = [help_holds(folder, environment), service_holds(folder, environment)]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
