"""Every verb of the command line, with its options."""

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
from xrai.training.config import TrainConfig, flag_name, format_value

_SETTINGS_EPILOG = (
    "With --weights MODEL, the network, its members, the image size and the greys are that model's, as far as they are "
    "not given."
)


def make_parser() -> argparse.ArgumentParser:
    """The parser: what it gives has `run`, the verb's function, and `json`."""
    parser = argparse.ArgumentParser(
        "python -m xrai",
        description="Chest X-rays: build a dataset, train and compare models, read scans.",
        allow_abbrev=False,  # a typo must not be taken for another option
    )
    parser.add_argument("--version", action="version", version=f"xrai {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_datasets(verbs)
    _add_runs(verbs)
    _add_readings(verbs)
    _add_models(verbs)
    return parser


def _add_datasets(verbs: Any) -> None:
    build = _add_verb(verbs, "build", datasets.build, "make an HDF5 dataset from scans")
    kaggle_names = ", ".join(f"kaggle:{source.handle}" for source in KAGGLE_SETS)
    build.add_argument(
        "source", help=f"a folder or zip of class folders, “{PRACTICE_SPEC}” for drawings, or {kaggle_names}"
    )
    build.add_argument("out", help="the .hdf5 file to make")
    build.add_argument("--size", type=int, default=224, help="side of the stored squares in pixels (default 224)")
    build.add_argument(
        "--workers", type=int, default=min(os.cpu_count() or 2, 8),
        help="scans read at once (default: as many as there are processors, at most 8)",
    )  # fmt: skip
    build.add_argument("--seed", type=int, default=0, help="of the split by patient (default 0)")
    build.add_argument("--population", default="", help="who is in the scans, in words; kept with every model")
    build.add_argument("--licence", default="", help="source and licence of the scans, in words")

    inspect = _add_verb(verbs, "look", datasets.inspect, "show what a source of scans holds, before building")
    inspect.add_argument("source", help="as for build")

    audit = _add_verb(verbs, "audit", datasets.audit, "look for what in a dataset would mislead, and keep it beside it")
    audit.add_argument("dataset", help="the .hdf5 file")

    clean = _add_verb(verbs, "clean", datasets.clean, "copy a dataset without copies of scans and conflicting labels")
    clean.add_argument("dataset", help="the .hdf5 file; it stays as it is")
    clean.add_argument("out", help="the .hdf5 file to make")
    clean.add_argument(
        "--keep-near-duplicates", action="store_true", help="take out equal files only, not copies that were changed"
    )
    clean.add_argument(
        "--only", action="append", default=[], choices=REMOVABLE_KINDS,
        help="take out what the audit suggests for this kind, and nothing else; may be given several times",
    )  # fmt: skip
    clean.add_argument(
        "--without", metavar="FILE", help="a text file that names scans to take out, one a line; with --only, these too"
    )
    clean.add_argument(
        "--keep", metavar="FILE", help="a text file that names scans to leave in all the same, one a line"
    )


def _add_runs(verbs: Any) -> None:
    train = _add_verb(verbs, "train", runs.train, "train a model on a dataset")
    train.add_argument("dataset", nargs="?", help="the .hdf5 file; may be left out with --resume")
    train.add_argument("--name", required=True, help="of the model: its folder below checkpoints/")
    train.add_argument("--resume", action="store_true", help="go on with a run that was stopped or broke off")
    add_settings(train)

    sweep = _add_verb(verbs, "sweep", runs.sweep, "train with every combination of a few settings, one after another")
    sweep.add_argument("dataset", nargs="?", help="the .hdf5 file; left out with --resume")
    sweep.add_argument("--name", required=True, help="of the sweep; its runs are called NAME-1, NAME-2 and so on")
    sweep.add_argument(
        "--vary", action="append", default=[], metavar="SETTING=VALUE,VALUE",
        help="a setting with the values to try, such as learning-rate=0.001,0.0003; may be given several times",
    )  # fmt: skip
    sweep.add_argument("--resume", action="store_true", help="go on with a sweep that was stopped or broke off")
    add_settings(sweep)

    layers = _add_verb(
        verbs, "layers", runs.summarize_network, "show a network layer by layer, and the memory that its training needs"
    )
    layers.add_argument("--classes", type=int, default=2, help="how many classes it tells apart (default 2)")
    add_settings(layers)


def _add_readings(verbs: Any) -> None:
    evaluate = _add_verb(verbs, "evaluate", readings.evaluate, "measure a model on a dataset")
    evaluate.add_argument("name", help="the model's name")
    evaluate.add_argument("dataset", help="the .hdf5 file")
    evaluate.add_argument("--split", choices=SPLITS, default="test", help="what to measure it on (default test)")
    evaluate.add_argument(
        "--without", metavar="FILE", help="a text file that names scans of the split to leave out, one a line"
    )

    _add_calibrate(verbs)

    diagnose = _add_verb(verbs, "diagnose", readings.diagnose, "read scans with a model")
    diagnose.add_argument("files", nargs="+", metavar="FILE", help="scans: DICOM, JPEG, PNG, TIFF, WebP, BMP")
    diagnose.add_argument(
        "--model", help=f"its name (default: the one chosen with “models default”, else {SHIPPED}, which comes with "
        "XRAI, else the newest)",
    )  # fmt: skip
    diagnose.add_argument("--mend", action="store_true", help="turn or invert a film first where that would mend it")
    diagnose.add_argument(
        "--any-picture", action="store_true", help="read also what does not look like a chest X-ray from the front"
    )
    diagnose.add_argument("--heatmap", metavar="DIR", help="write each scan beside its heatmap as a PNG here")


def _add_calibrate(verbs: Any) -> None:
    calibrate = _add_verb(
        verbs,
        "calibrate",
        calibrating.calibrate,
        "choose what a model calls, when it is not sure, and for whom it speaks",
    )
    calibrate.add_argument("name", help="the model's name")
    calibrate.add_argument(
        "dataset", nargs="?",
        help="the .hdf5 file that it learned from: fit everything anew, as for a model of an earlier version; left "
        "out, what was kept of its training is used",
    )  # fmt: skip
    threshold = calibrate.add_mutually_exclusive_group()
    of_second = "call the second class"
    threshold.add_argument(
        "--misses", type=float, metavar="N", help=f"{of_second} so that of 100 scans of it at most N are missed"
    )
    threshold.add_argument(
        "--alarms", type=float, metavar="N", help=f"{of_second} for at most N of 100 scans of the first"
    )
    threshold.add_argument("--threshold", type=float, metavar="P", help=f"{of_second} from this probability on")
    threshold.add_argument("--likeliest", action="store_true", help=f"{of_second} where it is the likelier one")
    calibrate.add_argument(
        "--doubt", type=float, metavar="N",
        help="answer “not sure” so that of 100 scans of a class at most N get a wrong firm answer",
    )  # fmt: skip
    calibrate.add_argument(
        "--prevalence", type=float, metavar="N", help="how many of 100 of your patients have the second class"
    )


def _add_models(verbs: Any) -> None:
    """`models` alone lists them; the words after it do something with one."""
    models_verb = _add_verb(
        verbs, "models", models.show, "list models, or compare, rename, note, choose, export, … them"
    )
    models_verb.description = "Without WHAT, list every run and model."
    actions = models_verb.add_subparsers(metavar="WHAT", parser_class=_NestedParser)
    compare = _add_verb(actions, "compare", models.compare, "show how the settings and figures of some models differ")
    compare.add_argument("names", nargs="+", metavar="NAME", help="of a model")
    rename = _add_model_verb(actions, "rename", models.rename, "give a model another name")
    rename.add_argument("new_name", metavar="NEW_NAME", help="which no other has")
    note = _add_model_verb(actions, "note", models.note, "keep a note with a model")
    note.add_argument("text", metavar="TEXT", help="in place of the note before; an empty one removes it")
    _add_model_verb(actions, "default", models.default, "choose the model that reads scans when none is named")
    export = _add_model_verb(actions, "export", models.export, "write a model into a zip, to take it elsewhere")
    export.add_argument("zip", metavar="ZIP", help="the file to write; one that is there is replaced")
    import_verb = _add_verb(actions, "import", models.import_, "take in a model from a zip")
    import_verb.add_argument("zip", metavar="ZIP", help="a file that “models export” or the Models page made")
    import_verb.add_argument(
        "--name", help="of the new model (default: the one in the zip, with a number if it is taken)"
    )
    delete = _add_model_verb(actions, "delete", models.delete, "delete a model for good")
    delete.add_argument("--yes", action="store_true", help="do it without asking")


class _NestedParser(argparse.ArgumentParser):
    """A verb behind a verb: what it was not given leaves what the verb before it was given."""


def _add_verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
    description = help[0].upper() + help[1:] + "."
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=help, description=description, allow_abbrev=False)
    json_default = argparse.SUPPRESS if isinstance(verb, _NestedParser) else False
    verb.add_argument(
        "--json", action="store_true", default=json_default, help="print one JSON document on standard output"
    )
    verb.set_defaults(run=run)
    return verb


def _add_model_verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int], help: str
) -> argparse.ArgumentParser:
    """A verb that does something with one model."""
    verb = _add_verb(verbs, name, run, help)
    verb.add_argument("name", metavar="NAME", help="of the model")
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


def _parse_yes_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is not yes or no")
    return text.lower() == "yes"
