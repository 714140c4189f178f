"""Job folders and titles of the work on datasets: build, audit, download."""

from __future__ import annotations

from pathlib import Path

from xrai.core.language import Message, say
from xrai.core.paths import data_dir


def build_folder(dataset: Path) -> Path:
    """The folder of the job that builds a dataset."""
    return dataset.parent / ".jobs" / dataset.stem


def audit_folder(dataset: Path) -> Path:
    """The folder of the job that audits a dataset; no dataset that a page builds has ~ in its name."""
    return dataset.parent / ".jobs" / f"{dataset.stem}~audit"


def audit_title(dataset: Path) -> Message:
    """The title of the job that audits a dataset."""
    return say("Audit of {stem}", stem=dataset.stem)


def download_folder(source: str) -> Path:
    """The folder of the job that downloads a Kaggle set."""
    return data_dir() / ".jobs" / source.replace(":", "-").replace("/", "-")


def download_title(source: str) -> Message:
    """The title of the job that downloads a Kaggle set."""
    return say("Download of {handle}", handle=source.partition(":")[2])
