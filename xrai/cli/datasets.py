"""The verbs that make datasets and judge them: build, look, audit, clean."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrai.cli.output import both, document, print_progress
from xrai.cli.places import dataset_path, names_in, path_of
from xrai.core import jobs
from xrai.core.errors import DatasetError, SettingsError
from xrai.core.paths import shown_path
from xrai.data.jobs import audit_folder, audit_title, build_folder, download_folder, download_title

if TYPE_CHECKING:
    from xrai.data.audit import Audit
    from xrai.data.dataset import Dataset


def build(options: argparse.Namespace) -> int:
    """Make an HDF5 dataset from scans."""
    from xrai.data.dataset import BuildConfig, build_dataset, refuse_existing
    from xrai.data.sources import open_source

    config = BuildConfig(options.size, options.workers, options.seed, options.population, options.licence)
    out = _new_dataset(options.out)
    refuse_existing(out)  # before there is a job: a page would show it as a build that failed
    with jobs.running(build_folder(out), title=out.stem) as job:
        (job.folder / jobs.HISTORY).unlink(missing_ok=True)
        emit = both(job, print_progress)
        emit({"kind": "start", "source": options.source})
        with open_source(options.source, practice_seed=config.seed) as source:
            whole = build_dataset(source, out, config, emit=emit, should_stop=job.should_stop)
    if whole:
        _tell(options, out)
        return 0
    return _tell_stopped(options)


def look(options: argparse.Namespace) -> int:
    """Show what a source of scans holds."""
    from xrai.data.inspect import survey
    from xrai.data.sources import KAGGLE, open_source

    job: AbstractContextManager[object] = nullcontext()
    if options.source.startswith(KAGGLE):  # a long download, which a page may want to watch
        job = jobs.running(download_folder(options.source), title=download_title(options.source))
    with job, open_source(options.source) as source:
        found = survey(source)
    if options.json:
        document(options, found.to_dict())
        return 0
    print(f"{found.name}: " + ", ".join(f"{count:,} {kind}" for kind, count in found.formats.items()))
    for name, row in found.counts.items():
        print(f"  {name}: " + ", ".join(f"{split} {count:,}" for split, count in row.items()))
    for line in (*found.notes, *(f"cannot be read: {file}: {reason}" for file, reason in found.unreadable)):
        print(f"  {line}")
    return 0


def audit(options: argparse.Namespace) -> int:
    """Look for what in a dataset would mislead a model or the figures of it."""
    from xrai.data.dataset import open_dataset

    with open_dataset(dataset_path(options.dataset)) as dataset:
        found = _audited(dataset)
    if found is None:
        print("stopped; nothing was kept", file=sys.stderr)
        document(options, {"dataset": dataset.path.stem, "ended": "stopped"})
    elif options.json:
        document(options, found.to_dict())
    else:
        _print_audit(found)
    return 0


def clean(options: argparse.Namespace) -> int:
    """Copy a dataset without the scans that the audit suggests to take out, or that a list names."""
    from xrai.data.dataset import copy_without, open_dataset, refuse_existing, removal_note

    out = _new_dataset(options.out)
    refuse_existing(out)
    with open_dataset(dataset_path(options.dataset)) as dataset:
        chosen = _to_take_out(options, dataset)
        if chosen is None:
            return _tell_stopped(options)
        rows, why = chosen
        with jobs.running(build_folder(out), title=out.stem) as job:
            (job.folder / jobs.HISTORY).unlink(missing_ok=True)
            emit, note = both(job, print_progress), removal_note(dataset, rows, why)
            whole = copy_without(dataset, out, rows, note=note, emit=emit, should_stop=job.should_stop)
    if not whole:
        return _tell_stopped(options)
    _tell(options, out, removed=len(rows))
    return 0


def _new_dataset(given: str) -> Path:
    """The file of a dataset to make.

    Raises:
        DatasetError: it would not be found as a dataset by its name.
    """
    out = path_of(given).resolve()
    if out.suffix.lower() not in (".hdf5", ".h5"):
        raise DatasetError(f"The dataset's name “{out.name}” should end in .hdf5: write {out.stem or 'NAME'}.hdf5.")
    return out


def _audited(dataset: Dataset) -> Audit | None:
    """A new audit, kept beside the dataset; None where it was stopped."""
    with jobs.running(audit_folder(dataset.path), title=audit_title(dataset.path)) as job:
        (job.folder / jobs.HISTORY).unlink(missing_ok=True)
        from xrai.data.audit import audit as audit_of
        from xrai.data.audit import save_audit

        emit = both(job, _print_step)

        def progress(done: int, total: int, what: str) -> None:
            emit({"kind": "progress", "done": done, "total": total, "what": what})

        found = audit_of(dataset, progress=progress, should_stop=job.should_stop)
        if found is not None:
            save_audit(found, dataset.path)
        return found


def _print_step(record: dict[str, Any]) -> None:
    print(f"{record['done']:3} of {record['total']}: {record['what']}", file=sys.stderr)


def _print_audit(found: Audit) -> None:
    for finding in found.findings:
        print(f"{finding.severity}: {finding.title}. {finding.sentence}")
        if finding.advice:
            print(f"  {finding.advice}")
    if n := len(found.suggested()):
        print(f"“clean” would take out {n:,} of {found.n:,} scans")


def _to_take_out(options: argparse.Namespace, dataset: Dataset) -> tuple[list[int], str] | None:
    """The rows to take out, and why in words; None where the audit for it was stopped.

    Raises:
        DatasetError: a named file is not in the dataset.
        SettingsError: the list cannot be read, or options contradict each other.
    """
    from xrai.data.audit import CLEANED, load_audit
    from xrai.data.audit.findings import NEAR, why_taken_out
    from xrai.data.dataset import named_rows

    if options.keep_near_duplicates and options.only:
        raise SettingsError("Give either --only or --keep-near-duplicates: the one already says what the other does.")
    rows = set(named_rows(dataset, names_in(options.without)))
    kept = set(named_rows(dataset, names_in(options.keep)))
    if options.without and not options.only:
        return sorted(rows - kept), "a list named them"
    kinds = options.only or [kind for kind in CLEANED if kind != NEAR or not options.keep_near_duplicates]
    found = load_audit(dataset) or _audited(dataset)
    if found is None:
        return None
    suggested = set(found.suggested(kinds))
    followed = [kind for kind in kinds if found.suggested([kind])]
    why = why_taken_out(followed, listed=bool(rows), some_kept=bool(kept & suggested))
    return sorted((rows | suggested) - kept), why


def _tell_stopped(options: argparse.Namespace) -> int:
    print("stopped; nothing was left behind", file=sys.stderr)
    document(options, {"dataset": None, "ended": "stopped"})
    return 0


def _tell(options: argparse.Namespace, out: Path, **more: int) -> None:
    """What a dataset that was just built holds."""
    from xrai.data.dataset import open_dataset

    with open_dataset(out) as dataset:
        for note in dataset.notes:
            print(note, file=sys.stderr)
        for item in dataset.skipped:
            print(f"skipped {item.file}: {item.reason}", file=sys.stderr)
        print(f"{shown_path(out)}: {len(dataset):,} scans, {len(dataset.skipped):,} skipped", file=sys.stderr)
        summary = {"dataset": str(out), "n": len(dataset), "skipped": len(dataset.skipped), "counts": dataset.counts()}
        document(options, summary | more)
