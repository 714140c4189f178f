"""Writing a model into a zip, to take it elsewhere."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

from xrai.checkpoint import CARD, CONFIG, WEIGHTS, Checkpoint
from xrai.models.folders import check_idle, check_model, stated, whole_file
from xrai.models.notes import NOTE
from xrai.records import HISTORY

EXPORTED = (CONFIG, CARD, WEIGHTS, HISTORY, NOTE)
"""What goes along with a model; its log and evaluations stay, since they name scans."""


def export_model(checkpoint: Checkpoint, out: Path | BinaryIO) -> None:
    """Write a model as a zip that `import_model` takes; a path gets the whole zip or none.

    Raises:
        CheckpointError: it is being trained now, is no finished model, or the zip cannot be written.
    """
    check_idle(checkpoint)  # its weights and its card might belong to different epochs
    check_model(checkpoint)
    with stated(f"The model “{checkpoint.name}” cannot be exported"):
        if not isinstance(out, Path):
            _write_zip(checkpoint, out)
            return
        with whole_file(out) as partial:
            _write_zip(checkpoint, partial)


def _write_zip(checkpoint: Checkpoint, out: Path | BinaryIO) -> None:
    with zipfile.ZipFile(out, "w", strict_timestamps=False) as archive:
        for name in EXPORTED:
            if (file := checkpoint.folder / name).is_file():
                packing = zipfile.ZIP_STORED if name == WEIGHTS else zipfile.ZIP_DEFLATED
                archive.write(file, f"{checkpoint.name}/{name}", packing)
