"""The verbs that use a model: evaluate, diagnose."""

from __future__ import annotations

import argparse
import glob
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrai.cli.output import format_with_interval, make_emitter, print_error, print_json, print_progress
from xrai.cli.paths import expand_path, find_dataset, read_names
from xrai.core import jobs
from xrai.core.errors import CheckpointError, ScanError
from xrai.core.json_files import read_records
from xrai.evaluation.store import EvaluationResult, evaluation_folder
from xrai.input_check import apply_correction
from xrai.models import default_model
from xrai.models.checkpoint import Checkpoint, open_checkpoint

if TYPE_CHECKING:  # torch takes seconds to import
    from xrai.data.dataset import Dataset
    from xrai.reading.reader import Reader
    from xrai.reading.results import Reading
    from xrai.scans import Scan


def evaluate(options: argparse.Namespace) -> int:
    """Measure a model on a split of a dataset."""
    from xrai.data.dataset import open_dataset

    checkpoint = open_checkpoint(options.name)
    checkpoint.read_card()  # a missing model is said before a slow dataset is opened
    path, excluded_files = find_dataset(options.dataset), read_names(options.exclude)
    with ExitStack() as stack:
        dataset = stack.enter_context(open_dataset(path))
        title = f"Measuring {checkpoint.name} on {path.stem}, {options.split}"
        job = stack.enter_context(jobs.run_job(evaluation_folder(checkpoint, path, options.split), title=title))
        (job.folder / jobs.HISTORY_FILE).unlink(missing_ok=True)
        from xrai.evaluation import (
            evaluate as evaluation,  # slow for the first time, and the job must not look dead meanwhile
        )

        try:
            result = _run_evaluation(checkpoint, dataset, options.split, excluded_files, job)
        except evaluation.NotSavedError as error:
            _print_result(options, checkpoint, error.result)  # else the look would be lost
            raise
    if result is None:
        print("stopped; nothing was kept", file=sys.stderr)
        print_json(options, {"model": checkpoint.name, "ended": "stopped"})
    else:
        _print_result(options, checkpoint, result)
    return 0


def diagnose(options: argparse.Namespace) -> int:
    """Read scans with a model."""
    from xrai.reading.reader import Reader

    reader = Reader.open(_find_model(options.model))
    heatmap_files = _HeatmapFiles(expand_path(options.heatmap)) if options.heatmap else None
    results = []
    status = 0
    for file in _expand_wildcards(options.files):
        result, problem = _diagnose_file(reader, file, options, heatmap_files)
        if problem:
            status = print_error(f"{file}: {problem}")
        results.append(result)
    print_json(options, results)
    return status


# ---------------------------------------------------------------- evaluate


class _StoppedError(Exception):
    """Somebody asked a measurement to stop."""


def _run_evaluation(
    checkpoint: Checkpoint, dataset: Dataset, split: str, excluded_files: list[str], job: jobs.JobContext
) -> EvaluationResult | None:
    """The measurement; None where it was stopped."""
    emit = make_emitter(job, print_progress)

    def progress(done: int, total: int) -> None:
        emit({"kind": "progress", "done": done, "total": total})
        if done < total and job.should_stop():
            raise _StoppedError

    from xrai.evaluation import evaluate as evaluation

    try:
        return evaluation.evaluate(checkpoint, dataset, split, excluded_files=excluded_files, progress=progress)
    except _StoppedError:
        return None


def _print_result(options: argparse.Namespace, checkpoint: Checkpoint, result: EvaluationResult) -> None:
    """Print a measurement, as one JSON document where that is asked for."""
    if options.json:
        epochs = [
            record for record in read_records(checkpoint.folder / jobs.HISTORY_FILE) if record.get("kind") == "epoch"
        ]
        predictions = result.predictions.to_list(result.classes)
        print_json(options, result.report | {"predictions": predictions, "epochs": epochs})
    else:
        _print_report(result.report)


def _print_report(report: dict[str, Any]) -> None:
    print(f"{report['model']} on {report['dataset']}, {report['split']}: {report['n']:,} scans")
    for name in ("accuracy", "balanced_accuracy", "auc"):
        print(f"  {name.replace('_', ' '):18} {format_with_interval(report[name], report[name + '_interval'])}")
    _print_classes(report)
    print("  confusion matrix (rows: truth)")
    width = max(map(len, report["classes"]))
    for name, row in zip(report["classes"], report["confusion_matrix"], strict=True):
        print(f"  {name:{width}}  " + " ".join(f"{count:7,}" for count in row))
    for line in _report_remarks(report):
        print(f"  {line}")


def _print_classes(report: dict[str, Any]) -> None:
    width = max(map(len, report["classes"]))
    header = ("precision", "recall", "f1", "AUC against the rest")
    print(f"  {'':{width}}  " + " ".join(f"{word:22}" for word in header) + " support")
    for name, row in report["per_class"].items():
        cells = [_format_class_metric(row[key], row[f"{key}_interval"]) for key in ("precision", "recall", "f1", "auc")]
        print(f"  {name:{width}}  " + " ".join(f"{cell:22}" for cell in cells) + f" {row['support']:,} scans")


def _format_class_metric(value: float | None, interval: list[float] | None) -> str:
    """A figure of a class; a dash where nothing was called so or nothing is so, for which the report has 0."""
    return "–" if interval is None else format_with_interval(value, interval)


def _report_remarks(report: dict[str, Any]) -> list[str]:
    """What should be known beside the figures."""
    lines = []
    if n := report["left_out"]:
        lines.append(f"{n:,} scans of the split were left out")
    if report["seen"] and (rest := report["unseen"]):
        figures = format_with_interval(rest["accuracy"], rest["accuracy_interval"])
        lines.append(
            f"{report['seen']:,} of these scans it, or a model that it goes back to, had seen in training; "
            f"without them, on {rest['n']:,}: accuracy {figures}"
        )
    elif report["seen"]:
        lines.append(
            "it, or a model that it goes back to, learned from these scans or was chosen by them: "
            "this says nothing of new ones"
        )
    if n := report["measured_before"]:
        times = "once" if n == 1 else f"{n:,} times"
        lines.append(f"measured on this split {times} before: it is less and less a surprise")
    return lines


# ---------------------------------------------------------------- diagnose


def _find_model(name: str | None) -> Checkpoint:
    """The model of that name, or the one that reads when none is named."""
    checkpoint = default_model() if name is None else open_checkpoint(name)
    if checkpoint is None:
        raise CheckpointError("There is no model yet: train one, or take one in with “models import”.")
    return checkpoint


def _expand_wildcards(files: list[str]) -> list[str]:
    """The files with `*`, `?` and `[…]` expanded, as the shells of Windows leave it to programs."""
    expanded = []
    for file in files:
        matches = [] if Path(file).exists() else sorted(glob.glob(file, recursive=True))  # noqa: PTH207 -- patterns may be absolute
        expanded += matches or [file]
    return expanded


def _diagnose_file(
    reader: Reader, file: str, options: argparse.Namespace, heatmap_files: _HeatmapFiles | None
) -> tuple[dict[str, Any], str]:
    """The result of one file as `diagnose --json` prints it, and an error sentence or ""."""
    from xrai.reading.results import Refusal
    from xrai.scans import read_scan

    try:
        scan = read_scan(Path(file))
    except ScanError as error:
        return {"file": file, "error": str(error)}, str(error)
    reading = reader.examine(
        scan,
        correct=options.fix_orientation,
        any_image=options.any_image,
        in_age_range=None if options.age is None else reader.card.intended_use.includes_age(options.age),
        any_age=options.any_age,
    )
    if isinstance(reading, Refusal):
        correction = {"mend": reading.correction} if reading.correction else {}
        return {"file": file, "error": str(reading.reason)} | correction, reading.reason
    result = _reading_to_dict(reading, file)
    if not options.json:
        _print_reading(result)
    problem = heatmap_files.write(scan, reading, result) if heatmap_files else ""
    return result, problem


def _reading_to_dict(reading: Reading, file: str) -> dict[str, Any]:
    card = reading.reader.card
    remarks = [f"The picture was read {reading.correction}."] if reading.correction else []
    correction = {"mend": reading.suggested_correction} if reading.suggested_correction else {}
    return {
        "file": file,
        "diagnosis": reading.diagnosis,
        "sure": reading.is_confident,
        "probabilities": reading.probabilities,
        "threshold": card.to_local_prevalence(card.threshold_value) if card.threshold_value else None,
        "frequency": reading.frequency,
        "warnings": [*remarks, *reading.warnings],
        "model": card.name,
    } | correction


def _print_reading(result: dict[str, Any]) -> None:
    probabilities = ", ".join(f"{name} {share:.1%}" for name, share in result["probabilities"].items())
    abstention = "" if result["sure"] else "uncertain, radiologist review needed; leans towards "
    print(f"{result['file']}: {abstention}{result['diagnosis']} ({probabilities})")
    if result["frequency"]:
        print(f"  {result['frequency']}")
    for warning in result["warnings"]:
        print(f"  warning: {warning}", file=sys.stderr)


class _HeatmapFiles:
    """File names of heatmaps: files of an earlier call are replaced, two scans of one call never share a name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used_names: set[str] = set()

    def write(self, scan: Scan, reading: Reading, result: dict[str, Any]) -> str:
        """Write the heatmap of the diagnosis and add its path to the result; returns an error sentence or ""."""
        from xrai.reading.result_card import save_heatmap

        try:
            target = self._name(result["file"])
            save_heatmap(target, apply_correction(scan.pixels, reading.correction), reading.heatmap(reading.diagnosis))
        except OSError as error:
            problem = f"Its heatmap cannot be written ({error.strerror or error}): choose another folder."
            result["warnings"].append(problem)  # the reading is worth having without its heatmap
            return problem
        result["heatmap"] = str(target)
        return ""

    def _name(self, file: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        stem, number = Path(file).stem, 1
        while (name := f"{stem}{f'-{number}' if number > 1 else ''}-heatmap.png").lower() in self.used_names:
            number += 1
        self.used_names.add(name.lower())
        return self.folder / name
