import json
import shutil

import pytest

from tests.xrai.training.runs import DEMANDING, N_BATCHES, changed_copy, run, stop_after
from xrai.core.errors import CheckpointError, TrainingError
from xrai.core.json_files import read_records, write_json
from xrai.models.checkpoint import HISTORY_FILE, STATE, WEIGHTS


def test_resuming_with_a_changed_dataset_is_refused(home, easy, tmp_path, whole):
    def change(file):
        file["label"][0] = 1 - file["label"][0]

    records = read_records(whole.folder / HISTORY_FILE)
    with pytest.raises(TrainingError, match="dataset has changed"):
        run(changed_copy(easy, tmp_path / "easy.hdf5", change), "whole", **DEMANDING, resume=True)
    assert read_records(whole.folder / HISTORY_FILE) == records


@pytest.mark.parametrize("damage", ["missing", "cut short", "foreign"])
def test_damaged_state_is_refused_and_the_model_kept(home, easy, whole, damage):
    """Above all, a model without its state, as the one in the box, is not trained over."""
    weights = (whole.folder / WEIGHTS).read_bytes()
    tensors = whole.folder / STATE / "tensors.safetensors"
    if damage == "missing":
        shutil.rmtree(whole.folder / STATE)
    elif damage == "cut short":
        tensors.write_bytes(tensors.read_bytes()[:1000])
    else:
        (whole.folder / STATE / "values.json").write_text("hello")
    with pytest.raises(CheckpointError, match="cannot go on"):
        run(easy, "whole", **DEMANDING, resume=True)
    assert (whole.folder / WEIGHTS).read_bytes() == weights
    assert whole.is_model


ORIGIN = {"model": "m", "created": "", "dataset": {"population": ""}}


FOREIGN_VALUES = {
    "something else": {"x": 1},
    "a list": [1],
    "nothing": None,
    "counts in words": {"epoch": "1"},
    "an epoch beyond the last": {"epoch": 99},
    "a batch beyond the last": {"batch": 99},
    "an epoch trained through of which nothing is known": {"batch": N_BATCHES},
    "a best one in words": {"best": "the first"},
    "an origin in words": {"origin": "another model"},
    "an origin that is a number": {"origin": ORIGIN | {"model": 3}},
    "an origin without a name": {"origin": {"created": ""}},
    "an origin whose ancestors are a word": {"origin": ORIGIN | {"training_fingerprints": "abc"}},
    "an origin whose ancestors are numbers": {"origin": ORIGIN | {"training_fingerprints": [3]}},
    "a preprocessing in words": {"preprocessing": "as usual"},
    "half a preprocessing": {"preprocessing": {"stored_size": 64, "input_size": 32}},
    "a preprocessing to another size": {
        "preprocessing": {"stored_size": 64, "input_size": 48, "mean": 0.5, "std": 0.2}
    },
    "a preprocessing that divides by nothing": {
        "preprocessing": {"stored_size": 64, "input_size": 32, "mean": 0.5, "std": 0.0}
    },
}


@pytest.mark.parametrize("values", FOREIGN_VALUES.values(), ids=FOREIGN_VALUES.keys())
def test_foreign_values_are_refused(home, easy, whole, values):
    file = whole.folder / STATE / "values.json"
    known = json.loads(file.read_text())
    is_change = isinstance(values, dict) and set(values) < set(known)
    write_json(file, known | values) if is_change else file.write_text(json.dumps(values))
    records = read_records(whole.folder / HISTORY_FILE)
    with pytest.raises(CheckpointError, match="cannot go on because"):
        run(easy, "whole", **DEMANDING, resume=True)
    assert read_records(whole.folder / HISTORY_FILE) == records


@pytest.mark.parametrize("other", [{"filters": 8}, {"optimizer": "sgd"}, {"network": "resnet18"}], ids=str)
def test_state_of_another_network_is_refused(home, easy, whole, other):
    _, foreign = run(easy, "other", **DEMANDING | other, should_stop=stop_after(2))
    shutil.rmtree(whole.folder / STATE)
    shutil.copytree(foreign.folder / STATE, whole.folder / STATE)
    with pytest.raises(CheckpointError, match="of another run: run it again under another name"):
        run(easy, "whole", **DEMANDING, resume=True)
