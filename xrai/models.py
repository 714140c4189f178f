"""The models in `checkpoints/`: tell them apart, rename, note, choose the default, export, import, delete."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

from xrai.checkpoint import CARD, CONFIG, WEIGHTS, Card, Checkpoint, list_checkpoints, list_models, open_checkpoint
from xrai.config import defaults
from xrai.errors import CheckpointError
from xrai.jobs import ACTIVE, Job, Status
from xrai.records import HISTORY, replace_file, write_json
from xrai.settings import checkpoints_dir

SHIPPED = "pneumonia"
"""The model that comes with XRAI, and the default as long as nobody chose another."""

DEFAULT, NOTE = "default.json", "note.txt"
MAX_NOTE = 2000

EXPORTED = (CONFIG, CARD, WEIGHTS, HISTORY, NOTE)
"""What goes along with a model; its log and evaluations stay, since they name scans."""

MAX_WEIGHTS_BYTES, MAX_TEXT_BYTES = 2 * 1024**3, 64 * 1024**2
MAX_CLASSES = 1000
"""More in an imported card would only fill the memory."""

_DELETED, _IMPORT = ".deleted-", ".import-"
_STALE_SECONDS = 24 * 3600
"""No import takes so long: what is older was left by a process that died."""

_CHUNK = 1024**2
_MOST_BRACKETS = 100
"""A record with more of them may be nested deeper than a reader can follow."""

Numbers = tuple[float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Summary:
    """A run or model as the table of all of them shows it.

    Attributes:
        name: the folder's.
        status: how its job stands.
        is_model: whether scans can be read with it.
        is_default: whether they are, as long as nobody chooses another.
        note: what people wrote about it.
        dataset: path, as it was asked for, or name.
        classes: in the order of the network's outputs; None where there is no card.
        config: training settings; {} where they cannot be read.
        accuracy, accuracy_interval, auc, auc_interval, n_validation: of the best epoch on validation.
        epochs_run, seconds: of the training.
        size_bytes: of the weights.
        created: ISO time of the card, else of the run's start.
        problem: the sentence of why its card or config cannot be read, else "".
    """

    name: str
    status: Status
    is_model: bool
    is_default: bool
    note: str
    dataset: str
    classes: tuple[str, ...] | None
    config: dict[str, Any]
    accuracy: float | None
    accuracy_interval: Numbers | None
    auc: float | None
    auc_interval: Numbers | None
    n_validation: int | None
    epochs_run: int | None
    seconds: float | None
    size_bytes: int | None
    created: str | None
    problem: str


def summaries() -> list[Summary]:
    """Every run and model, newest first; a broken one says so in its `problem`."""
    default = default_model()
    return [_summary(item, is_default=item == default) for item in list_checkpoints()]


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which some runs differ, in TrainConfig's order; one that is missing has its default."""
    usual = defaults()
    return [
        name
        for name, value in usual.items()
        if any(config.get(name, value) != configs[0].get(name, value) for config in configs[1:])
    ]


def default_model() -> Checkpoint | None:
    """The model to read scans with: the chosen one, else the shipped one, else the newest, else none."""
    for name in (_chosen_name(), SHIPPED):
        if name and (checkpoint := open_checkpoint(name)).is_model:
            return checkpoint
    return next(iter(list_models()), None)


def set_default(checkpoint: Checkpoint) -> None:
    """Choose the model that scans are read with.

    Raises:
        CheckpointError: it is no finished model, its card is damaged, or the choice cannot be written down.
    """
    _check_model(checkpoint)
    with _stated(f"The model “{checkpoint.name}” cannot be made the default"):
        _choose(checkpoint)


def rename(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """Give a run or model another name; if it is the default, it stays that.

    Raises:
        CheckpointError: it is being trained now or gone, the name is bad or taken, or a file of it is in use.
    """
    renamed = open_checkpoint(name)
    _check_idle(checkpoint)
    if name == checkpoint.name:
        return checkpoint
    _check_free(name, own=checkpoint.name)
    was_default, was_chosen = default_model() == checkpoint, _chosen_name() == checkpoint.name
    with _stated(f"“{checkpoint.name}” cannot be renamed"):
        replace_file(checkpoint.folder, renamed.folder)
    if was_chosen or (was_default and default_model() != renamed):
        with _stated(f"The model is called “{name}” now, but could not be made the default again"):
            _choose(renamed)
    return renamed


def note_of(checkpoint: Checkpoint) -> str:
    """What people wrote about a run or model; "" where there is nothing that can be read."""
    try:
        with (checkpoint.folder / NOTE).open(encoding="utf-8-sig", errors="replace") as file:
            return _printable(file.read(MAX_NOTE))
    except OSError:
        return ""


def set_note(checkpoint: Checkpoint, text: str) -> None:
    """Write about a run or model in place of what was written before; an empty text removes it.

    Raises:
        CheckpointError: the text is too long, the run or model is gone, or the disk is full.
    """
    text = _printable(text)
    if len(text) > MAX_NOTE:
        raise CheckpointError(
            f"The note has {len(text):,} characters, more than the {MAX_NOTE:,} that are kept: shorten it."
        )
    _check_there(checkpoint)
    with _stated(f"The note on “{checkpoint.name}” cannot be saved"):
        _write_note(checkpoint, text)


def delete(checkpoint: Checkpoint) -> None:
    """Remove a run or model for good; it is moved aside first, so that half of one is never listed.

    Raises:
        CheckpointError: it is being trained now or gone, or a file of it is in use.
    """
    _check_idle(checkpoint)
    _clear_leftovers()
    was_chosen = _chosen_name() == checkpoint.name
    with _stated(f"“{checkpoint.name}” cannot be deleted"):
        aside = _new_folder(_DELETED)
        try:
            replace_file(checkpoint.folder, aside / checkpoint.name)
        except OSError:
            aside.rmdir()
            raise
    with suppress(OSError):  # a name that is noted but gone counts as none chosen
        if was_chosen:
            (checkpoints_dir() / DEFAULT).unlink()
    with _stated(f"“{checkpoint.name}” is deleted, but some of its files stay until the next deletion"):
        shutil.rmtree(aside)


def export_model(checkpoint: Checkpoint, out: Path | BinaryIO) -> None:
    """Write a model as a zip that `import_model` takes; a path gets the whole zip or none.

    Raises:
        CheckpointError: it is being trained now, is no finished model, or the zip cannot be written.
    """
    _check_idle(checkpoint)  # its weights and its card might belong to different epochs
    _check_model(checkpoint)
    with _stated(f"The model “{checkpoint.name}” cannot be exported"):
        if not isinstance(out, Path):
            _write_zip(checkpoint, out)
            return
        with _partial(out) as partial:
            _write_zip(checkpoint, partial)


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
        _check_free(name)
    zip_name = Path(str(getattr(archive, "name", ""))).name
    shown = f"“{zip_name}”" if zip_name else "The file"
    _clear_leftovers()
    with _opened(archive, shown) as opened, _stated(f"{shown} cannot be imported"):
        folder, members = _members(opened, shown)
        aside = _new_folder(_IMPORT)
        try:
            draft = Checkpoint(aside / (name or _usable(folder, Path(zip_name).stem)))
            draft.folder.mkdir()
            for file, info in members.items():
                _extract(opened, info, draft.folder / file, shown)
            _check_weights(draft)
            _mend(draft)
            return _put_in_place(draft, name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def is_sound(record: object) -> bool:
    """Whether a record of a run's history has what `docs/checkpoint-format.md` promises whoever reads it."""
    if not isinstance(record, dict) or not isinstance(kind := record.get("kind"), str):
        return False
    return kind not in _RECORDS or _has(record, {"time": _is_number} | _RECORDS[kind])


# ---------------------------------------------------------------- the table


def _summary(checkpoint: Checkpoint, *, is_default: bool) -> Summary:
    status = Job(checkpoint.folder).status
    card, card_problem = _tried(lambda: _card(checkpoint), (checkpoint.folder / CARD).exists())
    expected = (checkpoint.folder / CONFIG).exists() or not (card or card_problem or status in ACTIVE)
    asked, config_problem = _tried(checkpoint.config, expected)
    records = [] if card else [record for record, _ in _sound_lines(checkpoint.folder / HISTORY)]
    measured = card.validation if card else _best_epoch(records)
    return Summary(
        name=checkpoint.name,
        status=status,
        is_model=checkpoint.is_model,
        is_default=is_default,
        note=note_of(checkpoint),
        dataset=asked["dataset"] if asked else str(card.dataset.get("name", "")) if card else "",
        classes=card.classes if card else None,
        config=asked["train"] if asked else card.config.to_dict() if card else {},
        accuracy=measured.get("accuracy"),
        accuracy_interval=_pair(measured.get("accuracy_interval")),
        auc=measured.get("auc"),
        auc_interval=_pair(measured.get("auc_interval")),
        n_validation=measured.get("n"),
        epochs_run=_if(_is_count, card.training.get("epochs_run")) if card else _epochs_run(records),
        seconds=_if(_is_number, card.training.get("seconds")) if card else _seconds(records),
        size_bytes=_size(checkpoint.folder / WEIGHTS),
        created=_iso(card.created) if card else _began(records),
        problem=card_problem or config_problem,
    )


def _tried(read: Callable[[], T], wanted: bool) -> tuple[T | None, str]:
    """What was read, or None, and the sentence of why it could not be."""
    try:
        return (read() if wanted else None), ""
    except CheckpointError as error:
        return None, str(error)


def _card(checkpoint: Checkpoint) -> Card:
    """The card; numbers in it that are too large to count with make it a damaged one.

    Raises:
        CheckpointError: it is missing, damaged, or of another make.
    """
    try:
        return checkpoint.card()
    except OverflowError as error:
        raise CheckpointError(
            f"The file {CARD} of the model “{checkpoint.name}” holds a number that is far too large: "
            "copy the whole folder again, or train the model again."
        ) from error


def _epochs(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["kind"] == "epoch"]


def _best_epoch(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return next((record["val"] for record in reversed(_epochs(records)) if record["best"]), {})


def _epochs_run(records: Sequence[dict[str, Any]]) -> int | None:
    return max((record["epoch"] for record in _epochs(records)), default=None)


def _seconds(records: Sequence[dict[str, Any]]) -> float | None:
    if records and records[-1]["kind"] == "end":
        return records[-1]["seconds"]
    return sum(record["seconds"] for record in _epochs(records)) or None


def _began(records: Sequence[dict[str, Any]]) -> str | None:
    moment = next((record["time"] for record in records if record["kind"] == "start"), None)
    with suppress(OverflowError, OSError, ValueError):
        return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    return None


def _iso(text: str) -> str | None:
    with suppress(ValueError):
        datetime.fromisoformat(text)
        return text
    return None


def _pair(values: Sequence[float] | None) -> Numbers | None:
    return (values[0], values[1]) if values else None


def _if(holds: Callable[[object], bool], value: Any) -> Any:
    return value if holds(value) else None


def _size(file: Path) -> int | None:
    with suppress(OSError):
        return file.stat().st_size
    return None


# ---------------------------------------------------------------- names, the default, notes


def _chosen_name() -> str | None:
    """The model that was chosen as the default, whether or not it is still there."""
    try:
        name = json.loads((checkpoints_dir() / DEFAULT).read_text(encoding="utf-8"))["model"]
        return open_checkpoint(name).name
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, CheckpointError):
        return None


def _choose(checkpoint: Checkpoint) -> None:
    write_json(checkpoints_dir() / DEFAULT, {"model": checkpoint.name})


def _check_there(checkpoint: Checkpoint) -> None:
    if not checkpoint.folder.is_dir():
        raise CheckpointError(
            f"There is no model or run “{checkpoint.name}” any more, probably because it was renamed or deleted "
            "meanwhile: choose it anew from the list."
        )


def _check_idle(checkpoint: Checkpoint) -> None:
    _check_there(checkpoint)
    if Job(checkpoint.folder).is_active:
        raise CheckpointError(f"“{checkpoint.name}” is being trained now: wait until it is done, or stop it first.")


def _check_model(checkpoint: Checkpoint) -> Card:
    _check_there(checkpoint)
    if not checkpoint.is_model:
        raise CheckpointError(
            f"“{checkpoint.name}” is no finished model yet, probably because its training broke off before the end "
            "of its first epoch: let the training go on, or choose another."
        )
    return _card(checkpoint)


def _check_free(name: str, own: str | None = None) -> None:
    """Refuse a name that another folder has; `own` is the name of the folder that is to get it."""
    taken = _taken()
    if own is not None:
        taken = {folded: known for folded, known in taken.items() if known != own}
    if other := taken.get(_folded(name)):
        by = "" if other == name else f" by “{other}”"
        raise CheckpointError(f"The name “{name}” is already taken{by}: choose another name.")


def _taken() -> dict[str, str]:
    """The names in use, by what Windows and macOS tell apart."""
    return {_folded(name): name for name in (DEFAULT, *(item.name for item in checkpoints_dir().iterdir()))}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _write_note(checkpoint: Checkpoint, text: str) -> None:
    file = checkpoint.folder / NOTE
    if not text:
        file.unlink(missing_ok=True)
        return
    with _partial(file) as partial:
        partial.write_bytes(text.encode())


def _printable(text: str) -> str:
    """The text with plain line ends, and without control characters and halves of characters."""
    text = "\n".join(text.splitlines())
    return "".join(one for one in text if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cs")).strip()


# ---------------------------------------------------------------- files


@contextmanager
def _stated(what: str) -> Iterator[None]:
    """Say what cannot be done when the disk or another program forbids it."""
    try:
        yield
    except PermissionError as error:
        raise CheckpointError(
            f"{what} because files may be in use or may not be written ({error.strerror or error}): "
            "close other programs that use them, and check the folder's rights."
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{what} ({error.strerror or error}): free some disk space, and check that the folder is there."
        ) from error


@contextmanager
def _partial(file: Path) -> Iterator[Path]:
    """A name to write to, which becomes `file` when all is written."""
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        yield partial
        replace_file(partial, file)
    finally:
        with suppress(OSError):
            partial.unlink()


def _new_folder(prefix: str) -> Path:
    """A fresh folder beside the models; what lies in a folder within it is listed nowhere."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=checkpoints_dir()))


def _clear_leftovers() -> None:
    """Remove what deletions and imports that broke off have left, as far as it can be."""
    for item in checkpoints_dir().glob(f"{_DELETED}*"):
        shutil.rmtree(item, ignore_errors=True)
    for item in checkpoints_dir().glob(f"{_IMPORT}*"):
        with suppress(OSError):
            if time.time() - item.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(item, ignore_errors=True)


# ---------------------------------------------------------------- zips


def _write_zip(checkpoint: Checkpoint, out: Path | BinaryIO) -> None:
    with zipfile.ZipFile(out, "w", strict_timestamps=False) as archive:
        for name in EXPORTED:
            if (file := checkpoint.folder / name).is_file():
                packing = zipfile.ZIP_STORED if name == WEIGHTS else zipfile.ZIP_DEFLATED
                archive.write(file, f"{checkpoint.name}/{name}", packing)


@contextmanager
def _opened(archive: Path | BinaryIO, shown: str) -> Iterator[zipfile.ZipFile]:
    try:
        opened = zipfile.ZipFile(archive)
    except OSError as error:
        raise CheckpointError(
            f"{shown} cannot be opened ({error.strerror or error}): check that it is there, and its rights."
        ) from error
    except Exception as error:  # a damaged zip fails in many ways, and they share no other base
        raise CheckpointError(
            f"{shown} is not a zip that can be read, perhaps because its upload or download broke off: "
            "export the model again."
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
        *folder, name = PurePosixPath(info.filename).parts or [""]
        if info.is_dir() or name not in EXPORTED or len(folder) > 1 or "__MACOSX" in folder:
            continue
        files = found.setdefault("".join(folder), {})
        if name in files:
            raise _harmful(shown, "holds the same file twice")
        files[name] = info
    models = {folder: files for folder, files in found.items() if CARD in files and WEIGHTS in files}
    if not models:
        raise CheckpointError(
            f"{shown} is no exported model of XRAI because it lacks {CARD} or {WEIGHTS}: "
            "choose a zip that was exported on the Models page or the command line."
        )
    if len(models) > 1:
        raise CheckpointError(f"{shown} holds more than one model: export each of them to a zip of its own.")
    return models.popitem()


def _check_member(info: zipfile.ZipInfo, shown: str) -> None:
    """Refuse an entry that no export of ours has.

    Raises:
        CheckpointError: it is locked, lies outside the zip's folder, is a link, is packed strangely, or is too large.
    """
    if info.flag_bits & 0x41:  # ordinary and strong encryption
        raise CheckpointError(f"{shown} is locked with a password: make the zip again without one.")
    path = info.orig_filename  # as it stands in the zip, before Python makes it harmless
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or re.search(r"[\\\0]", path) or ".." in path.split("/"):
        raise _harmful(shown, "holds a path outside its folder")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _harmful(shown, "holds a link instead of a file")
    name = PurePosixPath(info.filename).name
    if name not in EXPORTED:
        return
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a measure
        raise CheckpointError(
            f"{shown} is packed in a way that XRAI does not know: make the zip again with ordinary compression."
        )
    if info.file_size > _limit(name):
        raise _too_large(shown, name)


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
            f"{shown} is damaged, probably because its upload or download broke off: copy it or export the model again."
        ) from error


def _limit(name: str) -> int:
    return MAX_WEIGHTS_BYTES if name == WEIGHTS else MAX_TEXT_BYTES


def _harmful(shown: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{shown} {what}, as a zip made to harm does: export the model again, and do not use this file."
    )


def _too_large(shown: str, name: str) -> CheckpointError:
    return CheckpointError(
        f"{shown} would unpack {name} to more than {_limit(name) // 1024**2:,} MB, which no model of XRAI has: "
        "export the model again."
    )


def _usable(*names: str) -> str:
    """The first of some names that a model can have."""
    for name in names:
        with suppress(CheckpointError):
            return open_checkpoint(name).name
    return "imported model"


def _check_weights(draft: Checkpoint) -> None:
    card = _check_model(draft)
    if len(card.classes) > MAX_CLASSES:
        raise CheckpointError(
            f"The card of the model “{draft.name}” names {len(card.classes):,} classes, more than the {MAX_CLASSES:,} "
            "that a model can have here: it is probably damaged, so export the model again."
        )
    draft.load_network(card)


def _mend(draft: Checkpoint) -> None:
    """Leave out what of the lesser files would break a reader later on."""
    _write_note(draft, note_of(draft))
    try:
        draft.config()
    except CheckpointError:
        (draft.folder / CONFIG).unlink(missing_ok=True)
    file = draft.folder / HISTORY
    lines = list(_sound_lines(file))
    kinds = {record["kind"] for record, _ in lines}
    has_curves = any(record["kind"] == "epoch" and record["best"] for record, _ in lines)
    if kinds & {"start", "resume"} and (has_curves or "epoch" not in kinds):
        file.write_bytes("".join(line for _, line in lines).encode())
    else:
        file.unlink(missing_ok=True)


def _put_in_place(draft: Checkpoint, name: str | None) -> Checkpoint:
    if name is not None:
        _check_free(name)
    checkpoint = open_checkpoint(name or _free_variant(draft.name))
    replace_file(draft.folder, checkpoint.folder)
    return checkpoint


def _free_variant(name: str) -> str:
    taken = _taken()
    short = name if len(name.encode()) <= 70 else name[:35].strip(" .")  # so that a number fits behind it
    names = (name if number == 1 else f"{short}-{number}" for number in count(1))
    return next(name for name in names if _folded(name) not in taken)


# ---------------------------------------------------------------- records


def _sound_lines(file: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The records of a history that a reader can use, each with its line; nothing of a file that cannot be read."""
    with suppress(OSError), file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            if line.count("[") + line.count("{") > _MOST_BRACKETS:
                continue
            with suppress(ValueError):
                if is_sound(record := json.loads(line)):
                    yield record, line.rstrip("\n") + "\n"


def _has(values: object, fields: Mapping[str, Callable[[Any], bool]]) -> bool:
    return isinstance(values, dict) and all(name in values and holds(values[name]) for name, holds in fields.items())


def _is_number(value: object) -> bool:
    """A number that can be counted with, so neither nan nor one too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_number_or_none(value: object) -> bool:
    return value is None or _is_number(value)


def _is_interval(value: object) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)))


def _is_train(values: object) -> bool:
    return _has(values, {"loss": _is_number, "accuracy": _is_number, "auc": _is_number_or_none})


def _is_val(values: object) -> bool:
    intervals = {"accuracy_interval": _is_interval, "auc_interval": _is_interval}
    return _is_train(values) and _has(values, intervals | {"n": _is_count})


_BEGINNING: dict[str, Callable[[Any], bool]] = {
    "epochs": _is_count, "batches": _is_count, "parameters": _is_count, "device": _is_text, "precision": _is_text,
    "train": _is_count, "val": _is_count,
}  # fmt: skip

_RECORDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "start": _BEGINNING,
    "resume": _BEGINNING,
    "step": {
        "progress": _is_number, "epoch": _is_count, "loss": _is_number, "accuracy": _is_number,
        "images_per_second": _is_number, "seconds_left": _is_number,
    },
    "epoch": {
        "epoch": _is_count, "train": _is_train, "val": _is_val, "learning_rate": _is_number, "seconds": _is_number,
        "best": _is_bool,
    },
    "end": {"reason": _is_text, "seconds": _is_number},
}  # fmt: skip
"""What a record of each known kind must hold; other kinds may hold anything, since nobody looks into them."""
