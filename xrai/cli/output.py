"""What the command line prints: progress on standard error, results on standard output."""

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


def make_emitter(job: jobs.JobContext, print_record: Callable[[Record], None]) -> Callable[[Record], None]:
    """A sink of records that keeps them in the job's history and shows them."""

    def emit(record: Record) -> None:
        job.emit(record)
        with suppress(OSError):  # the terminal may be gone; the work goes on
            print_record(record)

    return emit


def print_progress(record: Record) -> None:
    """A line for a record that a build, a run, a sweep or a measurement emits; some are not worth one."""
    if line := _FORMATTERS.get(record["kind"]):
        print(line(record), file=sys.stderr)


def format_with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    """A measure with its 95 % interval."""
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def format_validation(accuracy: float | None, accuracy_interval: Any, auc: float | None, auc_interval: Any) -> str:
    """How good a model was found to be on the validation split."""
    return f"validation accuracy {format_with_interval(accuracy, accuracy_interval)}, AUC {format_with_interval(auc, auc_interval)}"


def print_json(options: argparse.Namespace, values: Any) -> None:
    """Print one JSON document, where that is asked for."""
    if options.json:
        print(json.dumps(values, indent=1, ensure_ascii=False), file=options.stdout, flush=True)


def print_error(sentence: str) -> int:
    """State an error; gives the exit status."""
    with suppress(OSError):
        print(f"error: {sentence}", file=sys.stderr)
    return 1


def _format_progress(record: Record) -> str:
    """Of a build, which knows how fast it is, or of a measurement."""
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
    return (
        f"epoch {record['epoch']}: loss {train['loss']:.4f}, accuracy {train['accuracy']:.3f}; "
        f"validation loss {val['loss']:.4f}, accuracy {format_with_interval(val['accuracy'], val['accuracy_interval'])}, "
        f"AUC {format_with_interval(val['auc'], val['auc_interval'])}; {record['seconds']:.0f} s"
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
    "progress": _format_progress, "step": _format_step, "epoch": _format_epoch, "run": _format_run, "finalize": _format_finalizing,
}  # fmt: skip
