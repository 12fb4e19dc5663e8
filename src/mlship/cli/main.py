"""The program: read the words, make the call, show its result. Errors are caught here and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from mlship.cli.run import Run
from mlship.errors import EXIT_INTERRUPTED, MlshipError, UsageError, of_fault

EXIT_PIPE_CLOSED = 141  # 128 + SIGPIPE, as a shell says it


class _Interrupted(MlshipError):
    exit_code = EXIT_INTERRUPTED
    kind = "interrupted"


def main(words: list[str] | None = None) -> int:
    """Run mlship with `words` (None = those of the process) and return its exit code."""
    run = Run.of(sys.argv[1:] if words is None else words)
    try:
        return _guarded(run)
    except BrokenPipeError:
        # Nobody reads on; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED


def _guarded(run: Run) -> int:
    try:
        code = _work(run)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _report(run, _Interrupted("interrupted"))
    except MlshipError as error:
        return _report(run, error)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place where a surprise becomes one line
        return _report(run, _surprise(run, error))


def _work(run: Run) -> int:
    call = _parse(run)
    if isinstance(call, int):
        return call
    from mlship.cli.limit import limited

    with limited(run):
        result = call()
    run.close()
    from mlship.cli.render import show, summarize

    summarize(run, result)
    show(run, result)
    return run.exit_code


def _parse(run: Run) -> Callable[[], Any] | int:
    """The call that the words ask for, or the exit code if all is done (help, version, completion)."""
    import typer  # here, so that Ctrl-C during its import is caught, too

    from mlship.cli.group import application

    # typer carries click inside itself and does not export its general error.
    complaint: type[Exception] = next(x for x in typer.BadParameter.__mro__ if x.__name__ == "ClickException")
    command = typer.main.get_command(application())
    try:
        called = command.main(
            args=run.words or ["--help"], prog_name="mlship", standalone_mode=False, obj=run
        )
    except complaint as error:
        raise _in_our_words(error) from error
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None
        raise
    return called if callable(called) or isinstance(called, int) else 0


def _in_our_words(error: Any) -> UsageError:
    verb = f" {error.ctx.info_name}" if getattr(error, "ctx", None) and error.ctx.parent else ""
    return UsageError(error.format_message(), fix=f"See mlship{verb} --help")


def _surprise(run: Run, error: Exception) -> MlshipError:
    """What should have been caught further down, in the form of our own errors."""
    from mlship_runtime.errors import RuntimeFault

    if isinstance(error, RuntimeFault):
        known = of_fault(error)
    else:
        again = "" if run.debug else "Run it again with --debug to see where"
        known = MlshipError(f"unexpected {type(error).__name__}", cause=str(error), fix=again)
    known.__cause__ = error
    return known


def _report(run: Run, error: MlshipError) -> int:
    run.close()
    from mlship.cli.complain import complain

    if run.summary is not None:
        from mlship.cli.summary import tell_failure

        tell_failure(run, error)
    complain(run, error)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
