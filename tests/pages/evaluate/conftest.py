"""Models, a dataset and measurements for the page Evaluate."""

from dataclasses import replace

import numpy as np
import pytest

from pages.lab.evaluate import confusion
from tests.pages.evaluate.page import CLASSES, make_model, make_ready
from xrai.core import jobs
from xrai.core.paths import data_dir
from xrai.data.dataset import open_dataset
from xrai.evaluation.report import classification_report
from xrai.evaluation.store import evaluation_folder, save_evaluation, with_threshold


@pytest.fixture
def ready(model):
    """A model that chose threshold and doubt on its validation scans."""
    make_ready(model)
    return model


@pytest.fixture
def made_up_ready(ready, measurement):
    """The made-up measurement, as one of probabilities as the model has them now."""
    card = ready.read_card()
    same = replace(measurement, report=measurement.report | {"calibration": card.calibration.to_dict()})
    return with_threshold(same, card)


@pytest.fixture
def measured_ready(ready, dataset_here, made_up_ready):
    folder = evaluation_folder(ready, dataset_here, "test")
    save_evaluation(folder, made_up_ready)
    return folder


@pytest.fixture
def model(home):
    return make_model("chance")


@pytest.fixture
def dataset_here(home, practice):
    (data_dir() / "practice.hdf5").write_bytes(practice.read_bytes())
    return data_dir() / "practice.hdf5"


@pytest.fixture(scope="session")
def made_up(practice, tmp_path_factory):
    """A measurement with made-up answers, of which OPACITY called CLEAR is the most frequent error."""
    from xrai.evaluation.store import EvaluationResult, Predictions

    with open_dataset(practice) as dataset:
        rows = np.concatenate([np.flatnonzero(dataset.labels == 0)[:14], np.flatnonzero(dataset.labels == 1)[:26]])
        labels, files, patients = dataset.labels[rows], dataset.files[rows], dataset.patients[rows]
        fingerprint = dataset.fingerprint
    rng = np.random.default_rng(5)
    share = np.clip(0.25 + 0.25 * labels + rng.normal(0, 0.15, len(rows)), 0.01, 0.99)
    shares = np.stack([1 - share, share], axis=1)
    found = classification_report(shares, labels, patients, CLASSES, 0.5)
    found |= {
        "split": "test",
        "dataset": "practice",
        "model": "chance",
        "fingerprint": fingerprint,
        "left_out": 0,
        "when": "2026-11-21T13:14:23+00:00",
        "seen": 0,
        "unseen": None,
        "measured_before": 0,
        "weights": "none",
        "calibration": None,
    }
    called = (share >= 0.5).astype(np.int64)
    assert (called != labels)[labels == 1].sum() > max((called != labels)[labels == 0].sum(), 7)
    return EvaluationResult(found, Predictions(rows, files, patients, labels, called, shares))


@pytest.fixture
def measurement(model, made_up):
    """The same, as one of the model's weights."""
    return replace(made_up, report=made_up.report | {"weights": model.weights_sha256()})


@pytest.fixture
def measured(model, dataset_here, measurement):
    folder = evaluation_folder(model, dataset_here, "test")
    save_evaluation(folder, measurement)
    return folder


@pytest.fixture
def started(monkeypatch):
    """Jobs that the page would start, without starting them."""
    calls = []
    monkeypatch.setattr(jobs, "start", lambda arguments, folder, **more: calls.append((list(arguments), folder, more)))
    return calls


@pytest.fixture
def no_cells(monkeypatch):
    """A page without the scans of the confusion matrix, whose heatmaps take most of its time."""
    monkeypatch.setattr(confusion, "show_confusion", lambda *_, **__: None)
