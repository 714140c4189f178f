"""What the command line prints: progress on standard error, results on standard output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from xrai import jobs


def both(job: jobs.Running, show: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """A sink of records that keeps them in the job's history and shows them."""

    def emit(record: dict[str, Any]) -> None:
        job.emit(record)
        with suppress(OSError):  # the terminal may be gone; the work goes on
            show(record)

    return emit


def print_progress(record: dict[str, Any]) -> None:
    """A line for a record that a build, a run or a sweep emits."""
    kind = record["kind"]
    if kind == "progress":
        print(
            f"{record['done']:,} of {record['total']:,} scans, {record['skipped']:,} skipped, "
            f"{record['images_per_second']:.0f} a second, {record['seconds_left']:.0f} s left", file=sys.stderr,
        )  # fmt: skip
    elif kind == "run":
        settings = ", ".join(f"{name} {value}" for name, value in record["settings"].items())
        found = f", validation AUC {record['val']['auc']}" if record["val"] else ""
        about = f" ({record['error']})" if record["error"] else ""
        print(
            f"run {record['number']} of {record['runs']}, {record['name']}, {settings}: "
            f"{record['status']}{found}{about}",
            file=sys.stderr,
        )
    elif kind == "epoch":
        train, val = record["train"], record["val"]
        print(
            f"epoch {record['epoch']}: loss {train['loss']:.4f}, accuracy {train['accuracy']:.3f}; "
            f"validation loss {val['loss']:.4f}, accuracy {with_interval(val['accuracy'], val['accuracy_interval'])}, "
            f"AUC {with_interval(val['auc'], val['auc_interval'])}; {record['seconds']:.0f} s", file=sys.stderr,
        )  # fmt: skip
    elif kind == "step":
        print(
            f"  {record['progress']:.2f} epochs: loss {record['loss']:.4f}, "
            f"{record['images_per_second']:.0f} images/s, {record['seconds_left']:.0f} s left", file=sys.stderr,
        )  # fmt: skip


def print_count(done: int, total: int) -> None:
    """How far something is."""
    print(f"{done:,} of {total:,}", file=sys.stderr)


def with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    """A measure with its 95 % interval."""
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def document(options: argparse.Namespace, values: Any) -> None:
    """Print one JSON document, where that is asked for."""
    if options.json:
        print(json.dumps(values, indent=1, ensure_ascii=False), file=options.stdout, flush=True)


def say(sentence: str) -> int:
    """State an error; gives the exit status."""
    with suppress(OSError):
        print(f"error: {sentence}", file=sys.stderr)
    return 1
