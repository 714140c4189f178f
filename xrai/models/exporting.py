"""Writing a model into a zip, to take it elsewhere."""

from __future__ import annotations

import json
import shlex
import zipfile
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

from xrai.core.json_files import HISTORY_FILE, atomic_file
from xrai.core.language import say
from xrai.models.artifacts import ARTIFACTS_FILE
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, Checkpoint
from xrai.models.folders import check_idle, check_model, convert_disk_errors
from xrai.models.notes import NOTE

EXPORTED_FILES = (CONFIG, CARD, WEIGHTS, ARTIFACTS_FILE, HISTORY_FILE, NOTE)
"""What goes along with a model; its log and evaluations stay, since they name scans."""


def export_model(checkpoint: Checkpoint, out: Path | BinaryIO) -> None:
    """Write a model as a zip that `import_model` takes; a path gets the whole zip or none.

    Raises:
        CheckpointError: it is being trained now, is no finished model, or the zip cannot be written.
    """
    check_idle(checkpoint)  # its weights and its card might belong to different epochs
    check_model(checkpoint)
    with convert_disk_errors(say("The model “{name}” cannot be exported", name=checkpoint.name)):
        if not isinstance(out, Path):
            _write_zip(checkpoint, out)
            return
        with atomic_file(out) as partial:
            _write_zip(checkpoint, partial)


def _write_zip(checkpoint: Checkpoint, out: Path | BinaryIO) -> None:
    with zipfile.ZipFile(out, "w", strict_timestamps=False) as archive:
        for name in EXPORTED_FILES:
            if not (file := checkpoint.folder / name).is_file():
                continue
            if name in (WEIGHTS, ARTIFACTS_FILE):
                archive.write(file, f"{checkpoint.name}/{name}", zipfile.ZIP_STORED)
            elif content := _strip_paths(name, file.read_bytes()):
                info = zipfile.ZipInfo.from_file(file, f"{checkpoint.name}/{name}", strict_timestamps=False)
                archive.writestr(info, content, zipfile.ZIP_DEFLATED)


def _strip_paths(name: str, content: bytes) -> bytes:
    """A file as it is exported: where a dataset lies on this machine, and so who works here, is nobody's business.

    Nothing is left of a `config.json` that cannot be read, since no import would keep it.
    """
    if name not in (CONFIG, CARD):
        return content
    try:
        values = json.loads(content)
        stripped = _strip_config_path(values) if name == CONFIG else _strip_card_paths(values)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return b""
    return content if stripped == values else (json.dumps(stripped, indent=1) + "\n").encode()


def _strip_config_path(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"dataset": _file_name(config["dataset"])}


def _strip_card_paths(card: dict[str, Any]) -> dict[str, Any]:
    """The card with a command that names its dataset without its folder; "" where it cannot be split."""
    training = dict(card["training"])
    try:
        words = shlex.split(training["command"])
    except ValueError:  # an unclosed quotation mark
        words, training["command"] = [], ""
    short_words = [_file_name(word) for word in words]
    if words != short_words:
        training["command"] = shlex.join(short_words)
    return card | {"training": training}


def _file_name(path: str) -> str:
    """The last part of a path that begins at the top of some machine; others stay, since they are below the home."""
    kinds: tuple[type[PurePath], ...] = (PureWindowsPath, PurePosixPath)
    return next((kind(path).name for kind in kinds if kind(path).is_absolute()), path)
