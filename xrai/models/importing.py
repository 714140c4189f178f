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
from xrai.core.json_files import HISTORY, replace_file
from xrai.core.language import say
from xrai.models.artifacts import KIT, load_kit
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, Checkpoint, check_finite, open_checkpoint
from xrai.models.exporting import EXPORTED
from xrai.models.folders import IMPORT, check_model, clear_leftovers, new_folder, stated
from xrai.models.naming import check_free, free_variant, usable
from xrai.models.notes import note_of, write_note
from xrai.models.soundness import sound_lines

MAX_WEIGHTS_BYTES, MAX_TEXT_BYTES = 2 * 1024**3, 64 * 1024**2
MAX_CLASSES = 1000
"""More in an imported card would only fill the memory."""

_CHUNK = 1024**2


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
        check_free(name)
    zip_name = Path(str(getattr(archive, "name", ""))).name
    shown = f"“{zip_name}”" if zip_name else say("The file")
    clear_leftovers()
    with _opened(archive, shown) as opened, stated(say("{shown} cannot be imported", shown=shown)):
        folder, members = _members(opened, shown)
        aside = new_folder(IMPORT)
        try:
            draft = Checkpoint(aside / (name or usable(folder, Path(zip_name).stem)))
            draft.folder.mkdir()
            for file, info in members.items():
                _extract(opened, info, draft.folder / file, shown)
            _check_weights(draft)
            _mend(draft)
            return _put_in_place(draft, name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _opened(archive: Path | BinaryIO, shown: str) -> Iterator[zipfile.ZipFile]:
    try:
        opened = zipfile.ZipFile(archive)
    except OSError as error:
        raise CheckpointError(
            say(
                "{shown} cannot be opened ({strerror}): check that it is there, and its rights.",
                shown=shown,
                strerror=system_reason(error),
            )
        ) from error
    except Exception as error:  # a damaged zip fails in many ways, and they share no other base
        raise CheckpointError(
            say(
                "{shown} is not a zip that can be read, perhaps because its upload or download broke off: "
                "export the model again.",
                shown=shown,
            )
        ) from error
    with opened:
        yield opened


def _members(archive: zipfile.ZipFile, shown: str) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The folder of the model in a zip, "" for the top, and its files that are known here.

    Raises:
        CheckpointError: the zip is locked or made to harm, or does not hold exactly one model.
    """
    found: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for info in archive.infolist():
        _check_member(info, shown)
        path = _path(info)
        *folder, name = PurePosixPath(path).parts or [""]
        if path.endswith("/") or name not in EXPORTED or len(folder) > 1 or "__MACOSX" in folder:
            continue
        files = found.setdefault("".join(folder), {})
        if name in files:
            raise _harmful(shown, say("holds the same file twice"))
        files[name] = info
    models = {folder: files for folder, files in found.items() if CARD in files and WEIGHTS in files}
    if not models:
        raise CheckpointError(
            say(
                "{shown} is no exported model of XRAI because it lacks {CARD} or {WEIGHTS}: "
                "choose a zip that was exported on the Models page or the command line.",
                shown=shown,
                CARD=CARD,
                WEIGHTS=WEIGHTS,
            )
        )
    if len(models) > 1:
        raise CheckpointError(
            say("{shown} holds more than one model: export each of them to a zip of its own.", shown=shown)
        )
    return models.popitem()


def _check_member(info: zipfile.ZipInfo, shown: str) -> None:
    """Refuse an entry that no export of ours has.

    Raises:
        CheckpointError: it is locked, lies outside the zip's folder, is a link, is packed strangely, or is too large.
    """
    if info.flag_bits & 0x41:  # ordinary and strong encryption
        raise CheckpointError(say("{shown} is locked with a password: make the zip again without one.", shown=shown))
    path = _path(info)
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or "\0" in path or ".." in path.split("/"):
        raise _harmful(shown, say("holds a path outside its folder"))
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _harmful(shown, say("holds a link instead of a file"))
    name = PurePosixPath(path).name
    if name not in EXPORTED:
        return
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a measure
        raise CheckpointError(
            say(
                "{shown} is packed in a way that XRAI does not know: make the zip again with ordinary compression.",
                shown=shown,
            )
        )
    if info.file_size > _limit(name):
        raise _too_large(shown, name)


def _path(info: zipfile.ZipInfo) -> str:
    """An entry's path as it stands in the zip, before Python makes it harmless; PowerShell 5.1 writes backslashes."""
    return info.orig_filename.replace("\\", "/")


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, out: Path, shown: str) -> None:
    """Unpack one file, as far as it is allowed to reach: what a zip says of its sizes need not be true.

    Raises:
        CheckpointError: it is damaged or too large.
        OSError: the disk is full.
    """
    left = _limit(out.name)
    with out.open("wb") as file:
        for chunk in _chunks(archive, info, shown):
            left -= len(chunk)
            if left < 0:
                raise _too_large(shown, out.name)
            file.write(chunk)


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str) -> Iterator[bytes]:
    try:
        with archive.open(info) as member:
            while chunk := member.read(_CHUNK):
                yield chunk
    except Exception as error:  # zlib.error and lzma.LZMAError share no base but this
        raise CheckpointError(
            say(
                "{shown} is damaged, probably because its upload or download broke off: copy it or export the model "
                "again.",
                shown=shown,
            )
        ) from error


def _limit(name: str) -> int:
    return MAX_WEIGHTS_BYTES if name == WEIGHTS else MAX_TEXT_BYTES


def _harmful(shown: str, what: str) -> CheckpointError:
    return CheckpointError(
        say(
            "{shown} {what}, as a zip made to harm does: export the model again, and do not use this file.",
            shown=shown,
            what=what,
        )
    )


def _too_large(shown: str, name: str) -> CheckpointError:
    return CheckpointError(
        say(
            "{shown} would unpack {name} to more than {x:,} MB, which no model of XRAI has: export the model again.",
            shown=shown,
            name=name,
            x=_limit(name) // 1024**2,
        )
    )


def _check_weights(draft: Checkpoint) -> None:
    """Refuse weights with which no scan could be read: a plain grey picture is tried.

    Raises:
        CheckpointError: they do not belong to the card, are damaged, or give no number as an answer.
    """
    card = check_model(draft)
    if len(card.classes) > MAX_CLASSES:
        raise CheckpointError(
            say(
                "The card of the model “{name}” names {len:,} classes, more than the {MAX_CLASSES:,} "
                "that a model can have here: it is probably damaged, so export the model again.",
                name=draft.name,
                len=len(card.classes),
                MAX_CLASSES=MAX_CLASSES,
            )
        )
    import torch  # takes seconds to import, and pages import this module

    size = card.preprocessing.stored_size
    network = draft.load_network(card)
    with torch.inference_mode():
        logits = network(card.preprocessing(np.full((size, size), 128, np.uint8)))
    check_finite(logits.numpy(), card.name)
    try:
        load_kit(draft, card, network.n_vectors)
    except CheckpointError:
        (draft.folder / KIT).unlink(missing_ok=True)


def _mend(draft: Checkpoint) -> None:
    """Leave out what of the lesser files would break a reader later on."""
    write_note(draft, note_of(draft))
    try:
        draft.config()
    except CheckpointError:
        (draft.folder / CONFIG).unlink(missing_ok=True)
    file = draft.folder / HISTORY
    lines = list(sound_lines(file))
    kinds = {record["kind"] for record, _ in lines}
    has_curves = any(record["kind"] == "epoch" and record["best"] for record, _ in lines)
    if kinds & {"start", "resume"} and (has_curves or "epoch" not in kinds):
        file.write_bytes("".join(line for _, line in lines).encode())
    else:
        file.unlink(missing_ok=True)


def _put_in_place(draft: Checkpoint, name: str | None) -> Checkpoint:
    if name is not None:
        check_free(name)
    checkpoint = open_checkpoint(name or free_variant(draft.name))
    try:
        replace_file(draft.folder, checkpoint.folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        raise CheckpointError(
            say(
                "The name “{name}” was taken meanwhile: import the model again, or choose another name.",
                name=checkpoint.name,
            )
        ) from error
    return checkpoint
