"""The verbs that use a model: evaluate, diagnose."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from xrai import jobs
from xrai.checkpoint import Checkpoint, open_checkpoint
from xrai.cli.output import document, print_count, with_interval
from xrai.cli.places import dataset_path, path_of
from xrai.errors import CheckpointError, DatasetError, ScanError
from xrai.measurements import measurement_folder
from xrai.models import default_model
from xrai.records import read_records


def evaluate(options: argparse.Namespace) -> int:
    """Measure a model on a split of a dataset."""
    from xrai.dataset import open_dataset

    checkpoint = open_checkpoint(options.name)
    checkpoint.card()  # a missing model is said before a slow dataset is opened
    path, left_out = dataset_path(options.dataset), _listed(options.without)
    with ExitStack() as stack:
        dataset = stack.enter_context(open_dataset(path))
        title = f"Measuring {checkpoint.name} on {path.stem}, {options.split}"
        job = stack.enter_context(jobs.running(measurement_folder(checkpoint, path, options.split), title=title))
        (job.folder / jobs.HISTORY).unlink(missing_ok=True)

        def progress(done: int, total: int) -> None:
            job.emit({"kind": "progress", "done": done, "total": total})
            print_count(done, total)

        from xrai import evaluation  # slow for the first time, and the job must not look dead meanwhile

        measured = evaluation.evaluate(checkpoint, dataset, options.split, left_out=left_out, progress=progress)
    if options.json:
        epochs = [record for record in read_records(checkpoint.folder / jobs.HISTORY) if record.get("kind") == "epoch"]
        predictions = measured.predictions.to_list(measured.classes)
        document(options, measured.report | {"predictions": predictions, "epochs": epochs})
    else:
        _print_report(measured.report)
    return 0


def _listed(file: str | None) -> list[str]:
    """The names in a text file, one a line.

    Raises:
        DatasetError: it cannot be read.
    """
    if file is None:
        return []
    try:
        lines = path_of(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"The list {file} of scans to leave out cannot be read: give a text file.") from error
    return [line.strip() for line in lines if line.strip()]


def _print_report(found: dict[str, Any]) -> None:
    print(f"{found['model']} on {found['dataset']}, {found['split']}: {found['n']:,} scans")
    for name in ("accuracy", "balanced_accuracy", "auc"):
        print(f"  {name.replace('_', ' '):18} {with_interval(found[name], found[name + '_interval'])}")
    width = max(map(len, found["classes"]))
    print(f"  {'':{width}}  precision              recall                 f1                     AUC, one against rest")
    for name, row in found["per_class"].items():
        cells = (
            f"{with_interval(row[key], row[f'{key}_interval']):22}" for key in ("precision", "recall", "f1", "auc")
        )
        print(f"  {name:{width}}  {' '.join(cells)} {row['support']:,} scans")
    print("  confusion matrix (rows: truth)")
    for name, row in zip(found["classes"], found["confusion_matrix"], strict=True):
        print(f"  {name:{width}}  " + " ".join(f"{count:7,}" for count in row))
    if found["left_out"]:
        print(f"  {found['left_out']:,} scans were left out")
    if found["seen"] and (rest := found["unseen"]):
        figures = with_interval(rest["accuracy"], rest["accuracy_interval"])
        print(
            f"  {found['seen']:,} of these scans it had seen in training; "
            f"without them, on {rest['n']:,}: accuracy {figures}"
        )
    elif found["seen"]:
        print("  it learned from these scans or was chosen by them: this says nothing of new ones")
    if found["measured_before"]:
        print(f"  measured on this split {found['measured_before']} times before: it is less and less a surprise")


def diagnose(options: argparse.Namespace) -> int:
    """Read scans with a model."""
    from xrai.diagnosis import Reader, save_heatmap
    from xrai.scans import read_scan

    checkpoint = _model(options.model)
    reader = Reader.open(checkpoint)
    results: list[dict[str, Any]] = []
    heatmaps = _HeatmapFiles(Path(options.heatmap)) if options.heatmap else None
    failed = False
    for file in options.files:
        try:
            scan = read_scan(Path(file))
        except ScanError as error:
            failed = True
            results.append({"file": file, "error": str(error)})
            print(f"error: {file}: {error}", file=sys.stderr)
            continue
        reading = reader.read(scan)
        read: dict[str, Any] = {
            "file": file,
            "diagnosis": reading.diagnosis,
            "probabilities": reading.probabilities,
            "warnings": list(reading.warnings),
            "model": checkpoint.name,
        }
        results.append(read)
        if not options.json:
            shares = ", ".join(f"{name} {share:.1%}" for name, share in reading.probabilities.items())
            print(f"{file}: {reading.diagnosis} ({shares})")
            for warning in reading.warnings:
                print(f"  warning: {warning}", file=sys.stderr)
        if heatmaps:
            try:
                target = heatmaps.name(file)
                save_heatmap(target, scan, reader.heatmap(scan, reading.diagnosis))
                read["heatmap"] = str(target)
            except OSError as error:  # the reading is worth having without it
                failed = True
                sentence = f"Its heatmap cannot be written ({error.strerror}): choose another folder."
                read["warnings"].append(sentence)
                print(f"error: {file}: {sentence}", file=sys.stderr)
    document(options, results)
    return 1 if failed else 0


def _model(name: str | None) -> Checkpoint:
    """The model of that name, or the one that reads when none is named."""
    checkpoint = open_checkpoint(name) if name else default_model()
    if checkpoint is None:
        raise CheckpointError("There is no model yet: train one, or take one in with “models import”.")
    return checkpoint


class _HeatmapFiles:
    """Names for heatmaps: those of an earlier call are replaced, two scans of one call never share one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used: set[str] = set()

    def name(self, file: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        stem, number = Path(file).stem, 1
        while (name := f"{stem}{f'-{number}' if number > 1 else ''}-heatmap.png").lower() in self.used:
            number += 1
        self.used.add(name.lower())
        return self.folder / name
