"""The verbs that make datasets: build, look."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from xrai import jobs
from xrai.cli.output import both, document, print_progress
from xrai.cli.places import path_of
from xrai.errors import DatasetError
from xrai.settings import shown_path


def build(options: argparse.Namespace) -> int:
    """Make an HDF5 dataset from scans."""
    from xrai.dataset import BuildConfig, build_dataset, refuse_existing
    from xrai.sources import open_source

    config = BuildConfig(options.size, options.workers, options.seed, options.population, options.licence)
    out = path_of(options.out).resolve()
    if out.suffix.lower() not in (".hdf5", ".h5"):
        raise DatasetError(f"The dataset's name “{out.name}” should end in .hdf5: write {out.stem or 'NAME'}.hdf5.")
    refuse_existing(out)  # before there is a job: a page would show it as a build that failed
    with jobs.running(jobs.build_folder(out), title=out.stem) as job:
        (job.folder / jobs.HISTORY).unlink(missing_ok=True)
        emit = both(job, print_progress)
        emit({"kind": "start", "source": options.source})
        with open_source(options.source, practice_seed=config.seed) as source:
            whole = build_dataset(source, out, config, emit=emit, should_stop=job.should_stop)
    if whole:
        _tell(options, out)
    else:
        print("stopped; nothing was left behind", file=sys.stderr)
        document(options, {"dataset": None, "ended": "stopped"})
    return 0


def look(options: argparse.Namespace) -> int:
    """Show what a source of scans holds."""
    from xrai.sources import KAGGLE, open_source
    from xrai.survey import survey

    job: AbstractContextManager[object] = nullcontext()
    if options.source.startswith(KAGGLE):  # a long download, which a page may want to watch
        title = f"Download of {options.source.removeprefix(KAGGLE)}"
        job = jobs.running(jobs.download_folder(options.source), title=title)
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


def _tell(options: argparse.Namespace, out: Path) -> None:
    """What a dataset that was just built holds."""
    from xrai.dataset import open_dataset

    with open_dataset(out) as dataset:
        for note in dataset.notes:
            print(note, file=sys.stderr)
        for item in dataset.skipped:
            print(f"skipped {item.file}: {item.reason}", file=sys.stderr)
        print(f"{shown_path(out)}: {len(dataset):,} scans, {len(dataset.skipped):,} skipped", file=sys.stderr)
        summary = {"dataset": str(out), "n": len(dataset), "skipped": len(dataset.skipped), "counts": dataset.counts()}
        document(options, summary)
