"""Taking in a model from a zip, which may be damaged or made to harm."""

from __future__ import annotations

import errno
import re
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from xrai.core.errors import CheckpointError, system_reason
from xrai.core.json_files import HISTORY_FILE, flush_tree, replace_file
from xrai.core.language import say
from xrai.models.artifacts import ARTIFACTS_FILE, load_artifacts
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, Checkpoint, check_finite, open_checkpoint
from xrai.models.exporting import EXPORTED_FILES
from xrai.models.folders import IMPORT, check_model, clear_leftovers, convert_disk_errors, new_folder
from xrai.models.history import EpochRecord, best_epoch, iter_history, last_start, records_of
from xrai.models.naming import check_name_free, find_free_name, first_valid_name
from xrai.models.notes import read_note, write_note

MAX_WEIGHTS_BYTES, MAX_TEXT_BYTES = 2 * 1024**3, 64 * 1024**2
MAX_CLASSES = 1000
"""More in an imported card would only fill the memory."""

_CHUNK_BYTES = 1024**2


def import_model(archive: Path | BinaryIO, name: str | None = None) -> Checkpoint:
    """Take in a model that was exported; it is checked first, and whatever fails leaves nothing behind.

    Args:
        archive: the zip; its files lie at the top or in one folder, and unknown ones are left out.
        name: of the new model; None takes that of the folder in the zip, with a number where it is taken.

    Raises:
        CheckpointError: the name is bad or taken, the zip is none, damaged, locked or made to harm, it holds no
            model or a damaged one, or the disk is full.
    """
    if name is not None:
        open_checkpoint(name)
        check_name_free(name)
    zip_name = Path(str(getattr(archive, "name", ""))).name
    shown = f"“{zip_name}”" if zip_name else say("The file")
    clear_leftovers()
    with _open_zip(archive, shown) as zip_file, convert_disk_errors(say("{shown} cannot be imported", shown=shown)):
        folder, members = _find_members(zip_file, shown)
        staging_folder = new_folder(IMPORT)
        try:
            draft = Checkpoint(staging_folder / (name or first_valid_name(folder, Path(zip_name).stem)))
            draft.folder.mkdir()
            for file, info in members.items():
                _extract(zip_file, info, draft.folder / file, shown)
            _check_weights(draft)
            _drop_invalid_files(draft)
            flush_tree(draft.folder)
            return _install(draft, name)
        finally:
            shutil.rmtree(staging_folder, ignore_errors=True)


@contextmanager
def _open_zip(archive: Path | BinaryIO, shown: str) -> Iterator[zipfile.ZipFile]:
    try:
        zip_file = zipfile.ZipFile(archive)
    except OSError as error:
        raise CheckpointError(
            "{shown} cannot be opened ({strerror}): check that it is there, and its rights.",
            shown=shown,
            strerror=system_reason(error),
        ) from error
    except Exception as error:  # a damaged zip fails in many ways, and they share no other base
        raise CheckpointError(
            "{shown} is not a zip that can be read, perhaps because its upload or download broke off: "
            "export the model again.",
            shown=shown,
        ) from error
    with zip_file:
        yield zip_file


def _find_members(archive: zipfile.ZipFile, shown: str) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The folder of the model in a zip, "" for the top, and its files that are known here.

    Raises:
        CheckpointError: the zip is locked or made to harm, or does not hold exactly one model.
    """
    files_by_folder: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for info in archive.infolist():
        _check_member(info, shown)
        path = _member_path(info)
        *folder, name = PurePosixPath(path).parts or [""]
        if path.endswith("/") or name not in EXPORTED_FILES or len(folder) > 1 or "__MACOSX" in folder:
            continue
        files = files_by_folder.setdefault("".join(folder), {})
        if name in files:
            raise _harmful_error(shown, say("holds the same file twice"))
        files[name] = info
    models = {folder: files for folder, files in files_by_folder.items() if CARD in files and WEIGHTS in files}
    if not models:
        raise CheckpointError(
            "{shown} is no exported model of XRAI because it lacks {CARD} or {WEIGHTS}: "
            "choose a zip that was exported on the Models page or the command line.",
            shown=shown,
            CARD=CARD,
            WEIGHTS=WEIGHTS,
        )
    if len(models) > 1:
        raise CheckpointError(
            "{shown} holds more than one model: export each of them to a zip of its own.", shown=shown
        )
    return models.popitem()


def _check_member(info: zipfile.ZipInfo, shown: str) -> None:
    """Refuse an entry that no export of ours has.

    Raises:
        CheckpointError: it is locked, lies outside the zip's folder, is a link, is packed strangely, or is too large.
    """
    if info.flag_bits & 0x41:  # ordinary and strong encryption
        raise CheckpointError("{shown} is locked with a password: make the zip again without one.", shown=shown)
    path = _member_path(info)
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or "\0" in path or ".." in path.split("/"):
        raise _harmful_error(shown, say("holds a path outside its folder"))
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _harmful_error(shown, say("holds a link instead of a file"))
    name = PurePosixPath(path).name
    if name not in EXPORTED_FILES:
        return
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a measure
        raise CheckpointError(
            "{shown} is packed in a way that XRAI does not know: make the zip again with ordinary compression.",
            shown=shown,
        )
    if info.file_size > _max_bytes(name):
        raise _size_error(shown, name)


def _member_path(info: zipfile.ZipInfo) -> str:
    """An entry's path as it stands in the zip, before Python makes it harmless; PowerShell 5.1 writes backslashes."""
    return info.orig_filename.replace("\\", "/")


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, out: Path, shown: str) -> None:
    """Unpack one file, as far as it is allowed to reach: what a zip says of its sizes need not be true.

    Raises:
        CheckpointError: it is damaged or too large.
        OSError: the disk is full.
    """
    remaining_bytes = _max_bytes(out.name)
    with out.open("wb") as file:
        for chunk in _read_chunks(archive, info, shown):
            remaining_bytes -= len(chunk)
            if remaining_bytes < 0:
                raise _size_error(shown, out.name)
            file.write(chunk)


def _read_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str) -> Iterator[bytes]:
    try:
        with archive.open(info) as member:
            while chunk := member.read(_CHUNK_BYTES):
                yield chunk
    except Exception as error:  # zlib.error and lzma.LZMAError share no base but this
        raise CheckpointError(
            "{shown} is damaged, probably because its upload or download broke off: copy it or export the model again.",
            shown=shown,
        ) from error


def _max_bytes(name: str) -> int:
    return MAX_WEIGHTS_BYTES if name == WEIGHTS else MAX_TEXT_BYTES


def _harmful_error(shown: str, what: str) -> CheckpointError:
    return CheckpointError(
        "{shown} {what}, as a zip made to harm does: export the model again, and do not use this file.",
        shown=shown,
        what=what,
    )


def _size_error(shown: str, name: str) -> CheckpointError:
    return CheckpointError(
        "{shown} would unpack {name} to more than {x:,} MB, which no model of XRAI has: export the model again.",
        shown=shown,
        name=name,
        x=_max_bytes(name) // 1024**2,
    )


def _check_weights(draft: Checkpoint) -> None:
    """Refuse weights with which no scan could be read: a plain grey picture is tried.

    Raises:
        CheckpointError: they do not belong to the card, are damaged, or give no number as an answer.
    """
    card = check_model(draft)
    if len(card.classes) > MAX_CLASSES:
        raise CheckpointError(
            "The card of the model “{name}” names {len:,} classes, more than the {MAX_CLASSES:,} "
            "that a model can have here: it is probably damaged, so export the model again.",
            name=draft.name,
            len=len(card.classes),
            MAX_CLASSES=MAX_CLASSES,
        )
    import torch  # takes seconds to import, and pages import this module

    size = card.preprocessing.stored_size
    network = draft.load_network(card)
    with torch.inference_mode():
        logits = network(card.preprocessing(np.full((size, size), 128, np.uint8)))
    check_finite(logits.numpy(), card.name)
    try:
        load_artifacts(draft, card, network.num_features)
    except CheckpointError:
        (draft.folder / ARTIFACTS_FILE).unlink(missing_ok=True)


def _drop_invalid_files(draft: Checkpoint) -> None:
    """Leave out what of the lesser files would break a reader later on."""
    write_note(draft, read_note(draft))
    try:
        draft.read_config()
    except CheckpointError:
        (draft.folder / CONFIG).unlink(missing_ok=True)
    file = draft.folder / HISTORY_FILE
    lines = list(iter_history(file))
    history = [record for record, _ in lines]
    if last_start(history) and (best_epoch(history) or not records_of(EpochRecord, history)):
        file.write_bytes("".join(line for _, line in lines).encode())
    else:
        file.unlink(missing_ok=True)


def _install(draft: Checkpoint, name: str | None) -> Checkpoint:
    if name is not None:
        check_name_free(name)
    checkpoint = open_checkpoint(name or find_free_name(draft.name))
    try:
        replace_file(draft.folder, checkpoint.folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        raise CheckpointError(
            "The name “{name}” was taken meanwhile: import the model again, or choose another name.",
            name=checkpoint.name,
        ) from error
    return checkpoint
