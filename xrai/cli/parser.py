"""Argument parser with all verbs and options."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from xrai import __version__
from xrai.cli import calibrating, datasets, models, readings, runs
from xrai.data.audit.findings import REMOVABLE_KINDS
from xrai.data.sources import KAGGLE_SETS, PRACTICE_SPEC, SPLITS
from xrai.models import SHIPPED
from xrai.networks.config import settings_of
from xrai.scans.patient_age import MAX_AGE, parse_age
from xrai.training.config import TrainConfig, flag_name, format_value

_SETTINGS_EPILOG = (
    "With --weights MODEL, settings of the network that are not given (architecture, ensemble size, image size, "
    "normalization) are those of that model."
)


def make_parser() -> argparse.ArgumentParser:
    """The parser; parsed options hold `run`, the verb's function, and `json`."""
    parser = argparse.ArgumentParser(
        "python -m xrai",
        description="Chest X-rays: build datasets, train and compare models, diagnose scans.",
        allow_abbrev=False,  # a mistyped option must not be taken for another one
    )
    parser.add_argument("--version", action="version", version=f"xrai {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for add in (_add_build, _add_inspect, _add_audit, _add_clean, _add_train, _add_sweep, _add_summary, _add_evaluate):
        add(verbs)
    for add in (_add_calibrate, _add_diagnose, _add_models):
        add(verbs)
    return parser


# ---------------------------------------------------------------- datasets


def _add_build(verbs: Any) -> None:
    build = _add_verb(verbs, "build", datasets.build, "build an HDF5 dataset from scans")
    kaggle_names = ", ".join(f"kaggle:{source.handle}" for source in KAGGLE_SETS)
    _add(build, "source", help=f"folder or zip with one folder per class, “{PRACTICE_SPEC}”, or {kaggle_names}")
    _add(build, "out", help="HDF5 file to write")
    _add(build, "--size", type=int, default=224, help="side length of the stored images in pixels (default 224)")
    workers = min(os.cpu_count() or 2, 8)
    _add(build, "--workers", type=int, default=workers, help="parallel readers (default: number of CPUs, at most 8)")
    _add(build, "--seed", type=int, default=0, help="random seed of the split by patient (default 0)")
    _add(build, "--population", default="", help="description of the patients, stored with every model")
    _add(build, "--licence", default="", help="source and licence of the scans")
    finding_help = "of two classes the one that is looked for (default: by their names)"
    _add(build, "--finding", default="", metavar="CLASS", help=finding_help)
    doubtful_help = "leave out scans whose DICOM header says that they are no frontal chest X-rays"
    _add(build, "--exclude-doubtful", action="store_true", help=doubtful_help)


def _add_inspect(verbs: Any) -> None:
    inspect = _add_verb(verbs, "inspect", datasets.inspect, "show the content of a source before building a dataset")
    _add(inspect, "source", help="see build")


def _add_audit(verbs: Any) -> None:
    summary = "check a dataset for duplicates, label conflicts, leakage, shortcuts and shift"
    audit = _add_verb(verbs, "audit", datasets.audit, summary)
    _add(audit, "dataset", help="HDF5 file")


def _add_clean(verbs: Any) -> None:
    summary = "copy a dataset without duplicates and conflicting labels"
    clean = _add_verb(verbs, "clean", datasets.clean, summary)
    _add(clean, "dataset", help="HDF5 file; it is not changed")
    _add(clean, "out", help="HDF5 file to write")
    _add(clean, "--keep-near-duplicates", action="store_true", help="remove identical files only")
    kinds_help = "remove only what the audit suggests for this kind of finding; may be repeated"
    _add(clean, "--kinds", action="append", default=[], choices=REMOVABLE_KINDS, help=kinds_help)
    exclude_help = "text file with scans to remove, one per line; with --kinds, in addition to these"
    _add(clean, "--exclude", metavar="FILE", help=exclude_help)
    _add(clean, "--keep", metavar="FILE", help="text file with scans to keep in any case, one per line")


# ---------------------------------------------------------------- training


def _add_train(verbs: Any) -> None:
    train = _add_verb(verbs, "train", runs.train, "train a model on a dataset")
    _add(train, "dataset", nargs="?", help="HDF5 file; optional with --resume")
    _add(train, "--name", required=True, help="name of the model, a folder in checkpoints/")
    _add(train, "--resume", action="store_true", help="continue a stopped or interrupted run")
    add_settings(train)


def _add_sweep(verbs: Any) -> None:
    summary = "train one model for every combination of hyper-parameter values (grid search)"
    sweep = _add_verb(verbs, "sweep", runs.sweep, summary)
    _add(sweep, "dataset", nargs="?", help="HDF5 file; omit with --resume")
    _add(sweep, "--name", required=True, help="name of the sweep; its runs are NAME-1, NAME-2, …")
    vary_help = "setting and values to try, for example learning-rate=0.001,0.0003; may be repeated"
    _add(sweep, "--vary", action="append", default=[], metavar="SETTING=VALUE,VALUE", help=vary_help)
    _add(sweep, "--resume", action="store_true", help="continue a stopped or interrupted sweep")
    add_settings(sweep)


def _add_summary(verbs: Any) -> None:
    title = "show the layers of a network and the memory needed to train it"
    summary = _add_verb(verbs, "summary", runs.summarize_network, title)
    _add(summary, "--classes", type=int, default=2, help="number of classes (default 2)")
    add_settings(summary)


# ---------------------------------------------------------------- use of a model


def _add_evaluate(verbs: Any) -> None:
    evaluate = _add_verb(verbs, "evaluate", readings.evaluate, "evaluate a model on a split of a dataset")
    _add(evaluate, "name", help="name of the model")
    _add(evaluate, "dataset", help="HDF5 file")
    _add(evaluate, "--split", choices=SPLITS, default="test", help="split to evaluate on (default test)")
    _add(evaluate, "--exclude", metavar="FILE", help="text file with scans to leave out, one per line")


def _add_calibrate(verbs: Any) -> None:
    calibrate = _add_verb(verbs, "calibrate", calibrating.calibrate, "set threshold, abstention and prevalence")
    _add(calibrate, "name", help="name of the model")
    dataset_help = (
        "training dataset of the model, to repeat the fitting; without it, stored validation outputs are used"
    )
    _add(calibrate, "dataset", nargs="?", help=dataset_help)
    threshold = calibrate.add_mutually_exclusive_group()
    target = "threshold for a target {} on the validation split, in per cent, for example 95"
    _add(threshold, "--sensitivity", type=float, metavar="PERCENT", help=target.format("sensitivity"))
    _add(threshold, "--specificity", type=float, metavar="PERCENT", help=target.format("specificity"))
    threshold_help = "fixed threshold: probability from which the second class is called, 0 to 1"
    _add(threshold, "--threshold", type=float, metavar="PROBABILITY", help=threshold_help)
    _add(threshold, "--argmax", action="store_true", help="call the class with the higher probability (threshold 50 %)")
    abstain_help = "abstain (“not sure”) so that at most this percentage of each class gets a wrong confident answer"
    _add(calibrate, "--abstain", type=float, metavar="PERCENT", help=abstain_help)
    prevalence_help = "prevalence of the second class among your patients, in per cent"
    _add(calibrate, "--prevalence", type=float, metavar="PERCENT", help=prevalence_help)


def _add_diagnose(verbs: Any) -> None:
    diagnose = _add_verb(verbs, "diagnose", readings.diagnose, "diagnose scans with a model")
    _add(diagnose, "files", nargs="+", metavar="FILE", help="scans: DICOM, JPEG, PNG, TIFF, WebP, BMP")
    model_help = f"name of the model (default: the one set by “models default”, else {SHIPPED}, else the newest)"
    _add(diagnose, "--model", help=model_help)
    _add(
        diagnose,
        "--fix-orientation",
        action="store_true",
        help="correct rotated, inverted or mirrored images before reading",
    )
    any_help = "also read images that are not recognised as frontal chest X-rays (out-of-distribution)"
    _add(diagnose, "--any-image", action="store_true", help=any_help)
    _add(
        diagnose,
        "--age",
        type=_age,
        metavar="YEARS",
        help="the patients' age, where the files do not tell it: 4, 30M (months), 3W (weeks)",
    )
    any_age_help = "also read patients outside the ages that the model may be used for, with a warning"
    _add(diagnose, "--any-age", action="store_true", help=any_age_help)
    _add(diagnose, "--heatmap", metavar="DIR", help="folder for PNG files with each scan beside its heatmap")


# ---------------------------------------------------------------- models


def _add_models(verbs: Any) -> None:
    """`models` alone lists all models; a nested verb acts on one of them."""
    models_verb = _add_verb(verbs, "models", models.show, "list, compare, rename, export, import or delete models")
    models_verb.description = "Without ACTION, list all runs and models."
    actions = models_verb.add_subparsers(metavar="ACTION", parser_class=_NestedParser)
    compare = _add_verb(actions, "compare", models.compare, "compare settings and validation results of models")
    _add(compare, "names", nargs="+", metavar="NAME", help="name of a model")
    rename = _add_model_verb(actions, "rename", models.rename, "rename a model")
    _add(rename, "new_name", metavar="NEW_NAME", help="new name, not in use")
    note = _add_model_verb(actions, "note", models.note, "store a note with a model")
    _add(note, "text", metavar="TEXT", help="replaces the previous note; an empty text removes it")
    _add_model_verb(actions, "default", models.default, "set the model used by diagnose when none is named")
    intended = _add_model_verb(actions, "intended-use", models.intended_use, "say whom a model may be used for")
    _add(intended, "--ages", type=_ages, metavar="MIN-MAX", help="ages in whole years, both included, such as 1-5")
    _add(intended, "--views", nargs="+", metavar="VIEW", help="DICOM view positions, such as AP PA")
    _add(intended, "--modalities", nargs="+", metavar="CODE", help="DICOM modalities, such as CR DX")
    teaching_help = "yes: for teaching only, not offered for a diagnosis"
    _add(intended, "--teaching", type=_parse_yes_no, metavar="yes|no", help=teaching_help)
    export = _add_model_verb(actions, "export", models.export, "export a model to a zip file")
    _add(export, "zip", metavar="ZIP", help="file to write; an existing file is replaced")
    import_verb = _add_verb(actions, "import", models.import_, "import a model from a zip file")
    _add(import_verb, "zip", metavar="ZIP", help="file written by “models export” or the Models page")
    _add(import_verb, "--name", help="name of the new model (default: the name in the zip file, numbered if in use)")
    delete = _add_model_verb(actions, "delete", models.delete, "delete a model permanently")
    _add(delete, "--yes", action="store_true", help="do not ask for confirmation")


class _NestedParser(argparse.ArgumentParser):
    """Nested subcommand: unset flags do not overwrite the parent's."""


def _add(parser: Any, name: str, **settings: Any) -> None:
    """An option or argument; a per cent sign in its help is literal."""
    settings["help"] = settings["help"].replace("%", "%%")
    parser.add_argument(name, **settings)


def _add_verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
    description = help[0].upper() + help[1:] + "."
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=help, description=description, allow_abbrev=False)
    json_default = argparse.SUPPRESS if isinstance(verb, _NestedParser) else False
    verb.add_argument("--json", action="store_true", default=json_default, help="print the result as JSON")
    verb.set_defaults(run=run)
    return verb


def _add_model_verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int], help: str
) -> argparse.ArgumentParser:
    """A verb that acts on one model."""
    verb = _add_verb(verbs, name, run, help)
    verb.add_argument("name", metavar="NAME", help="name of the model")
    return verb


def add_settings(verb: argparse.ArgumentParser) -> None:
    """A flag for every setting of `TrainConfig`; one that is not given is None."""
    verb.epilog = _SETTINGS_EPILOG
    for name, setting in settings_of(TrainConfig).items():
        is_switch = isinstance(setting.default, bool)
        verb.add_argument(
            flag_name(name),
            type=_parse_yes_no if is_switch else type(setting.default),
            choices=setting.choices or None,
            metavar="{yes,no}" if is_switch else None,
            help=f"{setting.help} (default {format_value(setting.default)})".replace("%", "%%"),
        )


def _age(text: str) -> float:
    if (age := parse_age(text)) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: write years, or months as 30M, or weeks as 3W")
    return age


def _ages(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    if not (low.isdecimal() and high.isdecimal() and int(low) <= int(high) <= MAX_AGE):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of ages: write whole years, such as 1-5")
    return int(low), int(high)


def _parse_yes_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is not yes or no")
    return text.lower() == "yes"
