"""What the command line prints: progress on standard error, results on standard output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from xrai.core import jobs
from xrai.networks.config import worded

Record = dict[str, Any]


def both(job: jobs.Running, show: Callable[[Record], None]) -> Callable[[Record], None]:
    """A sink of records that keeps them in the job's history and shows them."""

    def emit(record: Record) -> None:
        job.emit(record)
        with suppress(OSError):  # the terminal may be gone; the work goes on
            show(record)

    return emit


def print_progress(record: Record) -> None:
    """A line for a record that a build, a run, a sweep or a measurement emits; some are not worth one."""
    if line := _LINES.get(record["kind"]):
        print(line(record), file=sys.stderr)


def with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    """A measure with its 95 % interval."""
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def validation(accuracy: float | None, accuracy_span: Any, auc: float | None, auc_span: Any) -> str:
    """How good a model was found to be on the validation split."""
    return f"validation accuracy {with_interval(accuracy, accuracy_span)}, AUC {with_interval(auc, auc_span)}"


def document(options: argparse.Namespace, values: Any) -> None:
    """Print one JSON document, where that is asked for."""
    if options.json:
        print(json.dumps(values, indent=1, ensure_ascii=False), file=options.stdout, flush=True)


def say(sentence: str) -> int:
    """State an error; gives the exit status."""
    with suppress(OSError):
        print(f"error: {sentence}", file=sys.stderr)
    return 1


def _of_scans(record: Record) -> str:
    """Of a build, which knows how fast it is, or of a measurement."""
    line = f"{record['done']:,} of {record['total']:,} scans"
    if "skipped" not in record:
        return line
    return (
        f"{line}, {record['skipped']:,} skipped, {record['images_per_second']:.0f} a second, "
        f"{record['seconds_left']:.0f} s left"
    )


def _of_step(record: Record) -> str:
    return (
        f"  {record['progress']:.2f} epochs: loss {record['loss']:.4f}, "
        f"{record['images_per_second']:.0f} images/s, {record['seconds_left']:.0f} s left"
    )


def _of_epoch(record: Record) -> str:
    train, val = record["train"], record["val"]
    return (
        f"epoch {record['epoch']}: loss {train['loss']:.4f}, accuracy {train['accuracy']:.3f}; "
        f"validation loss {val['loss']:.4f}, accuracy {with_interval(val['accuracy'], val['accuracy_interval'])}, "
        f"AUC {with_interval(val['auc'], val['auc_interval'])}; {record['seconds']:.0f} s"
    )


def _of_run(record: Record) -> str:
    settings = ", ".join(f"{name.replace('_', ' ')} {worded(value)}" for name, value in record["settings"].items())
    line = f"run {record['number']} of {record['runs']}, “{record['name']}”, {settings}: {record['status']}"
    if val := record["val"]:
        line += "; " + validation(val["accuracy"], val["accuracy_interval"], val["auc"], val["auc_interval"])
    return line + (f"; {record['error']}" if record["error"] else "")


def _of_readiness(record: Record) -> str:
    return f"{record['what']}: {record['done']:,} of {record['total']:,}"


_LINES: dict[str, Callable[[Record], str]] = {
    "progress": _of_scans, "step": _of_step, "epoch": _of_epoch, "run": _of_run, "ready": _of_readiness,
}  # fmt: skip
