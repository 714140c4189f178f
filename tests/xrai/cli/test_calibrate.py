import json

import pytest

from xrai.core import jobs
from xrai.models.artifacts import load_artifacts
from xrai.models.checkpoint import calibration_folder, open_checkpoint


def test_calibrate_chooses_threshold_doubt_and_prevalence(call, model):
    printed = call("calibrate", "m", "--sensitivity", "90", "--abstain", "30", "--prevalence", "20", "--json")
    assert printed.status == 0, printed.err
    result, card = json.loads(printed.out), open_checkpoint("m").read_card()
    assert result["threshold"]["goal"] == {"kind": "max_fnr", "limit": 0.1}
    assert result["abstention"]["alpha"] == pytest.approx(0.3) and result["local_prevalence"] == 0.2
    assert json.dumps(card.to_dict()["threshold"]) == json.dumps(result["threshold"])
    assert result["local"]["threshold"] == pytest.approx(card.to_local_prevalence(card.threshold_value))
    printed = call("calibrate", "m", "--threshold", "0.4")
    assert "OPACITY at 40.0% or above" in printed.out
    card = open_checkpoint("m").read_card()
    assert card.local_prevalence == 0.2 and card.to_local_prevalence(card.threshold_value) == pytest.approx(0.4)
    assert call("calibrate", "m", "--argmax").status == 0
    card = open_checkpoint("m").read_card()
    assert card.to_local_prevalence(card.threshold_value) == pytest.approx(0.5)


def test_calibrate_fits_anew_on_the_dataset_that_the_model_learned_from(call, model, practice):
    before = open_checkpoint("m").read_card()
    (model / "artifacts.safetensors").unlink()
    printed = call("calibrate", "m", "--specificity", "90")
    assert printed.status == 1 and "calibrate it with the dataset" in printed.err
    printed = call("calibrate", "m", practice)
    assert printed.status == 0, printed.err
    after = open_checkpoint("m").read_card()
    assert after.calibration.slope == pytest.approx(before.calibration.slope, rel=1e-3)
    assert load_artifacts(open_checkpoint("m"), after).validation
    assert jobs.Job(calibration_folder(model)).status == "done"


def test_calibrate_refuses_another_dataset(call, model, drawings, tmp_path):
    other = tmp_path / "other.hdf5"
    assert call("build", drawings, other, "--size", "32").status == 0
    printed = call("calibrate", "m", other)
    assert printed.status == 1 and "was not trained on other.hdf5" in printed.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--sensitivity", "0"], "more than 0 and less than 100"),
        (["--specificity", "100"], "more than 0 and less than 100"),
        (["--abstain", "-1"], "--abstain is a percentage"),
        (["--prevalence", "nan"], "--prevalence is a percentage"),
        (["--threshold", "1"], "between 0 and 1"),
    ],
)
def test_calibrate_refuses_what_makes_no_sense(call, model, options, sentence):
    printed = call("calibrate", "m", *options)
    assert printed.status == 1 and sentence in printed.err


def test_calibrate_takes_one_threshold_at_a_time(call, model):
    assert call("calibrate", "m", "--sensitivity", "95", "--specificity", "95").status == 2
