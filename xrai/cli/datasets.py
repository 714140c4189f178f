"""The verbs that make datasets and judge them: build, look, audit, clean."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrai.cli.output import make_emitter, print_json, print_progress
from xrai.cli.paths import expand_path, find_dataset, read_names
from xrai.core import jobs
from xrai.core.errors import DatasetError, SettingsError
from xrai.core.paths import display_path
from xrai.data.jobs import audit_folder, audit_title, build_folder, download_folder, download_title

if TYPE_CHECKING:
    from xrai.data.audit import Audit
    from xrai.data.dataset import Dataset


def build(options: argparse.Namespace) -> int:
    """Make an HDF5 dataset from scans."""
    from xrai.data.dataset import BuildConfig, build_dataset, refuse_existing
    from xrai.data.sources import open_source

    config = BuildConfig(options.size, options.workers, options.seed, options.population, options.licence)
    out = _output_path(options.out)
    refuse_existing(out)  # before there is a job: a page would show it as a build that failed
    with jobs.run_job(build_folder(out), title=out.stem) as job:
        (job.folder / jobs.HISTORY_FILE).unlink(missing_ok=True)
        emit = make_emitter(job, print_progress)
        emit({"kind": "start", "source": options.source})
        with open_source(options.source, practice_seed=config.seed) as source:
            is_complete = build_dataset(source, out, config, emit=emit, should_stop=job.should_stop)
    if is_complete:
        _print_summary(options, out)
        return 0
    return _print_stopped(options)


def inspect(options: argparse.Namespace) -> int:
    """Show what a source of scans holds."""
    from xrai.data.inspect import inspect_source
    from xrai.data.sources import KAGGLE_PREFIX, open_source

    job: AbstractContextManager[object] = nullcontext()
    if options.source.startswith(KAGGLE_PREFIX):  # a long download, which a page may want to watch
        job = jobs.run_job(download_folder(options.source), title=download_title(options.source))
    with job, open_source(options.source) as source:
        inspection = inspect_source(source)
    if options.json:
        print_json(options, inspection.to_dict())
        return 0
    print(f"{inspection.name}: " + ", ".join(f"{count:,} {kind}" for kind, count in inspection.formats.items()))
    for name, row in inspection.counts.items():
        print(f"  {name}: " + ", ".join(f"{split} {count:,}" for split, count in row.items()))
    for line in (*inspection.notes, *(f"cannot be read: {file}: {reason}" for file, reason in inspection.unreadable)):
        print(f"  {line}")
    return 0


def audit(options: argparse.Namespace) -> int:
    """Look for what in a dataset would mislead a model or the figures of it."""
    from xrai.data.dataset import open_dataset

    with open_dataset(find_dataset(options.dataset)) as dataset:
        result = _run_audit(dataset)
    if result is None:
        print("stopped; nothing was kept", file=sys.stderr)
        print_json(options, {"dataset": dataset.path.stem, "ended": "stopped"})
    elif options.json:
        print_json(options, result.to_dict())
    else:
        _print_audit(result)
    return 0


def clean(options: argparse.Namespace) -> int:
    """Copy a dataset without the scans that the audit suggests to take out, or that a list names."""
    from xrai.data.dataset import copy_without, describe_removal, open_dataset, refuse_existing

    out = _output_path(options.out)
    refuse_existing(out)
    with open_dataset(find_dataset(options.dataset)) as dataset:
        removals = _select_removals(options, dataset)
        if removals is None:
            return _print_stopped(options)
        rows, reason = removals
        with jobs.run_job(build_folder(out), title=out.stem) as job:
            (job.folder / jobs.HISTORY_FILE).unlink(missing_ok=True)
            emit, note = make_emitter(job, print_progress), describe_removal(dataset, rows, reason)
            is_complete = copy_without(dataset, out, rows, note=note, emit=emit, should_stop=job.should_stop)
    if not is_complete:
        return _print_stopped(options)
    _print_summary(options, out, removed=len(rows))
    return 0


def _output_path(text: str) -> Path:
    """The file of a dataset to make.

    Raises:
        DatasetError: it would not be found as a dataset by its name.
    """
    out = expand_path(text).resolve()
    if out.suffix.lower() not in (".hdf5", ".h5"):
        raise DatasetError(f"The dataset's name “{out.name}” should end in .hdf5: write {out.stem or 'NAME'}.hdf5.")
    return out


def _run_audit(dataset: Dataset) -> Audit | None:
    """A new audit, kept beside the dataset; None where it was stopped."""
    with jobs.run_job(audit_folder(dataset.path), title=audit_title(dataset.path)) as job:
        (job.folder / jobs.HISTORY_FILE).unlink(missing_ok=True)
        from xrai.data.audit import run_audit as audit_of
        from xrai.data.audit import save_audit

        emit = make_emitter(job, _print_audit_step)

        def progress(done: int, total: int, what: str) -> None:
            emit({"kind": "progress", "done": done, "total": total, "what": what})

        result = audit_of(dataset, progress=progress, should_stop=job.should_stop)
        if result is not None:
            save_audit(result, dataset.path)
        return result


def _print_audit_step(record: dict[str, Any]) -> None:
    print(f"{record['done']:3} of {record['total']}: {record['what']}", file=sys.stderr)


def _print_audit(result: Audit) -> None:
    for finding in result.findings:
        print(f"{finding.severity}: {finding.title}. {finding.sentence}")
        if finding.advice:
            print(f"  {finding.advice}")
    if n := len(result.rows_to_remove()):
        print(f"“clean” would take out {n:,} of {result.n:,} scans")


def _select_removals(options: argparse.Namespace, dataset: Dataset) -> tuple[list[int], str] | None:
    """The rows to take out, and why in words; None where the audit for it was stopped.

    Raises:
        DatasetError: a named file is not in the dataset.
        SettingsError: the list cannot be read, or options contradict each other.
    """
    from xrai.data.audit import DEFAULT_CLEAN_KINDS, load_audit
    from xrai.data.audit.findings import NEAR, explain_removal
    from xrai.data.dataset import find_rows_by_name

    if options.keep_near_duplicates and options.kinds:
        raise SettingsError("Give either --kinds or --keep-near-duplicates, not both.")
    rows = set(find_rows_by_name(dataset, read_names(options.exclude)))
    kept_rows = set(find_rows_by_name(dataset, read_names(options.keep)))
    if options.exclude and not options.kinds:
        return sorted(rows - kept_rows), "a list named them"
    kinds = options.kinds or [kind for kind in DEFAULT_CLEAN_KINDS if kind != NEAR or not options.keep_near_duplicates]
    result = load_audit(dataset) or _run_audit(dataset)
    if result is None:
        return None
    suggested_rows = set(result.rows_to_remove(kinds))
    applied_kinds = [kind for kind in kinds if result.rows_to_remove([kind])]
    reason = explain_removal(applied_kinds, has_list=bool(rows), has_exceptions=bool(kept_rows & suggested_rows))
    return sorted((rows | suggested_rows) - kept_rows), reason


def _print_stopped(options: argparse.Namespace) -> int:
    print("stopped; nothing was left behind", file=sys.stderr)
    print_json(options, {"dataset": None, "ended": "stopped"})
    return 0


def _print_summary(options: argparse.Namespace, out: Path, **extra: int) -> None:
    """What a dataset that was just built holds."""
    from xrai.data.dataset import open_dataset

    with open_dataset(out) as dataset:
        for note in dataset.notes:
            print(note, file=sys.stderr)
        for item in dataset.skipped:
            print(f"skipped {item.file}: {item.reason}", file=sys.stderr)
        print(f"{display_path(out)}: {len(dataset):,} scans, {len(dataset.skipped):,} skipped", file=sys.stderr)
        summary = {"dataset": str(out), "n": len(dataset), "skipped": len(dataset.skipped), "counts": dataset.counts()}
        print_json(options, summary | extra)
