"""Background jobs on datasets: build, audit, clean and download; where each lies, and how pages start it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from xrai.core import jobs
from xrai.core.errors import DatasetError, JobError, system_reason
from xrai.core.jobs import Job, JobDetails
from xrai.core.json_files import atomic_file
from xrai.core.language import Message, say
from xrai.core.paths import data_dir
from xrai.data.audit import Audit, load_audit, run_audit, save_audit
from xrai.data.audit.findings import explain_removal
from xrai.data.dataset import (
    BuildConfig,
    Dataset,
    build_dataset,
    copy_without,
    describe_removal,
    find_rows_by_name,
    refuse_existing,
)
from xrai.data.inspect import SourceInspection, inspect_source
from xrai.data.sources import KAGGLE_PREFIX, open_source

EXCEPTIONS_FILE = "kept.txt"
"""In the folder of a cleaning job: scans that stay in the copy, one file name per line."""


def build_folder(dataset: Path) -> Path:
    """The folder of the job that makes a dataset, by building or cleaning."""
    return dataset.parent / ".jobs" / dataset.stem


def audit_folder(dataset: Path) -> Path:
    """The folder of the job that audits a dataset; names of datasets never contain ~."""
    return dataset.parent / ".jobs" / f"{dataset.stem}~audit"


def audit_title(dataset: Path) -> Message:
    """The title of the job that audits a dataset."""
    return say("Audit of {name}", name=dataset.stem)


def download_folder(source: str) -> Path:
    """The folder of the job that downloads a Kaggle set."""
    return data_dir() / ".jobs" / source.replace(":", "-").replace("/", "-")


def download_title(source: str) -> Message:
    """The title of the job that downloads a Kaggle set."""
    return say("Download of {handle}", handle=source.partition(":")[2])


def start_build(
    source: str,
    out: Path,
    *,
    population: str = "",
    licence: str = "",
    finding: str = "",
    exclude_doubtful: bool = False,
    size: int,
    seed: int,
) -> Job:
    """Start to build a dataset; see `data.dataset.BuildConfig` for the settings.

    Raises:
        JobError: one of that name is being made, or the process cannot be started.
    """
    arguments = ["build", source, str(out), "--size", str(size), "--seed", str(seed)]
    arguments += [f"--population={population.strip()}", f"--licence={licence.strip()}"]
    arguments += [f"--finding={finding}"] if finding else []
    arguments += ["--exclude-doubtful"] if exclude_doubtful else []
    return jobs.start(arguments, build_folder(out), title=out.stem, details=JobDetails(writes=str(out)))


def start_audit(dataset: Path) -> Job:
    """Start to audit a dataset.

    Raises:
        JobError: an audit of it runs, or the process cannot be started.
    """
    details = JobDetails(reads=str(dataset))
    return jobs.start(["audit", str(dataset)], audit_folder(dataset), title=audit_title(dataset), details=details)


def start_clean(dataset: Path, out: Path, kinds: Sequence[str], exceptions: Sequence[str] = ()) -> Job:
    """Start to copy a dataset without what its audit suggests to remove.

    Args:
        dataset: the file to copy.
        out: the file to make.
        kinds: of findings whose suggestions are followed.
        exceptions: files in the dataset that stay nevertheless.

    Raises:
        JobError: a dataset of that name is being made, or the process cannot be started.
        DatasetError: the exceptions cannot be written down.
    """
    folder = build_folder(out)
    if Job(folder).is_active:
        raise JobError("“{name}” is being made already: wait until it is done, or choose another name.", name=out.stem)
    arguments = ["clean", str(dataset), str(out)]
    for kind in kinds:
        arguments += ["--kinds", kind]
    if exceptions:
        arguments += ["--keep", str(_write_exceptions(folder, exceptions))]
    details = JobDetails(reads=str(dataset), writes=str(out))
    return jobs.start(arguments, folder, title=out.stem, details=details)


def start_download(source: str) -> Job:
    """Start to download a Kaggle set, `kaggle:OWNER/NAME`.

    Raises:
        JobError: it is being downloaded, or the process cannot be started.
    """
    return jobs.start(["inspect", source], download_folder(source), title=download_title(source))


def _write_exceptions(folder: Path, files: Sequence[str]) -> Path:
    file = folder / EXCEPTIONS_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as partial:
            partial.write_text("\n".join(files), encoding="utf-8")
    except OSError as error:
        raise DatasetError(
            "What is to stay cannot be noted in {folder} ({why}): free some disk space, or check its permissions.",
            folder=folder,
            why=system_reason(error),
        ) from error
    return file


# ---------------------------------------------------------------- the work itself, in the process of the job


def run_build(source: str, out: Path, config: BuildConfig, *, show: Callable[[Any], None]) -> bool:
    """Build a dataset as the job of its folder.

    Args:
        source: see `open_source`.
        out: the file to make.
        config: settings.
        show: takes each record after it is stored.

    Returns:
        Whether the dataset was built; False where the job was stopped.

    Raises:
        DatasetError: `out` exists, or the dataset cannot be built.
        SourceError: the source cannot be used.
        JobError: a dataset of that name is being made.
    """
    refuse_existing(out)  # before the job starts: a page would show it as a failed build
    with jobs.run_job(build_folder(out), title=out.stem, fresh=True) as job:
        emit = job.emitter(show)
        emit({"kind": "start", "source": source})
        with open_source(source, practice_seed=config.seed) as opened:
            return build_dataset(opened, out, config, emit=emit, should_stop=job.should_stop)


def run_inspection(source: str) -> SourceInspection:
    """Inspect a source; a Kaggle set is downloaded first, as a job that pages can watch."""
    is_download = source.startswith(KAGGLE_PREFIX)
    job = jobs.run_job(download_folder(source), title=download_title(source)) if is_download else nullcontext()
    with job, open_source(source) as opened:
        return inspect_source(opened)


def run_audit_job(dataset: Dataset, *, show: Callable[[Any], None]) -> Audit | None:
    """Audit an open dataset as a job and store the audit beside it; None where it was stopped."""
    with jobs.run_job(audit_folder(dataset.path), title=audit_title(dataset.path), fresh=True) as job:
        emit = job.emitter(show)

        def progress(done: int, total: int, what: str) -> None:
            emit({"kind": "progress", "done": done, "total": total, "what": what})

        audit = run_audit(dataset, progress=progress, should_stop=job.should_stop)
        if audit is not None:
            save_audit(audit, dataset.path)
        return audit


def run_clean(
    dataset: Dataset,
    out: Path,
    kinds: Sequence[str],
    *,
    names: Sequence[str] = (),
    exceptions: Sequence[str] = (),
    show: Callable[[Any], None],
) -> int | None:
    """Copy an open dataset, as a job, without suggested and named scans.

    Args:
        dataset: open; audited first where no audit is stored and `kinds` are given.
        out: the file to make.
        kinds: of findings whose suggestions are followed.
        names: files to leave out as well.
        exceptions: files that stay nevertheless.
        show: takes each record after it is stored.

    Returns:
        The number of scans removed; None where the job was stopped.

    Raises:
        DatasetError: `out` exists, a name is not in the dataset, or the copy cannot be made.
        JobError: a dataset of that name is being made.
    """
    refuse_existing(out)
    named_rows = set(find_rows_by_name(dataset, names))
    kept_rows = set(find_rows_by_name(dataset, exceptions))
    audit = (load_audit(dataset) or run_audit_job(dataset, show=show)) if kinds else None
    if kinds and audit is None:
        return None
    suggested_rows = set(audit.rows_to_remove(kinds)) if audit else set()
    applied_kinds = [kind for kind in kinds if audit and audit.rows_to_remove([kind])]
    rows = sorted((named_rows | suggested_rows) - kept_rows)
    reason = explain_removal(applied_kinds, has_list=bool(names), has_exceptions=bool(kept_rows & suggested_rows))
    with jobs.run_job(build_folder(out), title=out.stem, fresh=True) as job:
        note = describe_removal(dataset, rows, reason)
        is_complete = copy_without(dataset, out, rows, note=note, emit=job.emitter(show), should_stop=job.should_stop)
    return len(rows) if is_complete else None
