import json

import numpy as np
import pytest

from tests.xrai.models.checkpoint.checkpoints import EVALUATED, a_card
from xrai.calibration import ThresholdGoal
from xrai.core.errors import CheckpointError, SettingsError
from xrai.models.artifacts import ARTIFACTS_FILE, Artifacts, ValidationOutputs, load_artifacts, save_artifacts
from xrai.models.checkpoint import CARD, WEIGHTS, open_checkpoint
from xrai.models.operating_point import (
    DEFAULT_ALPHA,
    fit_operating_point,
    goal_from_card,
    load_validation_outputs,
    refit_operating_point,
    reset_operating_point,
    update_operating_point,
)


def answers(n=200, seed=0, n_classes=2, sharp=1.0):
    """Answers of a network that is too sure of itself, to scans of n patients."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    honest = rng.normal(0, 1, (n, n_classes)) + 1.8 * np.eye(n_classes)[labels]
    logits = (3 * sharp * honest).astype(np.float32)
    shifted = np.stack([logits + rng.normal(0, 1, logits.shape).astype(np.float32) for _ in range(2)])
    return ValidationOutputs(logits, shifted, labels, np.arange(n))


@pytest.fixture
def model(home):
    checkpoint = open_checkpoint("m")
    checkpoint.folder.mkdir()
    (checkpoint.folder / WEIGHTS).write_bytes(b"weights")
    checkpoint.write_card(a_card(name="m"))
    save_artifacts(checkpoint, Artifacts(validation=answers()), checkpoint.weights_sha256())
    return checkpoint


def test_probabilities_are_calibrated_and_doubt_and_threshold_chosen():
    validation = answers()
    card = fit_operating_point(a_card(), validation)
    assert card.calibration.slope < 0.7  # the network was three times too sure
    assert card.calibration.offsets == (0.0, 0.0)
    assert card.abstention.alpha == DEFAULT_ALPHA
    assert len(set(card.abstention.thresholds)) == 1
    assert card.threshold.value == 0.5 and card.threshold.goal.kind == "argmax"
    assert "200 scans" in card.threshold.description
    p = card.to_probabilities(validation.logits)
    called = (p[:, 1] >= 0.5).astype(int)
    firm = card.is_confident(p, called)
    assert 0.2 < firm.mean() < 1
    for k in (0, 1):
        assert ((called != validation.labels) & firm)[validation.labels == k].mean() <= DEFAULT_ALPHA


def test_probabilities_hold_for_the_shares_that_training_made_the_network_expect():
    validation = answers()
    few = ValidationOutputs(*(item[..., 60:, :] if item.ndim > 1 else item[60:] for item in vars(validation).values()))
    balanced, plain = a_card(), a_card()
    plain = plain.replace(training={"settings": {"class_balance": "none"}})
    assert fit_operating_point(balanced, few).calibration.prevalence == (0.5, 0.5)
    assert fit_operating_point(plain, few).calibration.prevalence == (0.5, 0.5)  # as many of each are left
    uneven = ValidationOutputs(few.logits[1:], few.perturbed_logits[:, 1:], few.labels[1:], few.patients[1:])
    assert fit_operating_point(plain, uneven).calibration.prevalence[1] == pytest.approx(70 / 139)


def test_too_few_patients_promise_less():
    card = fit_operating_point(a_card(), answers(n=20))
    assert card.abstention.alpha == pytest.approx(1 / 11)
    assert fit_operating_point(card, answers(n=400)).abstention.alpha == pytest.approx(1 / 11)  # as it was chosen
    assert fit_operating_point(card, answers(n=400), alpha=0.02).abstention.alpha == 0.02


def test_a_class_without_validation_scans_promises_nothing():
    validation = answers(n=20)
    only = ValidationOutputs(
        validation.logits[::2], validation.perturbed_logits[:, ::2], validation.labels[::2], validation.patients[::2]
    )
    card = fit_operating_point(a_card(), only)
    assert card.calibration is None and card.abstention is None
    assert card.threshold.value == 0.5


def test_three_classes_have_no_threshold():
    card = fit_operating_point(a_card(classes=("A", "B", "C"), threshold=None, heatmap_scale={}), answers(n_classes=3))
    assert card.threshold is None and len(card.calibration.offsets) == len(card.abstention.thresholds) == 3


def test_a_decision_is_kept_in_the_card_and_stays(model):
    strict = update_operating_point(model, goal=ThresholdGoal(kind="max_fnr", limit=0.02))
    assert strict.threshold.value < 0.5
    assert json.dumps(model.read_card().to_dict()) == json.dumps(strict.to_dict())
    assert goal_from_card(strict) == ThresholdGoal(kind="max_fnr", limit=0.02)
    again = update_operating_point(model, alpha=0.1)
    assert again.threshold.value == strict.threshold.value and again.abstention.alpha == 0.1
    assert update_operating_point(model, prevalence=0.2).local_prevalence == 0.2
    assert update_operating_point(model).local_prevalence == 0.2


def test_another_prevalence_moves_the_probabilities_that_are_told(model):
    card = update_operating_point(model, prevalence=0.1)
    p = np.array([[0.4, 0.6]])
    assert card.adjust_to_local_prevalence(p)[0, 1] == pytest.approx(0.6 * 0.2 / (0.6 * 0.2 + 0.4 * 1.8))
    assert np.allclose(card.replace(local_prevalence=None).adjust_to_local_prevalence(p), p)


def test_what_is_told_and_what_is_fitted_are_each_others_inverse(model):
    card = update_operating_point(model, prevalence=0.1)
    for share in (0.01, 0.5, 0.93):
        assert card.from_local_prevalence(card.to_local_prevalence(share)) == pytest.approx(share)
    assert card.to_local_prevalence(0.5) == pytest.approx(0.1)
    assert (
        card.replace(local_prevalence=None).to_local_prevalence(0.3)
        == card.replace(local_prevalence=None).from_local_prevalence(0.3)
        == 0.3
    )


def test_the_likelier_class_is_that_among_the_users_own_patients(model):
    card = update_operating_point(model, prevalence=0.1)
    assert card.to_local_prevalence(card.threshold_value) == pytest.approx(0.5)
    assert goal_from_card(card) == ThresholdGoal(kind="argmax")
    assert update_operating_point(model, prevalence=0.5).threshold_value == pytest.approx(0.5)


def test_a_probability_that_is_given_is_meant_as_it_is_told(model):
    card = update_operating_point(model, goal=ThresholdGoal(kind="fixed", limit=0.3), prevalence=0.1)
    assert card.to_local_prevalence(card.threshold_value) == pytest.approx(0.3)
    assert goal_from_card(card) == ThresholdGoal(kind="fixed", limit=0.3)


def test_a_limit_on_errors_does_not_depend_on_the_prevalence(model):
    before = update_operating_point(model, goal=ThresholdGoal(kind="max_fnr", limit=0.05)).threshold_value
    assert update_operating_point(model, prevalence=0.05).threshold_value == before


def test_new_weights_remember_what_people_chose_and_promise_nothing_yet(model):
    chosen = update_operating_point(model, goal=ThresholdGoal(kind="max_fnr", limit=0.05), alpha=0.1, prevalence=0.2)
    fresh = reset_operating_point(a_card(name="m"), chosen)
    assert fresh.calibration is None and fresh.abstention is None and fresh.threshold_value == 0.5
    assert goal_from_card(fresh) == ThresholdGoal(kind="max_fnr", limit=0.05) and fresh.local_prevalence == 0.2
    again = refit_operating_point(a_card(name="m"), chosen, answers(seed=1))
    assert goal_from_card(again) == ThresholdGoal(kind="max_fnr", limit=0.05)
    assert (again.abstention.alpha, again.local_prevalence) == (0.1, 0.2)


def test_without_balance_the_shares_are_those_of_the_training_scans():
    card = a_card()
    counts = {"CLEAR": {"train": 10, "val": 5}, "OPACITY": {"train": 30, "val": 5}}
    card = card.replace(training={"settings": {"class_balance": "none"}}, dataset={"counts": counts})
    assert fit_operating_point(card, answers()).calibration.prevalence == (0.25, 0.75)


def test_evaluations_noted_meanwhile_are_not_lost(model):
    card = model.read_card()
    model.write_card(card.replace(evaluations=[EVALUATED]))
    noted = model.read_card().evaluations
    assert update_operating_point(model, goal=ThresholdGoal(kind="fixed", limit=0.3)).evaluations == noted


def test_no_threshold_for_three_classes(model):
    model.write_card(a_card(name="m", classes=("A", "B", "C"), threshold=None, heatmap_scale={}))
    save_artifacts(model, Artifacts(validation=answers(n_classes=3)), model.weights_sha256())
    with pytest.raises(SettingsError, match="two classes only"):
        update_operating_point(model, goal=ThresholdGoal(kind="max_fnr", limit=0.05))
    assert update_operating_point(model, alpha=0.2).abstention.alpha == 0.2


def test_a_model_whose_answers_were_not_kept(model):
    (model.folder / ARTIFACTS_FILE).unlink()
    with pytest.raises(CheckpointError, match="calibrate it with the dataset"):
        update_operating_point(model, alpha=0.1)


def test_a_kit_of_other_weights_does_not_count(model):
    (model.folder / WEIGHTS).write_bytes(b"other weights")
    assert vars(load_artifacts(model, model.read_card())) == vars(Artifacts())


def test_the_kit_comes_back_as_it_was(model):
    kept, made = load_validation_outputs(model, model.read_card()), answers()
    assert all(np.array_equal(getattr(kept, name), getattr(made, name)) for name in vars(made))


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_kit_is_said(model, content):
    (model.folder / ARTIFACTS_FILE).write_bytes(content)
    if content.endswith(b"{}      "):  # whole, but of nothing
        assert vars(load_artifacts(model, model.read_card())) == vars(Artifacts())
        return
    with pytest.raises(CheckpointError, match=r"artifacts\.safetensors .* damaged"):
        load_artifacts(model, model.read_card())


@pytest.mark.parametrize("n_classes", [3, 4])
def test_a_kit_of_other_classes_is_said(model, n_classes):
    save_artifacts(model, Artifacts(validation=answers(n_classes=n_classes)), model.weights_sha256())
    with pytest.raises(CheckpointError, match="damaged"):
        load_artifacts(model, model.read_card())


@pytest.mark.parametrize(
    "change",
    [
        {"calibration": {"slope": 0, "offsets": [0, 0], "prevalence": None}},
        {"calibration": {"slope": 1, "offsets": [0, 0, 0], "prevalence": None}},
        {"abstention": {"alpha": 0.05, "thresholds": [0.1], "n_patients": [3]}},
        {"abstention": {"alpha": 0.05, "thresholds": [0.1, 2], "n_patients": [3, 3]}},
        {"calibration": {"slope": 1, "offsets": [0, 0], "prevalence": [0, 1]}},
        {"calibration": {"slope": 1e308, "offsets": [0, 0], "prevalence": None}},
        {
            "threshold": {
                "class_name": "OPACITY",
                "value": 0.5,
                "description": "",
                "goal": {"kind": "argmax", "limit": 0.5},
            }
        },
        {
            "threshold": {
                "class_name": "OPACITY",
                "value": 0.5,
                "description": "",
                "goal": {"kind": "max_fnr", "limit": 2},
            }
        },
        {"local_prevalence": 1.5},
        {"local_prevalence": "many"},
        {"trust_report": []},
    ],
)
def test_cards_with_foreign_decisions_are_refused(model, change):
    values = json.loads((model.folder / CARD).read_text(encoding="utf-8")) | change
    (model.folder / CARD).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(CheckpointError, match="damaged"):
        model.read_card()
