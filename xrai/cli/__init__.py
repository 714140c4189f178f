"""The command line interface: argument parsing and printing over the engine.

`--json` prints one JSON document on standard output and nothing else; progress goes to standard error.
Exit status: 0 done, 1 an error (one sentence on standard error), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any

from xrai.cli.output import PlainStream, print_error
from xrai.cli.parser import make_parser
from xrai.core.errors import XraiError, describe_error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")  # a Windows console may not use UTF-8
    options = make_parser().parse_args(arguments)
    output: Any = PlainStream(sys.stdout)
    errors: Any = PlainStream(sys.stderr)
    options.stdout = output
    with redirect_stdout(errors if options.json else output), redirect_stderr(errors):  # libraries may print
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        return options.run(options)
    except BrokenPipeError:  # the reader of a pipe has closed it
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return 1
    except (XraiError, MemoryError, OSError) as error:
        return print_error(describe_error(error))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1
