"""Tests of `xrai.training.diagnostics`: made-up histories of each kind, and what is said of them."""

import json
import math

import numpy as np
import pytest

from pages.shared.settings import setting_label
from xrai.core.errors import TrainingError
from xrai.core.json_files import read_records
from xrai.figures import accuracy_curves, auc_curves, loss_curves
from xrai.figures.curves import Annotation, annotate_curves
from xrai.metrics.formulas import wilson_interval
from xrai.models.checkpoint import open_checkpoint
from xrai.training.config import TrainConfig, default_settings
from xrai.training.diagnostics import (
    SEVERITIES,
    TEXTBOOK_COUNTS,
    TEXTBOOK_KINDS,
    History,
    analyse_curves,
    clean_records,
    count_class_errors,
    make_textbook_run,
)
from xrai.training.diagnostics.history import estimate_noise, mann_kendall_z, running_median

CONFIG = TrainConfig(network="convnet", balance="none").to_dict()
EVEN = {"NORMAL": {"train": 400, "val": 200}, "PNEUMONIA": {"train": 400, "val": 200}}
CHANCE = math.log(2)


def run_of(train, val, *, n=400, areas=None, epochs=None, reason="finished", head=0, keep="auc"):
    """A made-up run with the losses of each epoch; AUC follows the loss unless it is given."""
    areas = areas or [max(1 - (loss / CHANCE) ** 2 / 2, 0.5) for loss in val]
    records = [{"kind": "start", "epochs": epochs or len(train), "freeze_epochs": head, "val": n}]
    best = -math.inf
    for number, (learned, measured, area) in enumerate(zip(train, val, areas, strict=True), 1):
        score = area if keep == "auc" else -measured
        right = max(math.exp(-measured), 0.5)
        own = {"loss": learned, "accuracy": 0.8, "auc": max(1 - (learned / CHANCE) ** 2 / 2, 0.5)}
        low, high = wilson_interval(area, n, 1.96)
        unseen = {
            "loss": measured,
            "accuracy": right,
            "accuracy_interval": wilson_interval(right, n, 1.96),
            "auc": area,
        }
        unseen |= {"auc_interval": [low, high], "n": n}
        records.append({"kind": "epoch", "epoch": number, "train": own, "val": unseen, "best": score > best})
        best = max(best, score)
    return records + ([{"kind": "end", "reason": reason}] if reason else [])


def said(records, config=CONFIG, counts=EVEN, **how):
    return {item.kind: item for item in analyse_curves(records, config, counts=counts, **how)}


def falling(n, start=0.69, end=0.1, speed=8.0):
    return (end + (start - end) * np.exp(-speed * np.linspace(0, 1, n))).tolist()


def shaken(losses, amount, seed=0):
    return (np.array(losses) * np.exp(np.random.default_rng(seed).normal(0, amount, len(losses)))).tolist()


LEARNING = {"rate-too-high", "rate-too-low", "overfitting", "underfitting", "guessing"}


# ---------------------------------------------------------------- learning well, by heart


@pytest.mark.parametrize("seed", range(10))
def test_a_run_that_learns_well_is_told_so_and_nothing_else(seed):
    found = said(run_of(shaken(falling(24), 0.03, seed), shaken(falling(24, 0.7, 0.12), 0.06, seed + 50)))
    assert found["learning-well"].severity == "fine"
    assert not LEARNING & set(found)


def test_learning_well_on_few_scans_is_said_with_reserve():
    """“Learns well” once stood beside “too few validation scans to say”."""
    found = said(run_of(falling(24), falling(24, 0.7, 0.12), n=37))
    assert "small-validation" in found
    assert "may be luck" in found["learning-well"].sentence
    assert "Learns well" not in found["learning-well"].title


@pytest.mark.parametrize("turn", [8, 15, 25])
@pytest.mark.parametrize("rough", [0.01, 0.08])
def test_overfitting_is_found_with_the_epoch_from_which_it_goes_on(turn, rough):
    x = np.arange(40)
    val = np.where(x < turn, 0.7 - 0.5 * x / turn, 0.2 + 0.02 * (x - turn))
    found = said(run_of(shaken(falling(40, end=0.02), 0.03), shaken(val, rough)))
    assert abs(found["overfitting"].span[0] - (turn + 1)) <= 4
    assert found["overfitting"].span[1] == 40
    assert f"epoch {found['overfitting'].span[0]} " in found["overfitting"].sentence


def test_a_single_wild_epoch_is_no_overfitting():
    val = falling(20)
    val[12] = 0.6
    assert not LEARNING & set(said(run_of(falling(20), val)))


def test_a_rise_that_so_few_scans_do_not_bear_out_is_not_called_overfitting():
    val = [*falling(12, end=0.30), *[0.36] * 8]
    train = falling(20, end=0.02)
    assert "overfitting" in said(run_of(train, val, n=4000, areas=[0.99] * 20))
    assert "overfitting" not in said(run_of(train, val, n=30, areas=[0.99] * 20))


def test_a_rise_of_both_losses_is_not_learning_by_heart():
    rising = [*falling(10), *np.linspace(0.12, 0.3, 10).tolist()]
    assert "overfitting" not in said(run_of(rising, rising, n=4000))


def test_training_loss_above_validation_loss_is_no_fault():
    """Varied and mixed scans, label smoothing and dropout lift it."""
    assert not LEARNING & set(said(run_of(falling(20, end=0.3), falling(20, end=0.1))))


def test_it_says_whether_the_weights_that_are_kept_are_from_before_the_turn():
    val = [*falling(10, end=0.2), *np.linspace(0.25, 0.9, 14).tolist()]
    before = said(run_of(falling(24, end=0.02), val))["overfitting"]
    late = [0.7 + 0.01 * number for number in range(24)]
    after = said(run_of(falling(24, end=0.02), val, areas=late))["overfitting"]
    assert (before.severity, after.severity) == ("notable", "serious")
    assert "before that turn" in before.sentence
    assert "after that turn" in after.sentence
    assert "ranks scans as well as before" in after.sentence
    assert "ranks" not in before.sentence


def test_against_learning_by_heart_it_proposes_what_was_not_used_yet():
    val = [*falling(10, end=0.2), *np.linspace(0.25, 0.9, 14).tolist()]
    records = run_of(falling(24, end=0.02), val)
    assert said(records, CONFIG | {"augment_strength": 0.0})["overfitting"].changes == {"augment_strength": 1.0}
    assert said(records)["overfitting"].changes == {"mixup_alpha": 0.2, "dropout": 0.4}
    assert said(records, {})["overfitting"].changes == {}
    used = CONFIG | {"mixup_alpha": 0.5, "dropout": 0.6}
    assert said(records, used)["overfitting"].changes == {}


def test_new_scans_told_apart_far_worse_than_training_scans_is_learning_by_heart_too():
    flat = run_of(falling(20, end=0.02), falling(20, 0.69, 0.55), areas=[0.7] * 20, n=1000)
    found = said(flat)["overfitting"]
    assert found.chart == "auc"
    assert "0.70" in found.sentence


# ---------------------------------------------------------------- too little


def test_losses_that_still_fall_together_ask_for_more_epochs():
    slow = np.linspace(0.69, 0.40, 20).tolist()
    found = said(run_of(slow, shaken(slow, 0.01)), CONFIG | {"epochs": 20})["underfitting"]
    assert found.severity == "notable"
    assert found.changes == {"epochs": 40}
    assert found.span[1] == 20


def test_a_run_that_was_stopped_or_still_goes_on_is_not_blamed_for_falling_losses():
    slow = np.linspace(0.69, 0.40, 12).tolist()
    assert "underfitting" not in said(run_of(slow, slow, epochs=40, reason="stopped"), status="stopped")
    assert "underfitting" not in said(run_of(slow, slow, epochs=20, reason=""), status="running")


def test_poor_and_flat_is_too_little_learned():
    flat = shaken([0.66] * 12, 0.005)
    found = said(run_of(flat, flat, areas=[0.62] * 12))["underfitting"]
    assert (found.severity, found.title) == ("serious", "Has learned little")
    assert found.changes["epochs"] > 12


# ---------------------------------------------------------------- the learning rate


def test_a_loss_that_jumps_is_a_learning_rate_too_high():
    train = falling(20)
    train[11] = 1.2
    found = said(run_of(train, falling(20)))["rate-too-high"]
    assert found.at[0] == 12
    assert found.changes == {"learning_rate": 0.0001}


def test_a_loss_far_above_guessing_is_a_learning_rate_too_high_even_in_the_first_epoch():
    found = said(run_of([8.2], [69.0], epochs=10, reason=""), CONFIG | {"learning_rate": 1.0}, status="running")
    assert found["rate-too-high"].severity == "serious"
    assert found["rate-too-high"].changes == {"learning_rate": 0.001}
    assert "too-early" in found


def test_a_loss_that_is_no_number_is_found():
    found = said(run_of([0.6, math.nan], [0.6, math.nan], epochs=10, reason="failed"), status="failed")
    assert found["rate-too-high"].title == "The loss broke down"
    assert "epoch 2 " in found["rate-too-high"].sentence


def test_a_run_that_failed_for_such_a_loss_is_found(dataset, home):
    """The sentence is that of training itself."""
    checkpoint = open_checkpoint("diverged")
    checkpoint.folder.mkdir(parents=True)
    config = TrainConfig(
        network="convnet", image_size=64, batch_size=16, optimizer="sgd", learning_rate=10.0, schedule="constant"
    )
    from xrai.training.run import train_model

    records = []
    with pytest.raises(TrainingError) as error:
        train_model(config, dataset, checkpoint, emit=records.append)
    found = said(records, config.to_dict(), status="failed", error=str(error.value))
    assert found["rate-too-high"].title == "The loss broke down"
    assert "broken-off" not in found


def test_a_huge_rate_that_stays_at_guessing_is_too_high_and_a_usual_one_is_not():
    flat = shaken([CHANCE] * 12, 0.005)
    stuck = run_of(flat, flat, areas=[0.5] * 12)
    assert "rate-too-high" in said(stuck, CONFIG | {"learning_rate": 0.5})
    assert "rate-too-high" not in said(stuck, CONFIG)


def test_validation_that_swings_more_than_its_scans_explain_may_be_a_rate_too_high():
    swinging = [0.3 * (2.2 if number % 2 else 1) for number in range(16)]
    found = said(run_of(falling(16), swinging, n=2000))
    assert found["rate-too-high"].severity == "notable"
    assert "rate-too-high" not in said(run_of(falling(16), swinging, n=10))


def test_a_loss_that_falls_steadily_but_hardly_is_a_rate_too_low():
    slow = np.linspace(0.693, 0.670, 15).tolist()
    low = said(run_of(slow, slow, areas=[0.6] * 15), CONFIG | {"learning_rate": 1e-5})["rate-too-low"]
    assert low.changes == {"learning_rate": 0.001}
    assert "steadily" in low.sentence
    assert "rate-too-low" not in said(run_of(slow, slow, areas=[0.6] * 15), CONFIG | {"learning_rate": 1e-3})


def test_a_loss_that_does_not_move_under_a_tiny_rate_is_a_rate_too_low():
    flat = shaken([0.7] * 15, 0.01)
    found = said(run_of(flat, flat, areas=[0.55] * 15), CONFIG | {"learning_rate": 1e-6})["rate-too-low"]
    assert found.changes == {"learning_rate": 0.001}
    assert found.severity == "serious"


def test_a_tiny_rate_that_learns_well_is_no_fault():
    assert not LEARNING & set(said(run_of(falling(20), falling(20)), CONFIG | {"learning_rate": 1e-6}))


# ---------------------------------------------------------------- how much the scans can say


@pytest.mark.parametrize(("n", "severity"), [(20, "serious"), (90, "notable")])
def test_few_validation_scans_are_said(n, severity):
    found = said(run_of(falling(12), falling(12, end=0.2), n=n))["small-validation"]
    assert found.severity == severity
    assert f"On {n} validation scans" in found.sentence


def test_many_validation_scans_are_not():
    assert "small-validation" not in said(run_of(falling(12), falling(12), n=800))


def test_an_accuracy_no_better_than_always_calling_the_largest_class_is_serious():
    uneven = {"NORMAL": {"train": 100, "val": 40}, "PNEUMONIA": {"train": 900, "val": 360}}
    found = said(run_of(falling(12, end=0.3), falling(12, end=0.2)), counts=uneven)["imbalance"]
    assert found.severity == "serious"
    assert found.line == 0.9
    assert "90 %" in found.sentence
    assert found.changes == {"class_balance": "sampling"}


def test_uneven_classes_are_named_and_do_no_harm_where_the_model_is_better_than_that():
    uneven = {"NORMAL": {"train": 300, "val": 120}, "PNEUMONIA": {"train": 700, "val": 280}}
    assert said(run_of(falling(12), falling(12)), counts=uneven)["imbalance"].severity == "fine"
    assert "imbalance" not in said(run_of(falling(12), falling(12)))
    assert "imbalance" not in said(run_of(falling(12), falling(12)), counts={})


def test_one_class_far_more_frequent_that_nothing_makes_up_for_is_notable():
    uneven = {"A": {"train": 600, "val": 45}, "B": {"train": 100, "val": 30}, "C": {"train": 500, "val": 40}}
    records = run_of(falling(12), falling(12))
    assert said(records, counts=uneven)["imbalance"].severity == "notable"
    assert said(records, CONFIG | {"class_balance": "sampling"}, counts=uneven)["imbalance"].severity == "fine"


def test_an_auc_whose_interval_holds_guessing_is_serious():
    flat = shaken([0.69] * 12, 0.005)
    assert said(run_of(flat, flat, areas=[0.52] * 12, n=60))["guessing"].severity == "serious"


# ---------------------------------------------------------------- how it stands


@pytest.mark.parametrize(("n", "word"), [(0, "No epoch"), (1, "One epoch"), (2, "Only 2 epochs"), (3, "Only 3 epochs")])
def test_of_a_run_with_too_few_epochs_it_is_too_early_to_say(n, word):
    found = said(run_of([0.6] * n, [0.6] * n, epochs=10, reason=""), status="running")
    assert found["too-early"].severity == "open"
    assert found["too-early"].sentence.startswith(word)
    assert not LEARNING & set(found)


def test_nothing_at_all_is_too_early_too():
    assert [item.kind for item in analyse_curves([])] == ["too-early"]


def test_a_finished_run_of_too_few_epochs_is_told_to_take_more():
    found = said(run_of([0.6] * 2, [0.6] * 2), CONFIG | {"epochs": 2})["too-early"]
    assert found.changes == {"epochs": 10}


def test_epochs_of_the_last_layer_alone_are_left_out():
    jump = [0.6, 0.5, 2.5, 1.0]
    found = said(run_of(jump, jump, head=2))
    assert "too-early" in found
    assert History.from_records(run_of(jump, jump, head=2)).epochs.tolist() == [3, 4]


def test_it_says_how_a_run_stands():
    half = run_of(falling(12), falling(12), epochs=24, reason="")
    assert "running" in said(half, status="running")
    assert "kept" not in said(half, status="running")
    assert "broken-off" in said(half, status="interrupted")
    assert "had not come down" in said(half, status="interrupted")["broken-off"].sentence
    early = run_of(falling(12), falling(12), epochs=24, reason="early")
    assert "3 epochs in a row" in said(early, CONFIG | {"patience": 3})["early"].sentence
    assert "broken-off" not in said(early)


def test_the_epoch_that_is_kept_and_why():
    val = falling(12)
    val[11] = 0.2
    assert said(run_of(falling(12), val))["kept"].numbers["epoch"] == 11
    assert (
        "loss was the lowest"
        in said(run_of(falling(12), val, keep="loss"), CONFIG | {"select_by": "loss"})["kept"].sentence
    )
    assert "as was asked for" in said(run_of(falling(12), val), CONFIG | {"select_by": "last"})["kept"].sentence


def test_the_gravest_comes_first_and_everything_is_json():
    flat = shaken([0.69] * 12, 0.005)
    found = analyse_curves(run_of(flat, flat, areas=[0.52] * 12, n=20), CONFIG, counts=EVEN)
    ranks = [SEVERITIES.index(item.severity) for item in found]
    assert ranks == sorted(ranks)
    assert len(found) > 3
    json.dumps([item.numbers | item.changes for item in found], allow_nan=False)


def test_damaged_and_foreign_records_are_left_out():
    odd = [
        {"kind": "epoch"},
        {"kind": "epoch", "epoch": "2", "train": {}, "val": {}},
        {"kind": "epoch", "epoch": 3, "train": {"loss": None}, "val": {"loss": 1}},
        {},
    ]
    assert len(History.from_records(odd)) == 0
    without = run_of(falling(12), falling(12))
    for record in without[1:-1]:
        record["val"] |= {"auc": None, "auc_interval": None, "accuracy_interval": None}
    uneven = {"A": {"train": 900, "val": 90}, "B": {"train": 100, "val": 10}}
    found = said(without, counts=uneven)
    assert not any("nan" in item.sentence for item in found.values())


def test_every_chart_can_be_drawn_of_whole_records():
    records = run_of(falling(6), falling(6))
    del records[1]["val"]["auc_interval"]
    records[2]["val"]["accuracy_interval"] = [0.5, "high"]
    records[3]["train"]["accuracy"] = "most"
    records[4]["val"]["loss"] = math.nan
    del records[5]["train"]
    steps = [{"kind": "step", "epoch": 1, "loss": 0.5}, {"kind": "step", "progress": 0.5, "loss": 0.5, "accuracy": 0.7}]
    whole = clean_records([*records, *steps, {}, {"kind": 3}])
    assert [record["epoch"] for record in whole if record["kind"] == "epoch"] == [1, 2, 3, 4, 6]
    assert [record for record in whole if record["kind"] == "step"] == steps[1:]
    assert (
        whole[1]["val"]["auc_interval"] is whole[2]["val"]["accuracy_interval"] is whole[3]["train"]["accuracy"] is None
    )
    for draw in (loss_curves, accuracy_curves, auc_curves):
        assert len(draw(whole).data) >= 3


def test_whole_records_stay_as_they_are():
    records = make_textbook_run("well")
    assert json.dumps(clean_records(records)) == json.dumps(records)


def test_where_the_kept_epoch_lacks_a_figure_the_last_that_has_it_is_spoken_of():
    records = run_of(falling(12), falling(12, end=0.2), n=20)
    for record in records[-3:-1]:
        record["val"] |= {"accuracy": None, "accuracy_interval": None}
    uneven = {"A": {"train": 900, "val": 18}, "B": {"train": 100, "val": 2}}
    found = said(records, counts=uneven)
    assert "at epoch 10 reaches from" in found["small-validation"].sentence
    assert found["imbalance"].at[0] == 10
    assert "nan" not in found["imbalance"].sentence
    for record in records[1:-1]:
        record["val"] |= {"accuracy": None, "accuracy_interval": None}
    assert not {"small-validation", "imbalance"} & set(said(records, counts=uneven))


@pytest.mark.parametrize(
    "counts",
    [
        {"A": {"train": 0, "val": 0}, "B": {"train": 0, "val": 0}}, {"A": {"test": 5}, "B": {"test": 1}},
        {"A": {"train": "many"}, "B": {"train": None}}, {"A": {"train": 5}},
    ],
)  # fmt: skip
def test_counts_that_nobody_knows_say_nothing_of_balance(counts):
    assert "imbalance" not in said(run_of(falling(12), falling(12)), counts=counts)


def test_a_class_without_training_scans_is_out_of_balance():
    counts = {"A": {"train": 500, "val": 40}, "B": {"train": 0}}
    assert said(run_of(falling(12), falling(12)), counts=counts)["imbalance"].severity == "serious"


def test_patience_that_nobody_knows_is_not_spoken_of():
    early = run_of(falling(12), falling(12), epochs=24, reason="early")
    assert said(early, {})["early"].sentence == "Early stopping ended the run after epoch 12 of 24."


def test_every_advice_names_settings_as_train_names_them_and_changes_only_those():
    import ast
    import inspect
    import re

    from xrai.training.diagnostics import amounts, learning, standing

    labels = {setting_label(name) for name in default_settings()} | {"Go on training"}
    texts = [
        node.value
        for module in (amounts, learning, standing)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "Prechelt" not in node.value
    ]
    named = {name for text in texts for name in re.findall(r"“([^“”{}]+)”", text)}
    assert {"Learning rate", "Epochs", "Dropout"} <= named <= labels


def test_all_changes_make_settings_that_can_be_trained_with():
    for kind in TEXTBOOK_KINDS:
        for item in analyse_curves(make_textbook_run(kind), CONFIG, counts=EVEN):
            assert item.changes.keys() <= CONFIG.keys()
            TrainConfig.from_dict(CONFIG | item.changes)


# ---------------------------------------------------------------- textbook runs, and the tools


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("well", "learning-well"), ("overfits", "overfitting"), ("underfits", "underfitting"),
        ("rate-too-high", "rate-too-high"),
    ],
)  # fmt: skip
def test_textbook_runs_are_read_as_what_they_are(kind, found, seed):
    kinds = {item.kind for item in analyse_curves(make_textbook_run(kind, seed=seed), counts=TEXTBOOK_COUNTS)}
    assert found in kinds
    assert not kinds & (LEARNING - {found, "guessing"})


def test_an_unknown_textbook_run_is_refused():
    with pytest.raises(ValueError, match="no made-up run"):
        make_textbook_run("other")


def test_noise_is_that_of_the_values_and_not_of_their_course():
    rng = np.random.default_rng(0)
    values = np.linspace(5, 0, 400) + rng.normal(0, 0.1, 400)
    assert estimate_noise(values) == pytest.approx(0.1, rel=0.2)
    assert estimate_noise(np.linspace(1, 0, 30)) == pytest.approx(0, abs=1e-12)
    assert estimate_noise(np.array([1.0, 2.0])) == 0


def test_a_trend_is_told_from_chance():
    assert mann_kendall_z(np.arange(10.0)) > 3
    assert mann_kendall_z(-np.arange(4.0)) < -1.96
    sure = [abs(mann_kendall_z(np.random.default_rng(seed).normal(size=12))) > 1.96 for seed in range(1000)]
    assert np.mean(sure) == pytest.approx(0.05, abs=0.02)
    assert mann_kendall_z(np.array([1.0])) == 0


def test_a_running_median_ignores_one_wild_value():
    assert running_median(np.array([1.0, 1, 9, 1, 1])).tolist() == [1, 1, 1, 1, 1]


def test_errors_are_counted_by_class_and_their_intervals_by_patient():
    labels, called = np.array([0] * 10 + [1] * 4), np.array([0] * 9 + [1] + [0, 1, 1, 1])
    patients = [*range(10), *"aabb"]
    first, second = count_class_errors(labels, called, patients, 3)
    assert (first.label, first.n, first.n_wrong, first.top_confusion) == (0, 10, 1, 1)
    assert (second.label, second.n, second.n_wrong, second.top_confusion) == (1, 4, 1, 0)
    assert first.interval[0] <= 0.1 <= first.interval[1]
    assert second.interval[1] - second.interval[0] > 0.6  # two patients, and not four


# ---------------------------------------------------------------- the figure


def test_what_is_pointed_at_stands_in_the_figure_in_room_of_its_own():
    records = make_textbook_run("overfits")
    plain, figure = loss_curves(records), annotate_curves(
        loss_curves(records), [Annotation("Overfitting <b>", span=(12, 30), at=(12, 0.2)), Annotation("kept", at=(11, 0.2))]
    )  # fmt: skip
    shape, (first, second) = figure.layout.shapes[0], figure.layout.annotations
    assert (shape.x0, shape.x1) == (11.5, 30.5)
    assert (first.x, first.y, first.text) == (12, 0.2, "Overfitting &lt;b&gt;")
    assert first.ay > second.ay > max(max(trace.y) for trace in plain.data if len(trace.y)) * 0.9
    assert figure.layout.yaxis.range[1] > first.ay


def test_below_curves_that_rise_there_is_room_for_words_and_a_line_to_compare_with():
    records = make_textbook_run("well")
    figure = annotate_curves(accuracy_curves(records), [Annotation("Always", at=(10, 0.75), line=0.75)])
    assert figure.layout.shapes[0].y0 == 0.75
    note = figure.layout.annotations[0]
    assert figure.layout.yaxis.range[0] < note.ay < accuracy_curves(records).layout.yaxis.range[0] + 0.1


def test_a_band_without_a_point_has_its_words_amid_it_and_an_empty_figure_takes_marks():
    note = annotate_curves(loss_curves([]), [Annotation("words", span=(2, 4))]).layout.annotations[0]
    assert not note.showarrow
    assert 2 <= note.x <= 4
    assert annotate_curves(loss_curves([]), []).layout.annotations == ()


# ---------------------------------------------------------------- real runs


def test_the_models_in_the_box_are_read(real_data):
    from xrai.core.paths import PROJECT_DIR

    for name, reading in {"pneumonia": "underfitting", "covid19": "learning-well"}.items():
        folder = PROJECT_DIR / "checkpoints" / name
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        found = said(read_records(folder / "history.jsonl"), card["training"]["settings"], card["dataset"]["counts"])
        assert [kind for kind in ("learning-well", "overfitting", "underfitting") if kind in found] == [reading]
        assert ("small-validation" in found) == (name == "covid19")
