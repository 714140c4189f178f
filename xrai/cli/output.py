"""Terminal output: progress on standard error, results on standard output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from xrai.core import jobs
from xrai.training.config import format_value

Record = dict[str, Any]

_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\r\t"}


class PlainStream:
    """A text stream that shows control characters as such.

    Names of folders, classes and files are printed, and a terminal would obey the escape sequences in them.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text without its control characters, but for line ends and tabs."""
        return self._stream.write(text.translate(_CONTROLS))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def make_emitter(job: jobs.JobContext, print_record: Callable[[Record], None]) -> Callable[[Record], None]:
    """A callback that stores a record in the job's history and prints it."""

    def emit(record: Record) -> None:
        job.emit(record)
        with suppress(OSError):  # the terminal may be closed; the work continues
            print_record(record)

    return emit


def print_progress(record: Record) -> None:
    """Print one line for a record of a build, run, sweep or evaluation; some kinds have none."""
    if line := _FORMATTERS.get(record["kind"]):
        print(line(record), file=sys.stderr)


def format_with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    """A metric with its 95 % interval."""
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def format_validation(accuracy: float | None, accuracy_interval: Any, auc: float | None, auc_interval: Any) -> str:
    """Accuracy and AUC on the validation split."""
    accuracy_text = format_with_interval(accuracy, accuracy_interval)
    return f"validation accuracy {accuracy_text}, AUC {format_with_interval(auc, auc_interval)}"


def print_json(options: argparse.Namespace, values: Any) -> None:
    """Print one JSON document if --json is given."""
    if options.json:
        print(json.dumps(values, indent=1, ensure_ascii=False), file=options.stdout, flush=True)


def print_error(sentence: str) -> int:
    """Print an error; returns the exit status."""
    with suppress(OSError):
        print(f"error: {sentence}", file=sys.stderr)
    return 1


def _format_progress(record: Record) -> str:
    """Progress of a build, with its speed, or of an evaluation."""
    line = f"{record['done']:,} of {record['total']:,} scans"
    if "skipped" not in record:
        return line
    return (
        f"{line}, {record['skipped']:,} skipped, {record['images_per_second']:.0f} a second, "
        f"{record['seconds_left']:.0f} s left"
    )


def _format_step(record: Record) -> str:
    return (
        f"  {record['progress']:.2f} epochs: loss {record['loss']:.4f}, "
        f"{record['images_per_second']:.0f} images/s, {record['seconds_left']:.0f} s left"
    )


def _format_epoch(record: Record) -> str:
    train, val = record["train"], record["val"]
    accuracy = format_with_interval(val["accuracy"], val["accuracy_interval"])
    auc = format_with_interval(val["auc"], val["auc_interval"])
    return (
        f"epoch {record['epoch']}: loss {train['loss']:.4f}, accuracy {train['accuracy']:.3f}; "
        f"validation loss {val['loss']:.4f}, accuracy {accuracy}, AUC {auc}; {record['seconds']:.0f} s"
    )


def _format_run(record: Record) -> str:
    settings = ", ".join(
        f"{name.replace('_', ' ')} {format_value(value)}" for name, value in record["settings"].items()
    )
    line = f"run {record['number']} of {record['runs']}, “{record['name']}”, {settings}: {record['status']}"
    if val := record["val"]:
        line += "; " + format_validation(val["accuracy"], val["accuracy_interval"], val["auc"], val["auc_interval"])
    return line + (f"; {record['error']}" if record["error"] else "")


def _format_finalizing(record: Record) -> str:
    return f"{record['stage']}: {record['done']:,} of {record['total']:,}"


_FORMATTERS: dict[str, Callable[[Record], str]] = {
    "progress": _format_progress,
    "step": _format_step,
    "epoch": _format_epoch,
    "run": _format_run,
    "finalize": _format_finalizing,
}
