"""The only file that is started by its path: `python -I -S -B -u boot.py VERB --OPTION VALUE`.

It puts its own package first on the search path (isolated Python puts nothing there) and imports only what
the verb needs. Verbs: launch, work, supervise, halt, host, record, serve, score,
scorer, store, records.
"""

import os
import sys

OLDEST = (3, 9)
_VERBS = (
    "launch", "work", "supervise", "halt", "host", "record", "serve", "container", "score", "scorer", "store",
    "records",
)  # fmt: skip
_FROM_BUNDLES = ("work", "record", "serve", "container", "score", "scorer")


def main(arguments):  # written so that Pythons too old for the rest can read it and say so
    # type: (list[str]) -> int
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:2])
        sys.stderr.write(
            "mlship needs Python 3.9 or newer on the host: " + sys.executable + " is " + found + "\n"
        )
        return 6
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    verb = arguments[0] if arguments else ""
    # -B keeps byte code out of bundles. Beside the tools, and in a cache of its own, it is wanted.
    sys.dont_write_bytecode = verb in _FROM_BUNDLES and not sys.pycache_prefix
    from mlship_runtime import errors

    try:
        return _run(verb, arguments)
    except errors.RuntimeFault as fault:
        sys.stderr.write(str(fault) + "\n")
        return fault.exit_code


def _run(verb, arguments):
    # type: (str, list[str]) -> int
    if verb not in _VERBS:
        sys.stderr.write("boot.py knows " + ", ".join(_VERBS) + ", not " + repr(verb) + "\n")
        return 2
    if verb in ("host", "store", "container"):
        return _run_without_options(verb, arguments[1:])
    options = {name[2:]: value for name, value in zip(arguments[1::2], arguments[2::2])}
    if verb == "launch":
        from mlship_runtime.supervision import launch

        return launch.main(options["release"], int(options["index"]))
    if verb == "work":
        from mlship_runtime.supervision import worker

        return worker.main(options["release"], int(options["index"]), options.get("verified", ""))
    if verb in ("supervise", "halt"):
        return _keep(verb, options)
    if verb == "serve":
        from mlship_runtime.supervision import foreground

        port = int(options["port"]) if "port" in options else None
        return foreground.main(options["release"], options["host"], port, options.get("verified", ""))
    if verb == "score":
        from mlship_runtime.scoring import command

        return command.main(
            options["release"], options["job"], options.get("say", ""), options.get("verified", "")
        )
    if verb == "scorer":
        from mlship_runtime.scoring import command

        return command.work(options["release"], options["job"], options["verified"])
    if verb == "records":
        from mlship_runtime.scoring import records_command

        return records_command.main(options["job"], options.get("say", ""))
    from mlship_runtime.model import record

    return record.main(options["job"])


def _keep(verb, options):
    # type: (str, dict[str, str]) -> int
    from mlship_runtime.supervision import halt, supervisor

    if verb == "halt":
        return halt.main(options["service"], options["unit"], options["scope"])
    return supervisor.main(options["service"])


def _run_without_options(verb, words):
    # type: (str, list[str]) -> int
    if verb == "host":
        from mlship_runtime.onhost import command as onhost

        return onhost.main(words[0] if words else "")
    if verb == "store":
        from mlship_runtime.store import session

        return session.main()
    from mlship_runtime.supervision import container

    return container.main(words, os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
