"""Stored evaluation results: saving and reading back."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.xrai.evaluation.store.results import CLASSES, full, in_use, make, same, table_of
from xrai.evaluation import store as measurements
from xrai.evaluation.store import REPORT_FILE, evaluation_folder, load_evaluation, save_evaluation
from xrai.models.checkpoint import open_checkpoint


def test_what_is_saved_is_read_back_to_the_last_digit(folder):
    saved = make()
    save_evaluation(folder, saved)
    loaded = load_evaluation(folder)
    same(saved, loaded)
    assert loaded.classes == CLASSES
    assert sorted(folder.iterdir()) == [table_of(folder), folder / REPORT_FILE]


def test_a_later_one_takes_the_place_of_an_earlier(folder):
    save_evaluation(folder, make(seed=1))
    save_evaluation(folder, make(n=12, seed=2))
    same(load_evaluation(folder), make(n=12, seed=2))
    assert sorted(folder.iterdir()) == [table_of(folder), folder / REPORT_FILE]


@pytest.mark.parametrize(
    "name",
    ["a,b.png", 'say "x".png', "two\nlines.png", "back\rwards.png", "=1+1.png", "ä é 肺.png", "\udcff.png", "", " x "],
)
def test_any_file_name_comes_back(folder, name):
    """A carriage return in a name once made the whole measurement look damaged."""
    saved = make()
    saved.predictions.files[3] = name
    save_evaluation(folder, saved)
    assert load_evaluation(folder).predictions.files[3] == name


def test_where_nothing_was_measured_there_is_none(folder):
    assert load_evaluation(folder) is None
    folder.mkdir(parents=True)
    (folder / "predictions-1.csv").write_text("a job that died before its report", encoding="utf-8")
    assert load_evaluation(folder) is None


def test_a_cell_gives_the_worst_first():
    found = make(n=60).predictions
    inside = found.find_cell(0, 1)
    assert len(inside) > 2
    assert set(found.labels[inside]) == {0}
    assert set(found.predicted[inside]) == {1}
    assert (np.diff(found.probabilities[inside, 0]) >= 0).all()
    assert sum(len(found.find_cell(truth, called)) for truth in range(3) for called in range(3)) == 60


@pytest.mark.parametrize("where", ["write_json", "_write_predictions"])
def test_on_a_full_disk_the_earlier_one_stays(folder, monkeypatch, where):
    save_evaluation(folder, make(seed=1))
    monkeypatch.setattr(measurements, where, full)
    with pytest.raises(OSError, match="No space"):
        save_evaluation(folder, make(seed=2))
    monkeypatch.undo()
    same(load_evaluation(folder), make(seed=1))
    assert sorted(folder.iterdir()) == [table_of(folder), folder / REPORT_FILE]


def test_predictions_that_a_spreadsheet_holds_cost_no_measurement(folder, monkeypatch):
    """On Windows an open file can be neither replaced nor removed: the earlier and the new one were once lost."""
    save_evaluation(folder, make(seed=1))
    held = table_of(folder)
    real = Path.unlink, Path.replace
    monkeypatch.setattr(Path, "unlink", lambda path, **more: in_use() if path == held else real[0](path, **more))
    monkeypatch.setattr(Path, "replace", lambda path, to: in_use() if Path(to) == held else real[1](path, to))
    save_evaluation(folder, make(seed=2))
    same(load_evaluation(folder), make(seed=2))
    assert held.is_file()
    monkeypatch.undo()
    save_evaluation(folder, make(seed=3))
    same(load_evaluation(folder), make(seed=3))
    assert not held.is_file()


def test_a_measurement_is_of_the_weights_that_were_measured(weights):
    checkpoint = open_checkpoint("m")
    found = make(weights=checkpoint.weights_sha256())
    assert found.has_weights_of(checkpoint)
    weights.write_bytes(b"other weights")
    assert not found.has_weights_of(checkpoint)
    weights.unlink()
    assert not found.has_weights_of(checkpoint)


def test_equal_weights_have_equal_marks_whenever_they_were_saved(weights):
    """They once were told by the moment of training and its best epoch, which may be equal for others."""
    mark = open_checkpoint("m").weights_sha256()
    os.utime(weights, (1, 1))
    assert open_checkpoint("m").weights_sha256() == mark
    copy = open_checkpoint("copy")
    copy.folder.mkdir()
    (copy.folder / weights.name).write_bytes(weights.read_bytes())
    assert copy.weights_sha256() == mark
    assert len(mark) == 64


def test_datasets_of_one_name_in_two_folders_do_not_share_a_measurement(home):
    checkpoint = open_checkpoint("m")
    one, other = (evaluation_folder(checkpoint, home / place / "d.hdf5", "test") for place in ("data", "elsewhere"))
    assert one != other
    assert one.name.startswith("d-test-")


def test_a_measurement_is_found_again_when_the_home_has_moved(tmp_path, monkeypatch):
    places = set()
    for name in ("one", "two"):
        monkeypatch.setenv("XRAI_HOME", str(tmp_path / name))
        places.add(evaluation_folder(open_checkpoint("m"), tmp_path / name / "data" / "d.hdf5", "test").name)
    assert len(places) == 1


def test_the_folder_of_a_dataset_with_the_longest_name_can_be_made(home):
    place = evaluation_folder(open_checkpoint("m"), home / f"{'肺' * 80}.hdf5", "train")
    place.mkdir(parents=True)
    assert place != evaluation_folder(open_checkpoint("m"), home / f"{'肺' * 79}.hdf5", "train")


def test_measurements_of_one_model_lie_apart(home):
    checkpoint = open_checkpoint("m")
    places = {evaluation_folder(checkpoint, Path(f"{name}.hdf5"), split) for name in "ab" for split in ("test", "val")}
    assert len(places) == 4
