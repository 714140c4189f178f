"""The verbs that use a model: evaluate, diagnose."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrai.cli.output import both, document, print_progress, say, with_interval
from xrai.cli.places import dataset_path, names_in, path_of
from xrai.core import jobs
from xrai.core.errors import CheckpointError, RefusedError, ScanError
from xrai.core.json_files import read_records
from xrai.evaluation.store import Measurement, measurement_folder
from xrai.models import default_model
from xrai.models.checkpoint import Checkpoint, open_checkpoint

if TYPE_CHECKING:  # torch takes seconds to import
    from xrai.data.dataset import Dataset
    from xrai.reading.reader import Reader, Reading
    from xrai.scans import Scan


def evaluate(options: argparse.Namespace) -> int:
    """Measure a model on a split of a dataset."""
    from xrai.data.dataset import open_dataset

    checkpoint = open_checkpoint(options.name)
    checkpoint.card()  # a missing model is said before a slow dataset is opened
    path, left_out = dataset_path(options.dataset), names_in(options.without)
    with ExitStack() as stack:
        dataset = stack.enter_context(open_dataset(path))
        title = f"Measuring {checkpoint.name} on {path.stem}, {options.split}"
        job = stack.enter_context(jobs.running(measurement_folder(checkpoint, path, options.split), title=title))
        (job.folder / jobs.HISTORY).unlink(missing_ok=True)
        from xrai.evaluation import (
            evaluate as evaluation,  # slow for the first time, and the job must not look dead meanwhile
        )

        try:
            measured = _measured(checkpoint, dataset, options.split, left_out, job)
        except evaluation.NotKeptError as error:
            _show(options, checkpoint, error.measured)  # else the look would be lost
            raise
    if measured is None:
        print("stopped; nothing was kept", file=sys.stderr)
        document(options, {"model": checkpoint.name, "ended": "stopped"})
    else:
        _show(options, checkpoint, measured)
    return 0


def diagnose(options: argparse.Namespace) -> int:
    """Read scans with a model."""
    from xrai.reading.reader import Reader
    from xrai.scans import read_scan

    checkpoint = _model(options.model)
    reader = Reader.open(checkpoint)
    heatmaps = _HeatmapFiles(path_of(options.heatmap)) if options.heatmap else None
    results: list[dict[str, Any]] = []
    status = 0
    for file in options.files:
        try:
            scan = read_scan(Path(file))
            scan, remark = _checked(reader, scan, options)
        except ScanError as error:
            status = say(f"{file}: {error}")
            results.append({"file": file, "error": str(error)} | _offered(error))
            continue
        reading = reader.read(scan)
        read: dict[str, Any] = _told(reader, reading, file) | {"model": checkpoint.name}
        read["warnings"] = [*remark, *read["warnings"]]
        results.append(read)
        if not options.json:
            _print_reading(read)
        if heatmaps and (problem := heatmaps.write(reader, scan, reading, read)):
            status = say(f"{file}: {problem}")
            read["warnings"].append(problem)  # the reading is worth having without it
    document(options, results)
    return status


# ---------------------------------------------------------------- evaluate


class _StoppedError(Exception):
    """Somebody asked a measurement to stop."""


def _measured(
    checkpoint: Checkpoint, dataset: Dataset, split: str, left_out: list[str], job: jobs.Running
) -> Measurement | None:
    """The measurement; None where it was stopped."""
    emit = both(job, print_progress)

    def progress(done: int, total: int) -> None:
        emit({"kind": "progress", "done": done, "total": total})
        if done < total and job.should_stop():
            raise _StoppedError

    from xrai.evaluation import evaluate as evaluation

    try:
        return evaluation.evaluate(checkpoint, dataset, split, left_out=left_out, progress=progress)
    except _StoppedError:
        return None


def _show(options: argparse.Namespace, checkpoint: Checkpoint, measured: Measurement) -> None:
    """Print a measurement, as one JSON document where that is asked for."""
    if options.json:
        epochs = [record for record in read_records(checkpoint.folder / jobs.HISTORY) if record.get("kind") == "epoch"]
        predictions = measured.predictions.to_list(measured.classes)
        document(options, measured.report | {"predictions": predictions, "epochs": epochs})
    else:
        _print_report(measured.report)


def _print_report(found: dict[str, Any]) -> None:
    print(f"{found['model']} on {found['dataset']}, {found['split']}: {found['n']:,} scans")
    for name in ("accuracy", "balanced_accuracy", "auc"):
        print(f"  {name.replace('_', ' '):18} {with_interval(found[name], found[name + '_interval'])}")
    _print_classes(found)
    print("  confusion matrix (rows: truth)")
    width = max(map(len, found["classes"]))
    for name, row in zip(found["classes"], found["confusion_matrix"], strict=True):
        print(f"  {name:{width}}  " + " ".join(f"{count:7,}" for count in row))
    for line in _remarks(found):
        print(f"  {line}")


def _print_classes(found: dict[str, Any]) -> None:
    width = max(map(len, found["classes"]))
    head = ("precision", "recall", "f1", "AUC against the rest")
    print(f"  {'':{width}}  " + " ".join(f"{word:22}" for word in head) + " support")
    for name, row in found["per_class"].items():
        cells = [_defined(row[key], row[f"{key}_interval"]) for key in ("precision", "recall", "f1", "auc")]
        print(f"  {name:{width}}  " + " ".join(f"{cell:22}" for cell in cells) + f" {row['support']:,} scans")


def _defined(value: float | None, interval: list[float] | None) -> str:
    """A figure of a class; a dash where nothing was called so or nothing is so, for which the report has 0."""
    return "–" if interval is None else with_interval(value, interval)


def _remarks(found: dict[str, Any]) -> list[str]:
    """What should be known beside the figures."""
    lines = []
    if n := found["left_out"]:
        lines.append(f"{n:,} scans of the split were left out")
    if found["seen"] and (rest := found["unseen"]):
        figures = with_interval(rest["accuracy"], rest["accuracy_interval"])
        lines.append(
            f"{found['seen']:,} of these scans it, or a model that it goes back to, had seen in training; "
            f"without them, on {rest['n']:,}: accuracy {figures}"
        )
    elif found["seen"]:
        lines.append(
            "it, or a model that it goes back to, learned from these scans or was chosen by them: "
            "this says nothing of new ones"
        )
    if n := found["measured_before"]:
        often = "once" if n == 1 else f"{n:,} times"
        lines.append(f"measured on this split {often} before: it is less and less a surprise")
    return lines


# ---------------------------------------------------------------- diagnose


def _model(name: str | None) -> Checkpoint:
    """The model of that name, or the one that reads when none is named."""
    checkpoint = default_model() if name is None else open_checkpoint(name)
    if checkpoint is None:
        raise CheckpointError("There is no model yet: train one, or take one in with “models import”.")
    return checkpoint


def _told(reader: Reader, reading: Reading, file: str) -> dict[str, Any]:
    """What a model says of a scan, JSON-able."""
    return {
        "file": file,
        "diagnosis": reading.diagnosis,
        "sure": reading.sure,
        "probabilities": reading.probabilities,
        "threshold": reader.card.told(reader.card.threshold_value) if reader.card.threshold_value else None,
        "frequency": reading.frequency,
        "warnings": list(reading.warnings),
    }


def _checked(reader: Reader, scan: Scan, options: argparse.Namespace) -> tuple[Scan, list[str]]:
    """The scan as it is to be read, mended where that is wanted and offered, and what to say of that.

    Raises:
        RefusedError: it is not to be read.
    """
    try:
        reader.check(scan)
    except RefusedError as error:
        if options.mend and error.mend:
            from xrai.input_check import mended

            scan = replace(scan, pixels=mended(scan.pixels, error.mend))
            reader.check(scan)
            return scan, [f"The picture was read {error.mend}."]
        if not options.any_picture:
            raise
        return scan, [str(error)]
    return scan, []


def _offered(error: ScanError) -> dict[str, str]:
    """What would mend a picture that was refused, if anything would."""
    return {"mend": error.mend} if isinstance(error, RefusedError) and error.mend else {}


def _print_reading(read: dict[str, Any]) -> None:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in read["probabilities"].items())
    doubt = "" if read["sure"] else "not sure, ask a radiologist; rather "
    print(f"{read['file']}: {doubt}{read['diagnosis']} ({shares})")
    if read["frequency"]:
        print(f"  {read['frequency']}")
    for warning in read["warnings"]:
        print(f"  warning: {warning}", file=sys.stderr)


class _HeatmapFiles:
    """Names for heatmaps: those of an earlier call are replaced, two scans of one call never share one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used: set[str] = set()

    def write(self, reader: Reader, scan: Scan, reading: Reading, read: dict[str, Any]) -> str:
        """Write the heatmap of what was read and note its name there; gives the sentence of why it cannot be."""
        from xrai.reading.reader import save_heatmap

        try:
            target = self._name(read["file"])
            save_heatmap(target, scan, reader.heatmap(scan, reading.diagnosis, reading=reading))
        except OSError as error:
            return f"Its heatmap cannot be written ({error.strerror or error}): choose another folder."
        read["heatmap"] = str(target)
        return ""

    def _name(self, file: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        stem, number = Path(file).stem, 1
        while (name := f"{stem}{f'-{number}' if number > 1 else ''}-heatmap.png").lower() in self.used:
            number += 1
        self.used.add(name.lower())
        return self.folder / name
