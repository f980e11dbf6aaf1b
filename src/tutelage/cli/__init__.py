"""The command line. Thin: each command calls one function and shows what it returned."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from tutelage import __version__
from tutelage.cli import data, fit, guide, judge, match, use
from tutelage.cli.shared import app, out
from tutelage.errors import TutelageError

__all__ = ["app", "data", "fit", "guide", "judge", "main", "match", "use"]

INTERRUPTED = 130  # what typer leaves with after Ctrl-C


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    """Options of every command."""
    if version:
        out.print(__version__)
        raise typer.Exit


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """A user's mistake is one line on standard error and exit code 2."""
    try:
        yield
    except TutelageError as fault:
        print(f"{type(fault).__name__}: {' '.join(str(fault).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as fault:
        if fault.filename is None:  # not of a file that a user named
            raise
        print(f"{type(fault).__name__}: {fault.filename}: {fault.strerror}.", file=sys.stderr)
        raise SystemExit(2) from None
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            print("Interrupted. A run with training.save_every goes on with --resume.", file=sys.stderr)
        raise


def main() -> None:
    """Entry point of the command ``tutelage``."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # no progress bars in logs, ours or other packages'
    with _one_line_errors():
        app()
