import json
import shutil

import pytest

from tests.xrai.training.runs import (
    DEMANDING,
    N_BATCHES,
    N_VAL_BATCHES,
    assert_same_run,
    checkpoint_of,
    epochs_of,
    kinds_of,
    run,
    stop_after,
)
from xrai.core.errors import TrainingError
from xrai.core.json_files import append_record
from xrai.models.card import EvaluationSummary
from xrai.models.checkpoint import HISTORY_FILE, STATE, WEIGHTS, open_checkpoint
from xrai.training.config import TrainConfig
from xrai.training.persistence import RECIPE_REVISION, VALUES_FILE


@pytest.mark.parametrize(
    "questions", [1, 3, N_BATCHES, N_BATCHES + 1, N_BATCHES + 2, 3 * N_BATCHES + 3], ids=lambda n: f"question-{n}"
)
def test_stopped_run_goes_on_as_if_nothing_had_been(home, easy, whole, questions):
    """Stopped within an epoch, at its last batch, in validation, and in the last validation of all."""
    card, checkpoint = run(easy, "broken", **DEMANDING, should_stop=stop_after(questions))
    done = (questions - 1) // (N_BATCHES + N_VAL_BATCHES)
    assert len(epochs_of(checkpoint)) == done
    assert (card is None) == (done == 0)
    if card:
        assert card.training.end_reason == "stopped"
    assert kinds_of(checkpoint)[-1] == "end"
    card, checkpoint = run(easy, "broken", **DEMANDING, resume=True)
    assert card.training.end_reason == "finished"
    assert_same_run(whole, checkpoint)
    assert kinds_of(checkpoint) == ["start", *["epoch"] * done, "resume", *["epoch"] * (3 - done), "end"]


def test_run_can_be_stopped_again_and_again(home, easy, whole):
    run(easy, "broken", **DEMANDING, should_stop=stop_after(1))
    for _ in range(30):
        card, checkpoint = run(easy, "broken", **DEMANDING, resume=True, should_stop=stop_after(2))
        if card and card.training.end_reason == "finished":
            break
    run(easy, "broken", **DEMANDING, resume=True)
    assert_same_run(whole, checkpoint)


def test_resnet_goes_on_exactly(home, easy):
    settings = {"network": "resnet18", "epochs": 1}
    _, one = run(easy, "one", **settings)
    run(easy, "two", **settings, should_stop=stop_after(3))
    _, two = run(easy, "two", **settings, resume=True)
    assert_same_run(one, two)


def test_resuming_a_finished_run_changes_nothing(home, easy, whole):
    before = whole.read_card()
    weights = (whole.folder / WEIGHTS).read_bytes()
    evaluation = a_look(before)
    whole.write_card(before.replace(evaluations=[evaluation]))
    card, _ = run(easy, "whole", **DEMANDING, resume=True)
    assert (whole.folder / WEIGHTS).read_bytes() == weights
    assert len(epochs_of(whole)) == 3
    assert card.validation == before.validation
    assert card.evaluations == (evaluation,)
    assert kinds_of(whole) == ["start", "epoch", "epoch", "epoch", "resume", "end"]


def test_run_that_saved_nothing_starts_anew(home, easy, whole):
    checkpoint = checkpoint_of("killed", easy, TrainConfig(**DEMANDING))
    append_record(checkpoint.folder / HISTORY_FILE, {"kind": "start"})
    _, checkpoint = run(easy, "killed", **DEMANDING, resume=True)
    assert_same_run(whole, checkpoint)
    assert kinds_of(checkpoint) == ["start", "epoch", "epoch", "epoch", "end"]


def test_card_of_a_run_that_goes_on_tells_of_the_weights_beside_it(home, easy, monkeypatch):
    """Killed after a better epoch, a resumed run must not leave a card of the weights before."""
    run(easy, **DEMANDING | {"ema_decay": 0.0}, should_stop=stop_after(N_BATCHES + N_VAL_BATCHES + 1))
    checkpoint = open_checkpoint("m")
    assert checkpoint.read_card().training.best_epoch == 1
    monkeypatch.setattr("xrai.training.run.finish_run", lambda trainer, reason, alpha: None)
    run(easy, **DEMANDING | {"ema_decay": 0.0}, resume=True)
    best = [item for item in epochs_of(checkpoint) if item["best"]][-1]
    assert checkpoint.read_card().training.best_epoch == best["epoch"] > 1
    assert checkpoint.read_card().validation.loss == best["val"]["loss"]


def a_look(card, **named):
    """An entry of a card's evaluations."""
    measured = card.validation.model_dump(exclude={"loss"})
    return EvaluationSummary(**measured, dataset="d", split="test", when="2026-11-21", fingerprint="f", **named)


@pytest.mark.parametrize("tells", [True, False], ids=["tells its weights", "from before they were told"])
def test_going_on_with_a_run_does_not_wipe_its_looks(home, easy, tells):
    """Training on after a look at the test split is just what the count must show."""
    settings = DEMANDING | {"select_by": "last"}
    card, checkpoint = run(easy, **settings, should_stop=stop_after(N_BATCHES + N_VAL_BATCHES + 1))
    look = a_look(card, weights=checkpoint.weights_sha256() if tells else "")
    checkpoint.write_card(card.replace(evaluations=[look]))
    card, _ = run(easy, **settings, resume=True, should_stop=stop_after(2))
    assert card.evaluations == (look,)  # the weights are still those
    card, _ = run(easy, **settings, resume=True, should_stop=stop_after(N_BATCHES + N_VAL_BATCHES + 1))
    assert card.training.best_epoch == 2
    assert card.evaluations == (look.replace(is_outdated=True),)
    again = look.replace(weights_sha256=checkpoint.weights_sha256() if tells else "")
    checkpoint.write_card(card.replace(evaluations=[*card.evaluations, again]))
    card, _ = run(easy, **settings, resume=True)
    assert card.training.end_reason == "finished"
    assert card.evaluations == tuple(item.replace(is_outdated=True) for item in (look, again))
    assert checkpoint.read_card() == card


def test_a_look_at_weights_that_a_killed_run_makes_again_is_still_of_them(home, easy, monkeypatch):
    settings = DEMANDING | {"select_by": "last"}
    run(easy, **settings, should_stop=stop_after(2 * (N_BATCHES + N_VAL_BATCHES)))  # in the second validation
    checkpoint = open_checkpoint("m")
    shutil.copytree(checkpoint.folder / STATE, home / "state")
    card, _ = run(easy, **settings, resume=True, should_stop=stop_after(3))
    assert card.training.best_epoch == 2
    shutil.rmtree(checkpoint.folder / STATE)
    (home / "state").rename(checkpoint.folder / STATE)  # killed before the state of the second epoch was saved
    checkpoint.write_card(card.replace(evaluations=[a_look(card)]))
    card, _ = run(easy, **settings, resume=True, should_stop=stop_after(3))
    assert card.evaluations == (a_look(card),)


@pytest.mark.parametrize("recipe", [0, RECIPE_REVISION + 1], ids=["earlier", "later"])
def test_a_run_of_a_version_that_trains_otherwise_says_so_and_stays_as_it_is(home, easy, whole, recipe):
    values_file = whole.folder / STATE / VALUES_FILE
    values = json.loads(values_file.read_text()) | {"recipe": recipe}
    if recipe == 0:
        del values["recipe"]  # states had none
    values_file.write_text(json.dumps(values))
    before = {file: file.read_bytes() for file in whole.folder.rglob("*") if file.is_file()}
    with pytest.raises(TrainingError, match="trains the same settings otherwise: finish it with that version"):
        run(easy, "whole", **DEMANDING, resume=True)
    assert {file: file.read_bytes() for file in before} == before
