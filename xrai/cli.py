"""The command line: build, train, evaluate and diagnose without a browser.

`--json` prints one JSON document on standard output and nothing else there; progress goes to standard error.
Exit status: 0 done, 1 a stated error (one sentence on standard error), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, redirect_stdout, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from xrai import __version__, jobs
from xrai.checkpoint import CONFIG, Checkpoint, open_checkpoint
from xrai.config import TrainConfig
from xrai.errors import CheckpointError, DatasetError, ScanError, SettingsError, XraiError, in_a_sentence
from xrai.records import write_json
from xrai.settings import data_dir, home, shown_path
from xrai.sources import KAGGLE_SETS, PRACTICE, SPLITS

DEFAULT_MODEL = "pneumonia"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")  # a Windows console may be of another code page
    options = _parser().parse_args(arguments)
    options.stdout = sys.stdout
    try:
        with redirect_stdout(sys.stderr) if options.json else nullcontext():  # libraries print what they like
            return options.run(options)
    except BrokenPipeError:  # whoever read what is printed has gone, and there is nobody left to tell
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return 1
    except (XraiError, MemoryError, OSError) as error:
        return _say(in_a_sentence(error))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1


def dataset_path(given: str) -> Path:
    """A dataset's file from a path, or from its name in `data/`, with or without `.hdf5`."""
    return _first_file(_path(given), home() / given, data_dir() / given, data_dir() / f"{given}.hdf5")


def _build(options: argparse.Namespace) -> int:
    from xrai.dataset import BuildConfig, build_dataset, open_dataset, refuse_existing
    from xrai.sources import open_source

    config = BuildConfig(options.size, options.workers, options.seed, options.population, options.licence)
    out = _path(options.out).resolve()
    if out.suffix.lower() not in (".hdf5", ".h5"):
        raise DatasetError(f"The dataset's name {out.name} should end in .hdf5: write {out.with_suffix('.hdf5').name}.")
    refuse_existing(out)  # before there is a job: a page would show it as a build that failed
    with jobs.running(jobs.build_folder(out), title=out.stem) as job:
        (job.folder / jobs.HISTORY).unlink(missing_ok=True)
        emit = _both(job, _print_progress)
        emit({"kind": "start", "source": options.source})
        with open_source(options.source, practice_seed=config.seed) as source:
            if not build_dataset(source, out, config, emit=emit, should_stop=job.should_stop):
                print("stopped; nothing was left behind", file=sys.stderr)
                _result(options, {"dataset": None, "ended": "stopped"})
                return 0
    with open_dataset(out) as dataset:
        for note in dataset.notes:
            print(note, file=sys.stderr)
        for item in dataset.skipped:
            print(f"skipped {item.file}: {item.reason}", file=sys.stderr)
        print(f"{shown_path(out)}: {len(dataset):,} scans, {len(dataset.skipped):,} skipped", file=sys.stderr)
        summary = {"dataset": str(out), "n": len(dataset), "skipped": len(dataset.skipped), "counts": dataset.counts()}
        _result(options, summary)
    return 0


def _look(options: argparse.Namespace) -> int:
    from xrai.sources import KAGGLE, open_source
    from xrai.survey import survey

    with ExitStack() as stack:
        if options.source.startswith(KAGGLE):  # a long download, which a page may want to watch
            stack.enter_context(
                jobs.running(
                    jobs.download_folder(options.source), title=f"Download of {options.source.removeprefix(KAGGLE)}"
                )
            )
        found = survey(stack.enter_context(open_source(options.source)))
    if options.json:
        _result(options, found.to_dict())
        return 0
    print(f"{found.name}: " + ", ".join(f"{count:,} {kind}" for kind, count in found.formats.items()))
    for name, row in found.counts.items():
        print(f"  {name}: " + ", ".join(f"{split} {count:,}" for split, count in row.items()))
    for line in (*found.notes, *(f"cannot be read: {file}: {reason}" for file, reason in found.unreadable)):
        print(f"  {line}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from xrai.dataset import open_dataset

    checkpoint = open_checkpoint(options.name)
    config, path = _asked_again(options, checkpoint) if options.resume else _asked(options)
    with open_dataset(path) as dataset:
        if _is_helper_process():  # another process leads this run, records it and decides when to stop
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            from xrai.training import train

            train(config, dataset, checkpoint, resume=options.resume)
            return 0
        if not options.resume and checkpoint.is_taken:
            raise CheckpointError(
                f"There is already a model or run “{options.name}”: choose another name, or go on with it by --resume."
            )
        with jobs.running(checkpoint.folder, title=options.name) as job:
            if not options.resume:
                (job.folder / jobs.HISTORY).unlink(missing_ok=True)
                write_json(job.folder / CONFIG, {"dataset": shown_path(path), "train": config.to_dict()})
            from xrai.training import train  # slow for the first time, and the job must not look dead meanwhile

            emit = _both(job, _print_progress)
            card = train(config, dataset, checkpoint, emit=emit, should_stop=job.should_stop, resume=options.resume)
            if job.told:
                when = "" if card else " before the first epoch was done"
                print(f"stopped{when}; go on with --resume", file=sys.stderr)
            elif card:
                where, epochs = shown_path(checkpoint.folder), card.training["epochs_run"]
                print(
                    f"done after {epochs} epochs, the best one was {card.training['best_epoch']}: {where}",
                    file=sys.stderr,
                )
            _result(
                options,
                {
                    "model": checkpoint.name,
                    "classes": dataset.classes,
                    "ended": card.training["ended"] if card else "stopped",
                    "validation": card.validation if card else None,
                },
            )
    return 0


def _asked(options: argparse.Namespace) -> tuple[TrainConfig, Path]:
    """The settings and the dataset of a new run."""
    if options.dataset is None:
        raise DatasetError("Which dataset to train on? Give its file, as in: train data/chest.hdf5 --name NAME.")
    return TrainConfig(**_given(options)), dataset_path(options.dataset)


def _asked_again(options: argparse.Namespace, checkpoint: Checkpoint) -> tuple[TrainConfig, Path]:
    """The settings and the dataset of a run that goes on; the dataset may have moved."""
    asked = checkpoint.config()
    config = TrainConfig.from_dict(asked["train"])
    other = [name for name, value in _given(options).items() if value != getattr(config, name)]
    if other:
        raise SettingsError(
            f"The run “{options.name}” goes on with the settings that it was started with: leave out "
            f"--{other[0].replace('_', '-')}, or train another model with it."
        )
    if options.dataset:
        return config, dataset_path(options.dataset)
    noted = asked["dataset"]  # below the home folder where it is relative, wherever this is called from
    return config, _first_file(home() / noted, data_dir() / noted)


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The training settings that were given on the command line."""
    values = {item.name: getattr(options, item.name) for item in fields(TrainConfig)}
    return {name: value for name, value in values.items() if value is not None}


def _evaluate(options: argparse.Namespace) -> int:
    from xrai.dataset import open_dataset
    from xrai.evaluation import evaluate

    checkpoint = open_checkpoint(options.name)
    checkpoint.card()  # a missing model is said before a slow dataset is opened
    with open_dataset(dataset_path(options.dataset)) as dataset:
        result = evaluate(checkpoint, dataset, options.split, progress=_print_count)
    if options.json:
        _result(options, result)
        return 0
    print(f"{result['model']} on {result['dataset']}, {result['split']}: {result['n']:,} scans")
    for name in ("accuracy", "balanced_accuracy", "auc"):
        print(f"  {name.replace('_', ' '):18} {_with_interval(result[name], result[name + '_interval'])}")
    width = max(map(len, result["classes"]))
    print(f"  {'':{width}}  precision  recall      f1   scans")
    for name, row in result["per_class"].items():
        print(f"  {name:{width}}  {row['precision']:9.3f} {row['recall']:7.3f} {row['f1']:7.3f} {row['support']:7,}")
    print("  confusion matrix (rows: truth)")
    for name, row in zip(result["classes"], result["confusion_matrix"], strict=True):
        print(f"  {name:{width}}  " + " ".join(f"{count:7,}" for count in row))
    if result["measured_before"]:
        print(f"  measured on this split {result['measured_before']} times before: it is less and less a surprise")
    return 0


def _diagnose(options: argparse.Namespace) -> int:
    from xrai.diagnosis import Reader, save_heatmap
    from xrai.scans import read_scan

    reader = Reader.open(open_checkpoint(options.model))
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
        result: dict[str, Any] = {
            "file": file,
            "diagnosis": reading.diagnosis,
            "probabilities": reading.probabilities,
            "warnings": list(reading.warnings),
            "model": options.model,
        }
        results.append(result)
        if not options.json:
            shares = ", ".join(f"{name} {share:.1%}" for name, share in reading.probabilities.items())
            print(f"{file}: {reading.diagnosis} ({shares})")
            for warning in reading.warnings:
                print(f"  warning: {warning}", file=sys.stderr)
        if heatmaps:
            try:
                target = heatmaps.name(file)
                save_heatmap(target, scan, reader.heatmap(scan, reading.diagnosis))
                result["heatmap"] = str(target)
            except OSError as error:  # the reading is worth having without it
                failed = True
                sentence = f"Its heatmap cannot be written ({error.strerror}): choose another folder."
                result["warnings"].append(sentence)
                print(f"error: {file}: {sentence}", file=sys.stderr)
    _result(options, results)
    return 1 if failed else 0


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m xrai", description="Chest X-rays: build a dataset, train a model, read scans."
    )
    parser.add_argument("--version", action="version", version=f"xrai {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    build = verbs.add_parser("build", help="make an HDF5 dataset from scans")
    offered = ", ".join(f"kaggle:{known.handle}" for known in KAGGLE_SETS)
    build.add_argument("source", help=f"a folder or zip of class folders, “{PRACTICE}” for drawings, or {offered}")
    build.add_argument("out", help="the .hdf5 file to make")
    build.add_argument("--size", type=int, default=224, help="side of the stored squares in pixels (default 224)")
    build.add_argument("--workers", type=int, default=min(os.cpu_count() or 2, 8), help="scans read at once")
    build.add_argument("--seed", type=int, default=0, help="of the split by patient (default 0)")
    build.add_argument("--population", default="", help="who is in the scans, in words; kept with every model")
    build.add_argument("--licence", default="", help="source and licence of the scans, in words")
    build.set_defaults(run=_build)

    look = verbs.add_parser("look", help="show what a source of scans holds, before building")
    look.add_argument("source", help="as for build")
    look.set_defaults(run=_look)

    train = verbs.add_parser("train", help="train a model on a dataset")
    train.add_argument("dataset", nargs="?", help="the .hdf5 file")
    train.add_argument("--name", required=True, help="of the model: its folder below checkpoints/")
    train.add_argument("--resume", action="store_true", help="go on with a run that was stopped or broke off")
    for item in fields(TrainConfig):
        kind: Any = _yes_or_no if isinstance(item.default, bool) else type(item.default)
        train.add_argument(
            f"--{item.name.replace('_', '-')}", type=kind, choices=item.metadata["choices"], default=None,
            help=f"{item.metadata['help']} (default {item.default})".replace("%", "%%"),
        )  # fmt: skip
    train.set_defaults(run=_train)

    evaluate = verbs.add_parser("evaluate", help="measure a model on a dataset")
    evaluate.add_argument("name", help="the model's name")
    evaluate.add_argument("dataset", help="the .hdf5 file")
    evaluate.add_argument("--split", choices=SPLITS, default="test", help="(default test)")
    evaluate.set_defaults(run=_evaluate)

    diagnose = verbs.add_parser("diagnose", help="read scans with a model")
    diagnose.add_argument("files", nargs="+", metavar="FILE", help="scans: DICOM, JPEG, PNG, TIFF, WebP, BMP")
    diagnose.add_argument("--model", default=DEFAULT_MODEL, help=f"(default {DEFAULT_MODEL})")
    diagnose.add_argument("--heatmap", metavar="DIR", help="write each scan beside its heatmap as a PNG here")
    diagnose.set_defaults(run=_diagnose)

    for verb in (build, look, train, evaluate, diagnose):
        verb.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    return parser


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is not yes or no")
    return text.lower() == "yes"


def _is_helper_process() -> bool:
    """Whether another process of the same shared run leads it (set by Fabric and torchrun)."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) > 0


def _both(job: jobs.Running, show: Any) -> Any:
    def emit(record: dict[str, Any]) -> None:
        job.emit(record)
        with suppress(OSError):  # the terminal may be gone; the work goes on
            show(record)

    return emit


def _print_progress(record: dict[str, Any]) -> None:
    kind = record["kind"]
    if kind == "progress":
        print(
            f"{record['done']:,} of {record['total']:,} scans, {record['skipped']:,} skipped, "
            f"{record['images_per_second']:.0f} a second, {record['seconds_left']:.0f} s left", file=sys.stderr,
        )  # fmt: skip
    elif kind == "epoch":
        train, val = record["train"], record["val"]
        print(
            f"epoch {record['epoch']}: loss {train['loss']:.4f}, accuracy {train['accuracy']:.3f}; "
            f"validation loss {val['loss']:.4f}, accuracy {_with_interval(val['accuracy'], val['accuracy_interval'])}, "
            f"AUC {_with_interval(val['auc'], val['auc_interval'])}; {record['seconds']:.0f} s", file=sys.stderr,
        )  # fmt: skip
    elif kind == "step":
        print(
            f"  {record['progress']:.2f} epochs: loss {record['loss']:.4f}, "
            f"{record['images_per_second']:.0f} images/s, {record['seconds_left']:.0f} s left", file=sys.stderr,
        )  # fmt: skip


def _print_count(done: int, total: int) -> None:
    print(f"{done:,} of {total:,}", file=sys.stderr)


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _result(options: argparse.Namespace, document: Any) -> None:
    if options.json:
        print(json.dumps(document, indent=1, ensure_ascii=False), file=options.stdout, flush=True)


def _first_file(*candidates: Path) -> Path:
    return next((item for item in candidates if item.is_file()), candidates[0])


def _path(given: str) -> Path:
    return Path(os.path.expanduser(given))  # noqa: PTH111 -- Path raises where there is no such user


def _say(sentence: str) -> int:
    """State an error; gives the exit status."""
    with suppress(OSError):
        print(f"error: {sentence}", file=sys.stderr)
    return 1
