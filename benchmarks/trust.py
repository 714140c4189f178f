"""How far the shipped models can be trusted, measured on the real scans: data, answers, refusals, heatmaps.

    python benchmarks/trust.py SCANS [--model NAME …] [--json FILE] [--write]

SCANS is the folder that holds `datasets/` and `samples/`. Prints one table; `--json` keeps everything behind it;
`--write` puts the table into each model's card and into `docs/trust.md`. Takes some minutes on two cores. Nothing is
fitted here: what a model decides with comes from its card, as its training left it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.faithfulness import measure_faithfulness
from xrai.calibration import ThresholdGoal
from xrai.core.errors import ScanError
from xrai.core.language import N_, dump_json, say
from xrai.core.paths import PROJECT_DIR
from xrai.data.audit import run_audit
from xrai.data.dataset import BuildConfig, Dataset, build_dataset, open_dataset
from xrai.data.sources import open_source
from xrai.evaluation.evaluate import predict_logits
from xrai.evaluation.report import classification_report
from xrai.explain.cam import compute_logits_and_features
from xrai.explain.occlusion import MAX_OUTSIDE_BODY_SHARE
from xrai.input_check import InputCheck
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.models.operating_point import fit_operating_point
from xrai.reading.reader import Reader
from xrai.scans import Scan, read_scan

DATASETS = {"pneumonia": "chest_xray", "covid19": "covid19"}
BASELINES = (N_("Random"), N_("Centre"))
"""Maps that know nothing of the scan, as their rows name them."""

TYPED = N_(
    "Kaggle: pranavraikokte/covid19-image-dataset, licence as stated on its Kaggle page; at least 126 of its normal "
    "and viral films are films of Kermany et al. 2018 (CC BY 4.0)"
)
"""What was typed by hand onto a shipped card: it is told in other languages as well."""
HEATMAP_SCANS = 100
NEIGHBOURS = 6
MAX_FNR_GOAL, MAX_FPR_GOAL = ThresholdGoal(kind="max_fnr", limit=0.05), ThresholdGoal(kind="max_fpr", limit=0.10)
COPIES = Path(__file__).with_name("covid19-test-copies.txt").read_text(encoding="utf-8").split()
DOC = PROJECT_DIR / "docs" / "trust.md"


class Row(NamedTuple):
    """A line of the table: what was measured, what came out, and what was aimed at, if anything."""

    what: str
    value: str
    aim: str = ""


class Bench(NamedTuple):
    """A model, its dataset, and where the real scans lie."""

    reader: Reader
    dataset: Dataset
    scans: Path

    @property
    def card(self) -> Card:
        """Of the model."""
        return self.reader.card

    def rows(self, split: str) -> np.ndarray:
        """Of the dataset, without what is known to stand in training too."""
        rows = self.dataset.rows(split)
        return rows[[str(self.dataset.files[row]).rsplit("/", 1)[-1] not in COPIES for row in rows]]

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """In the model's order."""
        order = self.card.class_permutation(self.dataset.classes)
        assert order is not None
        return np.array(order)[self.dataset.labels[rows]]


def main() -> None:
    """Measure, print the table, keep it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path)
    parser.add_argument("--model", action="append", choices=list(DATASETS), help="default: all")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(2)
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.model or DATASETS:
            results[name] = measure_model(name, options.scans, Path(scratch))
            print_table(name, results[name]["rows"])
            if options.write:
                write_card_table(name, results[name])
    if options.json:
        options.json.write_text(dump_json(results, indent=1) + "\n", encoding="utf-8")
    if options.write:
        DOC.write_text(as_document(), encoding="utf-8")


def measure_model(name: str, scans: Path, scratch: Path) -> dict[str, Any]:
    """All rows of a model's table, and the figures behind them."""
    started_at, file = time.monotonic(), scratch / f"{DATASETS[name]}.hdf5"
    with open_source(scans / "datasets" / DATASETS[name]) as source:
        build_dataset(source, file, BuildConfig())
    reader = Reader.open(Checkpoint(PROJECT_DIR / "checkpoints" / name))
    rows: list[Row] = []
    details: dict[str, Any] = {}
    with open_dataset(file) as dataset:
        bench = Bench(reader, dataset, scans)
        for part in (data_rows, answer_rows, refusal_rows, heatmap_rows, similar_case_rows):
            print(f"{name}: {part.__name__}, {time.monotonic() - started_at:.0f} s so far", file=sys.stderr)
            for row in part(bench, details):
                rows.append(row)
                print(f"  {row.what}: {row.value}", file=sys.stderr)
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started_at),
        "rows": [row._asdict() for row in rows],
        "of": {
            "threshold": reader.card.threshold_value,
            "alpha": reader.card.abstention.alpha if reader.card.abstention else None,
        },
        **details,
    }


# --- the data ---------------------------------------------------------------------------------------------------------


def data_rows(bench: Bench, details: dict[str, Any]) -> Iterator[Row]:
    """What the audit finds in the dataset."""
    report = run_audit(bench.dataset)
    assert report is not None
    details["audit"] = [{**item.to_dict(), "groups": len(item.groups)} for item in report.findings]
    for item in report.findings:
        if item.severity != "fine":
            yield Row(say("Data: {title}", title=item.title), item.sentence)


# --- the answers ------------------------------------------------------------------------------------------------------


def answer_rows(bench: Bench, details: dict[str, Any]) -> Iterator[Row]:
    """Right answers, calibration, thresholds and doubt, on validation and on the official test."""
    card, classes = bench.card, bench.card.classes
    splits: dict[str, dict[str, Any]] = {}
    for split in ("val", "test"):
        rows = bench.rows(split)
        logits = predict_logits(bench.reader.network, card, bench.dataset, rows)
        splits[split] = {"logits": logits, "labels": bench.labels(rows), "patients": bench.dataset.patients[rows]}
    for split_results in splits.values():
        split_results["report"] = make_report(card, split_results)
        split_results["raw"] = make_report(card.replace(calibration=None, abstention=None), split_results)
    details["answers"] = {
        split: {kind: split_results[kind] | {"curves": None} for kind in ("report", "raw")}
        for split, split_results in splits.items()
    }
    test, val = splits["test"]["report"], splits["val"]["report"]
    yield Row(say("Test: scans called right"), format_share(test["accuracy"], test["accuracy_interval"]))
    yield Row(
        say("Test: AUC"),
        say("{auc:.3f} ({interval})", auc=test["auc"], interval=format_interval(test["auc_interval"], decimal)),
    )
    yield Row(say("Test: calibration error (ECE)"), format_calibration_error(test), say("at most 0.030"))
    yield Row(say("Test: the same before calibration"), format_calibration_error(splits["test"]["raw"]))
    yield Row(say("Validation: calibration error (ECE)"), format_calibration_error(val))
    if card.threshold:
        for goal in (MAX_FNR_GOAL, MAX_FPR_GOAL):
            yield from threshold_rows(bench, splits, goal)
    for split, words in (("val", N_("Validation")), ("test", N_("Test"))):
        abstention = splits[split]["report"]["answered"]
        if abstention is None:
            continue
        goal = split == "test" and card.threshold
        yield Row(
            say("{words}: scans that get a firm answer", words=words),
            format_share(abstention["answered"], abstention["answered_interval"]),
            say("at least 85 %") if goal else "",
        )  # fmt: skip
        yield Row(
            say("{words}: of these called right", words=words), format_share(abstention["right"], abstention["right_interval"]),
            say("at least 97 %") if goal else "",
        )  # fmt: skip
        for name, of_class in zip(classes, abstention["per_class"], strict=True):
            yield Row(
                say("{words}: {name} with a wrong firm answer", words=words, name=name),
                format_share(of_class["wrong"], of_class["wrong_interval"]),
                say("at most {alpha:.1f} %", alpha=100 * card.abstention.alpha) if card.abstention else "",
            )


def make_report(card: Card, split_results: Mapping[str, Any]) -> dict[str, Any]:
    """The classification report of a split's logits with a card's decisions."""
    return classification_report(
        card.to_probabilities(split_results["logits"]), split_results["labels"], split_results["patients"], card.classes, card.threshold_value,
        card.abstention,
    )  # fmt: skip


def threshold_rows(bench: Bench, splits: Mapping[str, Mapping[str, Any]], goal: ThresholdGoal) -> Iterator[Row]:
    """What a threshold that is chosen on validation does to both splits."""
    card, validation = bench.card, bench.reader.artifacts.validation
    assert validation is not None and card.threshold is not None
    adjusted_card = fit_operating_point(card, validation, goal=goal)
    first, second = card.classes
    words = goal.describe((first, second))
    for split, split_label in (("val", N_("Validation")), ("test", N_("Test"))):
        split_report = make_report(adjusted_card, splits[split])
        missed = 1 - split_report["per_class"][second]["recall"]
        alarms = 1 - split_report["per_class"][first]["recall"]
        yield Row(
            say("{told}: threshold to {words}", told=split_label, words=words),
            say(
                "{x:.1f} in 100 of {second} missed, {x2:.1f} in 100 of {first} false alarms",
                x=100 * missed,
                second=second,
                x2=100 * alarms,
                first=first,
            ),
        )


def format_calibration_error(split_report: Mapping[str, Any]) -> str:
    """With its interval, and what perfect probabilities would show with so many scans."""
    low, high = split_report["expected_calibration_error_interval"]
    chance = split_report["expected_calibration_error_by_chance"]
    return say(
        "{found:.3f} ({low:.3f} to {high:.3f}; {chance:.3f} by chance alone)",
        found=split_report["expected_calibration_error"],
        low=low,
        high=high,
        chance=chance,
    )


# --- the refusal ------------------------------------------------------------------------------------------------------


def refusal_rows(bench: Bench, details: dict[str, Any]) -> Iterator[Row]:
    """Which pictures are refused or offered mended."""
    gate = bench.reader.artifacts.input_check
    assert gate is not None
    squares = bench.dataset.images(bench.dataset.rows("test"))
    verdicts = [gate.check(square) for square in squares]
    refused = sum(not item.is_accepted for item in verdicts)
    details["refusals"] = counts_by_kind = {"test films": [len(squares), refused]}
    yield Row(say("Test films refused"), counted(refused, len(squares)), say("at most 0.5 %"))
    collected_images = list(read_samples(bench.scans / "samples" / "not_frontal_chest"))
    synthetic = list(synthetic_images(squares))
    for source, pictures in ((N_("collected"), collected_images), (N_("made"), synthetic)):
        for kind in dict.fromkeys(kind for kind, _ in pictures):
            refusal_flags = [is_refused(gate, scan) for name, scan in pictures if name == kind]
            counts_by_kind[kind] = [len(refusal_flags), sum(refusal_flags)]
            yield Row(
                say("Refused: {kind} ({how})", kind=kind, how=source), counted(sum(refusal_flags), len(refusal_flags))
            )
        n, hits = (sum(counts_by_kind[kind][i] for kind in {kind for kind, _ in pictures}) for i in (0, 1))
        yield Row(say("Refused: all that were {how}", how=source), counted(hits, n), say("at least 99.5 %"))
    for kind, change, correction in WRONG_ORIENTATIONS:
        corrected_verdicts = [gate.check(np.ascontiguousarray(change(square))) for square in squares]
        right = sum(item.correction == correction for item in corrected_verdicts)
        wrong = sum(item.correction is not None and item.correction != correction for item in corrected_verdicts)
        missed = sum(item.is_accepted for item in corrected_verdicts)
        counts_by_kind[kind] = [len(corrected_verdicts), right, wrong, missed]
        yield Row(
            say("Test films {kind}, offered mended", kind=kind),
            say(
                "{counted} rightly, {wrong} wrongly; {missed} read as they are",
                counted=counted(right, len(corrected_verdicts)),
                wrong=wrong,
                missed=missed,
            ),
        )
    dicom_files = sorted((bench.scans / "samples" / "dicom_chest").glob("*.dcm"))
    accepted = sum(gate.check(read_scan(file).pixels).is_accepted for file in dicom_files)
    yield Row(
        say("DICOM films of adults accepted"), say("{accepted} of {len}", accepted=accepted, len=len(dicom_files))
    )
    started_at = time.perf_counter()
    large = np.kron(squares[0], np.ones((4, 4), np.uint8))
    for _ in range(20):
        gate.check(large)
    yield Row(say("Time for one judgement"), say("{x:.1f} ms", x=(time.perf_counter() - started_at) / 20 * 1000))


WRONG_ORIENTATIONS: tuple[tuple[str, Callable[[np.ndarray], np.ndarray], str], ...] = (
    (N_("inverted"), lambda square: 255 - square, "inverted"),
    (N_("turned a quarter to the right"), lambda square: np.rot90(square, -1), N_("turned 90° left")),
    (N_("turned a quarter to the left"), np.rot90, N_("turned 90° right")),
    (N_("upside down"), lambda square: np.rot90(square, 2), N_("turned 180°")),
)


def is_refused(gate: InputCheck, scan: Scan | None) -> bool:
    """Whether a picture is refused; one that cannot even be read is."""
    return scan is None or not gate.check(scan.pixels, colour=scan.colour).is_accepted


COLLECTED = (
    N_("bone xray"), N_("ct"), N_("cxr lateral"), N_("documents"), N_("photos"),
    N_("screenshots figures"),
)  # fmt: skip
"""The folders of pictures of other things, in words."""


def read_samples(folder: Path) -> Iterator[tuple[str, Scan | None]]:
    """The pictures of other things that were collected, each with its kind."""
    for file in sorted(folder.glob("*/*")):
        try:
            yield file.parent.name.replace("_", " "), read_scan(file)
        except ScanError:
            yield file.parent.name.replace("_", " "), None


def synthetic_images(squares: np.ndarray) -> Iterator[tuple[str, Scan]]:
    """Other pictures, made here from chance and from films that the gate has not learned from."""
    rng = np.random.default_rng(2026)
    size = squares.shape[1]
    half, third = size // 2, size // 3
    for square in squares[:: max(1, len(squares) // 100)]:
        tiles = [square[i : i + half, j : j + half] for i in (0, half) for j in (0, half)]
        yield say("films cut in four and shuffled"), make_scan(_shuffle_tiles(tiles, rng))
        yield say("films, a ninth of the picture"), make_scan(square[third : 2 * third, third : 2 * third])
        yield N_("noise"), make_scan(rng.integers(0, 256, (size, size)))
        ramp = np.linspace(0, 255, size)
        ramps = np.add.outer(rng.random() * ramp, rng.random() * ramp[:: rng.choice([-1, 1])]) / 2
        yield N_("ramps"), make_scan(ramps)
        yield say("one grey"), make_scan(np.full((size, size), rng.integers(256)))
        yield N_("checkerboards"), make_scan(np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((size // 8,) * 2)) * 255)


def make_scan(pixels: np.ndarray) -> Scan:
    """A picture as the gate gets it."""
    image = np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8))
    return Scan(image, "", "PNG", "L", image.shape[1], image.shape[0], image.nbytes)


def _shuffle_tiles(tiles: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    orders = [[1, 2, 3, 0], [2, 3, 0, 1], [3, 2, 1, 0], [2, 0, 3, 1]]
    a, b, c, d = (tiles[i] for i in orders[rng.integers(4)])
    return np.block([[a, b], [c, d]])


# --- the heatmap, similar cases ---------------------------------------------------------------------------------------


def heatmap_rows(bench: Bench, details: dict[str, Any]) -> Iterator[Row]:
    """How far the heatmaps say what the model uses, on test scans, one a patient."""
    rows = bench.rows("test")
    _, first_indices = np.unique(bench.dataset.patients[rows].astype(str), return_index=True)
    selected_rows = np.random.default_rng(0).permutation(rows[first_indices])[:HEATMAP_SCANS]
    methods = [method for method in bench.reader.methods if method != "Grad-CAM"]
    scores_by_method = measure_faithfulness(
        bench.reader.network, bench.card.preprocessing, bench.dataset.images(np.sort(selected_rows)), methods=methods
    )
    details["heatmaps"] = scores_by_method
    for method, scores in scores_by_method["maps"].items():
        road, deletion, insertion = (_format_mean(scores[key]) for key in ("road", "deletion", "insertion"))
        yield Row(
            say("Heatmap: {method}", method=method),
            say(
                "ROAD {road}, deletion {deletion}, insertion {insertion}",
                road=road,
                deletion=deletion,
                insertion=insertion,
            ),
        )
    for method, parts in scores_by_method["other_weights"].items():
        head, half, whole = (parts[key][0] for key in ("head", "half", "all"))
        likeness_text = say("head {head:.2f}, half {half:.2f}, all {whole:.2f}", head=head, half=half, whole=whole)
        yield Row(
            say("Heatmap: {method}, likeness with shuffled weights", method=method), likeness_text, say("about 0")
        )
    best = scores_by_method["maps"][methods[0]]["stray_share"]
    yield Row(
        say("Heatmap: share of heat at the border or off the body"),
        say("{_mean}; alarm above {STRAY_LIMIT}", _mean=_format_mean(best), STRAY_LIMIT=MAX_OUTSIDE_BODY_SHARE),
    )


def similar_case_rows(bench: Bench, details: dict[str, Any]) -> Iterator[Row]:
    """How often most of the similar training scans carry the true label."""
    neighbours, rows = bench.reader.artifacts.neighbour_index, bench.rows("test")
    assert neighbours is not None
    labels, hits = bench.labels(rows), []
    for row, label in zip(rows, labels, strict=True):
        inputs = bench.card.preprocessing(bench.dataset.images([row])[0])
        _, features = compute_logits_and_features(bench.reader.network, inputs)
        nearest_labels = [item.label for item in neighbours.find_nearest(features[0].numpy(), NEIGHBOURS)]
        hits.append(int(np.bincount(nearest_labels, minlength=len(bench.card.classes)).argmax()) == label)
    details["similar"] = {"n": len(rows), "agree": float(np.mean(hits))}
    yield Row(say("Similar cases: the most frequent label is the true one"), percent(float(np.mean(hits))))


# --- words and places -------------------------------------------------------------------------------------------------


def format_share(value: float | None, interval: Sequence[float] | None) -> str:
    """A share with its interval, in per cent."""
    if value is None:
        return "–"
    if not interval:
        return percent(value)
    return say("{value} ({interval})", value=percent(value), interval=format_interval(interval, percent))


def format_interval(interval: Sequence[float], form: Callable[[float], str]) -> str:
    """The two ends of an interval, each as `form` writes it."""
    return say("{interval} to {interval2}", interval=form(interval[0]), interval2=form(interval[1]))


def percent(share: float) -> str:
    """A share, 0 to 1, in per cent."""
    return say("{x:.1f} %", x=100 * share)


def decimal(value: float) -> str:
    """A number with three digits."""
    return say("{value:.3f}", value=value)


def counted(part: int, whole: int) -> str:
    """So many of so many, and the share."""
    return say("{part} of {whole} ({x})", part=part, whole=whole, x=percent(part / whole))


def _format_mean(values: Sequence[float]) -> str:
    return say("{values:.3f} ({values2:.3f} to {values3:.3f})", values=values[0], values2=values[1], values3=values[2])


def print_table(name: str, rows: Sequence[Mapping[str, str]]) -> None:
    """On standard output."""
    width = max(len(row["what"]) for row in rows)
    print(f"\n{name}")
    for row in rows:
        print(f"  {row['what']:{width}}  {row['value']}" + (f"   [aim: {row['aim']}]" if row["aim"] else ""))


def write_card_table(name: str, results: Mapping[str, Any]) -> None:
    """The table in the model's card."""
    checkpoint = Checkpoint(PROJECT_DIR / "checkpoints" / name)
    with checkpoint.card_lock():
        checkpoint.write_card(
            checkpoint.read_card().replace(
                trust_report=results["of"] | {"when": results["when"], "rows": results["rows"]}
            )
        )


def as_document() -> str:
    """The tables in the models' cards as a page of the documentation."""
    lines = ["# How far the shipped models can be trusted", "", "Made by `benchmarks/trust.py`; do not edit.", ""]
    for name in DATASETS:
        values = Checkpoint(PROJECT_DIR / "checkpoints" / name).read_card().trust_report
        assert values
        lines += [
            f"## {name}",
            "",
            f"Measured on {values.when[:10]}.",
            "",
            "| what | measured | aim |",
            "|---|---|---|",
        ]
        lines += [
            "| " + " | ".join(getattr(row, key).replace("|", "\\|") for key in Row._fields) + " |"
            for row in values.rows
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
