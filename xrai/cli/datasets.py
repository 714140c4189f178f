"""The verbs on datasets: build, inspect, audit, clean."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrai.cli.output import print_json, print_progress
from xrai.cli.paths import expand_path, find_dataset, read_names
from xrai.core.errors import DatasetError, SettingsError
from xrai.core.paths import display_path

if TYPE_CHECKING:
    from xrai.data.audit import Audit


def build(options: argparse.Namespace) -> int:
    """Build an HDF5 dataset from scans."""
    from xrai.data.dataset import BuildConfig
    from xrai.data.jobs import run_build

    names = ("size", "workers", "seed", "population", "licence", "finding", "exclude_doubtful")
    config = BuildConfig(**{name: getattr(options, name) for name in names})
    out = _output_path(options.out)
    if run_build(options.source, out, config, show=print_progress):
        return _print_summary(options, out)
    return _print_stopped(options)


def inspect(options: argparse.Namespace) -> int:
    """Inspect a source before a dataset is built from it."""
    from xrai.data.jobs import run_inspection

    inspection = run_inspection(options.source)
    if options.json:
        print_json(options, inspection.to_dict())
        return 0
    print(f"{inspection.name}: " + ", ".join(f"{count:,} {kind}" for kind, count in inspection.formats.items()))
    for name, row in inspection.counts.items():
        print(f"  {name}: " + ", ".join(f"{split} {count:,}" for split, count in row.items()))
    for line in (*inspection.notes, *(f"cannot be read: {item.file}: {item.reason}" for item in inspection.unreadable)):
        print(f"  {line}")
    return 0


def audit(options: argparse.Namespace) -> int:
    """Audit a dataset and store the audit beside it."""
    from xrai.data.dataset import open_dataset
    from xrai.data.jobs import run_audit_job

    with open_dataset(find_dataset(options.dataset)) as dataset:
        report = run_audit_job(dataset, show=_print_step)
    if report is None:
        print("stopped; nothing was kept", file=sys.stderr)
        print_json(options, {"dataset": dataset.path.stem, "ended": "stopped"})
    elif options.json:
        print_json(options, report.to_dict())
    else:
        _print_audit(report)
    return 0


def clean(options: argparse.Namespace) -> int:
    """Copy a dataset without the scans that its audit or a list names."""
    from xrai.data.audit import DEFAULT_CLEAN_KINDS
    from xrai.data.audit.findings import NEAR
    from xrai.data.dataset import open_dataset
    from xrai.data.jobs import run_clean

    if options.keep_near_duplicates and options.kinds:
        raise SettingsError("Give either --kinds or --keep-near-duplicates, not both.")
    default_kinds = [kind for kind in DEFAULT_CLEAN_KINDS if kind != NEAR or not options.keep_near_duplicates]
    kinds = options.kinds or ([] if options.exclude else default_kinds)
    names, exceptions = read_names(options.exclude), read_names(options.keep)
    out = _output_path(options.out)
    with open_dataset(find_dataset(options.dataset)) as dataset:
        n_removed = run_clean(dataset, out, kinds, names=names, exceptions=exceptions, show=_print_step)
    return _print_stopped(options) if n_removed is None else _print_summary(options, out, removed=n_removed)


def _output_path(text: str) -> Path:
    """The file of a dataset to make.

    Raises:
        DatasetError: its name does not end like that of a dataset.
    """
    out = expand_path(text).resolve()
    if out.suffix.lower() not in (".hdf5", ".h5"):
        raise DatasetError(f"The dataset's name “{out.name}” should end in .hdf5: write {out.stem or 'NAME'}.hdf5.")
    return out


def _print_step(record: dict[str, Any]) -> None:
    """A step of an audit, or the progress of a copy."""
    if "what" in record:
        print(f"{record['done']:3} of {record['total']}: {record['what']}", file=sys.stderr)
    else:
        print_progress(record)


def _print_audit(report: Audit) -> None:
    for finding in report.findings:
        print(f"{finding.severity}: {finding.title}. {finding.sentence}")
        if finding.advice:
            print(f"  {finding.advice}")
    if n := len(report.rows_to_remove()):
        print(f"“clean” would take out {n:,} of {report.n:,} scans")


def _print_stopped(options: argparse.Namespace) -> int:
    print("stopped; nothing was left behind", file=sys.stderr)
    print_json(options, {"dataset": None, "ended": "stopped"})
    return 0


def _print_summary(options: argparse.Namespace, out: Path, **extra: int) -> int:
    """What a dataset that was just made holds."""
    from xrai.data.dataset import open_dataset

    with open_dataset(out) as dataset:
        for note in dataset.notes:
            print(note, file=sys.stderr)
        for item in dataset.skipped:
            print(f"skipped {item.file}: {item.reason}", file=sys.stderr)
        print(f"{display_path(out)}: {len(dataset):,} scans, {len(dataset.skipped):,} skipped", file=sys.stderr)
        summary = {"dataset": str(out), "n": len(dataset), "skipped": len(dataset.skipped), "counts": dataset.counts()}
        print_json(options, summary | extra)
    return 0
