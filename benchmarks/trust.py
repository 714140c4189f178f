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
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.faithfulness import measure_faithfulness
from benchmarks.trust_refusals import refusal_rows
from benchmarks.trust_table import Bench, Row, decimal, format_interval, format_mean, format_share, percent
from xrai.calibration import ThresholdGoal
from xrai.core.language import N_, dump_json, say
from xrai.core.paths import PROJECT_DIR
from xrai.data.audit import run_audit
from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.sources import open_source
from xrai.evaluation.evaluate import predict_logits
from xrai.evaluation.report import classification_report
from xrai.explain.cam import compute_logits_and_features
from xrai.explain.occlusion import MAX_OUTSIDE_BODY_SHARE
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.models.operating_point import fit_operating_point
from xrai.reading.reader import Reader

DATASETS = {"pneumonia": "chest_xray", "covid19": "covid19"}


BASELINES = (N_("Random"), N_("Centre"), N_("Another scan"))
"""Maps that know nothing of the scan, as their rows name them."""


TYPED = N_(
    "Kaggle: pranavraikokte/covid19-image-dataset, licence as stated on its Kaggle page; at least 126 of its normal "
    "and viral films are films of Kermany et al. 2018 (CC BY 4.0)"
)
"""What was typed by hand onto a shipped card: it is told in other languages as well."""


HEATMAP_SCANS = 100


NEIGHBOURS = 6


MAX_FNR_GOAL, MAX_FPR_GOAL = ThresholdGoal(kind="max_fnr", limit=0.05), ThresholdGoal(kind="max_fpr", limit=0.10)


DOC = PROJECT_DIR / "docs" / "trust.md"


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


def data_rows(bench: Bench, details: dict[str, Any]) -> Iterator[Row]:
    """What the audit finds in the dataset."""
    report = run_audit(bench.dataset)
    assert report is not None
    details["audit"] = [{**item.to_dict(), "groups": len(item.groups)} for item in report.findings]
    for item in report.findings:
        if item.severity != "fine":
            yield Row(say("Data: {title}", title=item.title), item.sentence)


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
        )
        yield Row(
            say("{words}: of these called right", words=words),
            format_share(abstention["right"], abstention["right_interval"]),
            say("at least 97 %") if goal else "",
        )
        for name, of_class in zip(classes, abstention["per_class"], strict=True):
            yield Row(
                say("{words}: {name} with a wrong firm answer", words=words, name=name),
                format_share(of_class["wrong"], of_class["wrong_interval"]),
                say("at most {alpha:.1f} %", alpha=100 * card.abstention.alpha) if card.abstention else "",
            )


def make_report(card: Card, split_results: Mapping[str, Any]) -> dict[str, Any]:
    """The classification report of a split's logits with a card's decisions."""
    return classification_report(
        card.to_probabilities(split_results["logits"]),
        split_results["labels"],
        split_results["patients"],
        card.classes,
        card.threshold_value,
        card.abstention,
    )


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
        road, deletion, insertion = (format_mean(scores[key]) for key in ("road", "deletion", "insertion"))
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
        say("{_mean}; alarm above {STRAY_LIMIT}", _mean=format_mean(best), STRAY_LIMIT=MAX_OUTSIDE_BODY_SHARE),
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
