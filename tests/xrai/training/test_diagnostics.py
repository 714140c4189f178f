"""Tests of `xrai.training.diagnostics`: made-up histories of each kind, and the findings."""

import json

import pytest

from pages.shared.settings import setting_label
from tests.xrai.training.curves import CONFIG, EVEN, LEARNING, changed, falling, run_of, said, shaken
from xrai.training.config import default_settings
from xrai.training.diagnostics import SEVERITIES, TEXTBOOK_KINDS, History, analyse_curves, make_textbook_run


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
    assert said(records, CONFIG.replace(**{"class_balance": "sampling"}), counts=uneven)["imbalance"].severity == "fine"


def test_an_auc_whose_interval_holds_guessing_is_serious():
    flat = shaken([0.69] * 12, 0.005)
    assert said(run_of(flat, flat, areas=[0.52] * 12, n=60))["guessing"].severity == "serious"


@pytest.mark.parametrize(("n", "word"), [(0, "No epoch"), (1, "One epoch"), (2, "Only 2 epochs"), (3, "Only 3 epochs")])
def test_of_a_run_with_too_few_epochs_it_is_too_early_to_say(n, word):
    found = said(run_of([0.6] * n, [0.6] * n, epochs=10, reason=""), status="running")
    assert found["too-early"].severity == "open"
    assert found["too-early"].sentence.startswith(word)
    assert not LEARNING & set(found)


def test_nothing_at_all_is_too_early_too():
    assert [item.kind for item in analyse_curves([])] == ["too-early"]


def test_a_finished_run_of_too_few_epochs_is_told_to_take_more():
    found = said(run_of([0.6] * 2, [0.6] * 2), CONFIG.replace(**{"epochs": 2}))["too-early"]
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
    assert "3 epochs in a row" in said(early, CONFIG.replace(**{"patience": 3}))["early"].sentence
    assert "broken-off" not in said(early)


def test_the_epoch_that_is_kept_and_why():
    val = falling(12)
    val[11] = 0.2
    assert said(run_of(falling(12), val))["kept"].numbers["epoch"] == 11
    assert (
        "loss was the lowest"
        in said(run_of(falling(12), val, keep="loss"), CONFIG.replace(**{"select_by": "loss"}))["kept"].sentence
    )
    assert (
        "as was asked for" in said(run_of(falling(12), val), CONFIG.replace(**{"select_by": "last"}))["kept"].sentence
    )


def test_the_gravest_comes_first_and_everything_is_json():
    flat = shaken([0.69] * 12, 0.005)
    found = analyse_curves(run_of(flat, flat, areas=[0.52] * 12, n=20), CONFIG, counts=EVEN)
    ranks = [SEVERITIES.index(item.severity) for item in found]
    assert ranks == sorted(ranks)
    assert len(found) > 3
    json.dumps([item.numbers | item.changes for item in found], allow_nan=False)


def test_metrics_that_are_undefined_are_not_spoken_of():
    records = run_of(falling(12), falling(12))
    undefined = {"auc": None, "auc_interval": None, "accuracy_interval": None}
    records[1:-1] = [changed(record, **undefined) for record in records[1:-1]]
    uneven = {"A": {"train": 900, "val": 90}, "B": {"train": 100, "val": 10}}
    found = said(records, counts=uneven)
    assert not any("nan" in item.sentence for item in found.values())


def test_where_the_kept_epoch_lacks_an_interval_the_last_that_has_it_is_spoken_of():
    records = run_of(falling(12), falling(12, end=0.2), n=20)
    records[-3:-1] = [changed(record, accuracy_interval=None) for record in records[-3:-1]]
    uneven = {"A": {"train": 900, "val": 18}, "B": {"train": 100, "val": 2}}
    found = said(records, counts=uneven)
    assert "at epoch 10 reaches from" in found["small-validation"].sentence
    assert "nan" not in found["imbalance"].sentence
    records[1:-1] = [changed(record, accuracy_interval=None) for record in records[1:-1]]
    assert "small-validation" not in said(records, counts=uneven)


@pytest.mark.parametrize(
    "counts",
    [
        {"A": {"train": 0, "val": 0}, "B": {"train": 0, "val": 0}},
        {"A": {"test": 5}, "B": {"test": 1}},
        {"A": {"train": 5}},
    ],
)
def test_counts_that_nobody_knows_say_nothing_of_balance(counts):
    assert "imbalance" not in said(run_of(falling(12), falling(12)), counts=counts)


def test_a_class_without_training_scans_is_out_of_balance():
    counts = {"A": {"train": 500, "val": 40}, "B": {"train": 0}}
    assert said(run_of(falling(12), falling(12)), counts=counts)["imbalance"].severity == "serious"


def test_patience_that_nobody_knows_is_not_spoken_of():
    early = run_of(falling(12), falling(12), epochs=24, reason="early")
    assert said(early, None)["early"].sentence == "Early stopping ended the run after epoch 12 of 24."


def test_every_advice_names_settings_as_train_names_them_and_changes_only_those():
    import ast
    import inspect
    import re

    from xrai.training.diagnostics import amounts, learning_rate, overfitting, standing, underfitting

    labels = {setting_label(name) for name in default_settings()} | {"Go on training"}
    texts = [
        node.value
        for module in (amounts, learning_rate, overfitting, standing, underfitting)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "Prechelt" not in node.value
    ]
    named = {name for text in texts for name in re.findall(r"“([^“”{}]+)”", text)}
    assert {"Learning rate", "Epochs", "Dropout"} <= named <= labels


def test_all_changes_make_settings_that_can_be_trained_with():
    for kind in TEXTBOOK_KINDS:
        for item in analyse_curves(make_textbook_run(kind), CONFIG, counts=EVEN):
            CONFIG.replace(**item.changes)
