import numpy as np

from tests.xrai.training.runs import N_BATCHES, run
from xrai.core.json_files import read_records
from xrai.models.checkpoint import HISTORY_FILE
from xrai.training.loop import EpochOutputs
from xrai.training.recorder import ProgressTimer


def test_a_step_is_recorded_after_the_first_batch(home, easy):
    _, checkpoint = run(easy, epochs=1)
    step = read_records(checkpoint.folder / HISTORY_FILE)[1]
    assert (step["kind"], step["epoch"], step["progress"]) == ("step", 1, 1 / N_BATCHES)
    assert set(step) == {"kind", "progress", "epoch", "loss", "accuracy", "images_per_second", "seconds_left", "time"}


def test_the_history_of_a_long_run_stays_small(monkeypatch):
    """A step record a second would be 600,000 in a week; later ones come the rarer the longer it took so far."""
    now, told = [0.0], 0
    monkeypatch.setattr("xrai.training.recorder.time.monotonic", lambda: now[0])
    clock = ProgressTimer(previous_seconds=50.0)
    outcome = EpochOutputs(0.0, [np.ones((1, 2), np.float32)], [np.zeros(1, np.int64)])
    for second in range(200_000):
        now[0] = float(second)
        if clock.is_record_due:
            told += 1
            assert second >= 150 or told == second
            clock.mark_recorded(outcome)
    assert 150 < told < 2000
