"""Tests of `xrai.training.diagnostics`: made-up histories of each kind, and the findings."""

import numpy as np
import pytest

from tests.xrai.training.curves import CHANCE, CONFIG, LEARNING, falling, run_of, said, shaken
from xrai.models.checkpoint import open_checkpoint
from xrai.models.history import parse_history
from xrai.training.config import TrainConfig


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
    assert said(records, CONFIG.replace(**{"augment_strength": 0.0}))["overfitting"].changes == {
        "augment_strength": 1.0
    }
    assert said(records)["overfitting"].changes == {"mixup_alpha": 0.2, "dropout": 0.4}
    assert said(records, None)["overfitting"].changes == {}
    used = CONFIG.replace(**{"mixup_alpha": 0.5, "dropout": 0.6})
    assert said(records, used)["overfitting"].changes == {}


def test_new_scans_told_apart_far_worse_than_training_scans_is_learning_by_heart_too():
    flat = run_of(falling(20, end=0.02), falling(20, 0.69, 0.55), areas=[0.7] * 20, n=1000)
    found = said(flat)["overfitting"]
    assert found.chart == "auc"
    assert "0.70" in found.sentence


def test_losses_that_still_fall_together_ask_for_more_epochs():
    slow = np.linspace(0.69, 0.40, 20).tolist()
    found = said(run_of(slow, shaken(slow, 0.01)), CONFIG.replace(**{"epochs": 20}))["underfitting"]
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


def test_a_loss_that_jumps_is_a_learning_rate_too_high():
    train = falling(20)
    train[11] = 1.2
    found = said(run_of(train, falling(20)))["rate-too-high"]
    assert found.at[0] == 12
    assert found.changes == {"learning_rate": 0.0001}


def test_a_loss_far_above_guessing_is_a_learning_rate_too_high_even_in_the_first_epoch():
    found = said(
        run_of([8.2], [69.0], epochs=10, reason=""), CONFIG.replace(**{"learning_rate": 1.0}), status="running"
    )
    assert found["rate-too-high"].severity == "serious"
    assert found["rate-too-high"].changes == {"learning_rate": 0.001}
    assert "too-early" in found


def test_a_loss_that_is_no_number_is_found():
    found = said(run_of([0.6], [0.6], epochs=10, reason="diverged"), status="failed")
    assert found["rate-too-high"].title == "The loss broke down"
    assert "epoch 2 " in found["rate-too-high"].sentence


def test_a_run_that_failed_for_such_a_loss_is_found(dataset, home):
    checkpoint = open_checkpoint("diverged")
    checkpoint.folder.mkdir(parents=True)
    config = TrainConfig(
        network="convnet", image_size=64, batch_size=16, optimizer="sgd", learning_rate=10.0, schedule="constant"
    )
    from xrai.training.fit import DivergenceError
    from xrai.training.run import train_model

    records = []
    with pytest.raises(DivergenceError):
        train_model(config, dataset, checkpoint, emit=records.append)
    found = said(parse_history(records), config, status="failed")
    assert found["rate-too-high"].title == "The loss broke down"
    assert "broken-off" not in found


def test_a_huge_rate_that_stays_at_guessing_is_too_high_and_a_usual_one_is_not():
    flat = shaken([CHANCE] * 12, 0.005)
    stuck = run_of(flat, flat, areas=[0.5] * 12)
    assert "rate-too-high" in said(stuck, CONFIG.replace(**{"learning_rate": 0.5}))
    assert "rate-too-high" not in said(stuck, CONFIG)


def test_validation_that_swings_more_than_its_scans_explain_may_be_a_rate_too_high():
    swinging = [0.3 * (2.2 if number % 2 else 1) for number in range(16)]
    found = said(run_of(falling(16), swinging, n=2000))
    assert found["rate-too-high"].severity == "notable"
    assert "rate-too-high" not in said(run_of(falling(16), swinging, n=10))


def test_a_loss_that_falls_steadily_but_hardly_is_a_rate_too_low():
    slow = np.linspace(0.693, 0.670, 15).tolist()
    low = said(run_of(slow, slow, areas=[0.6] * 15), CONFIG.replace(**{"learning_rate": 1e-5}))["rate-too-low"]
    assert low.changes == {"learning_rate": 0.001}
    assert "steadily" in low.sentence
    assert "rate-too-low" not in said(run_of(slow, slow, areas=[0.6] * 15), CONFIG.replace(**{"learning_rate": 1e-3}))


def test_a_loss_that_does_not_move_under_a_tiny_rate_is_a_rate_too_low():
    flat = shaken([0.7] * 15, 0.01)
    found = said(run_of(flat, flat, areas=[0.55] * 15), CONFIG.replace(**{"learning_rate": 1e-6}))["rate-too-low"]
    assert found.changes == {"learning_rate": 0.001}
    assert found.severity == "serious"


def test_a_tiny_rate_that_learns_well_is_no_fault():
    assert not LEARNING & set(said(run_of(falling(20), falling(20)), CONFIG.replace(**{"learning_rate": 1e-6})))
