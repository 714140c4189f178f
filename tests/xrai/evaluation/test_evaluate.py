"""Evaluating a model on a split."""

import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from tests.xrai.evaluation.models import KEYS, changed_copy, figures_of, make_model, measured
from xrai.calibration import ConformalAbstention
from xrai.core.errors import CheckpointError, DatasetError
from xrai.core.paths import PROJECT_DIR
from xrai.data.dataset import open_dataset
from xrai.evaluation.evaluate import evaluate, predict_probabilities
from xrai.evaluation.store import with_threshold
from xrai.models.checkpoint import open_checkpoint


def test_evaluate_gives_what_the_network_says(model, dataset):
    seen = []
    found = measured(model, dataset, "test", progress=lambda done, total: seen.append((done, total)))
    assert set(found) == KEYS
    json.dumps(found, allow_nan=False)
    rows = dataset.rows("test")
    shares = predict_probabilities(model.load_network(model.read_card()), model.read_card(), dataset, rows)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    called = (shares[:, 1] >= 0.5).astype(int)
    assert 0 < called.mean() < 1  # else there is little to compare
    assert found["confusion_matrix"] == confusion_matrix(dataset.labels[rows], called).tolist()
    assert found["auc"] == pytest.approx(roc_auc_score(dataset.labels[rows], shares[:, 1]))
    assert (found["n"], found["split"], found["dataset"], found["model"]) == (len(rows), "test", "practice", "m")
    assert found["n_patients"] == len(set(dataset.patients[rows]))
    assert seen[-1] == (len(rows), len(rows))


def test_threshold_is_the_cards(home, dataset):
    sure, easy = (make_model(name, ("CLEAR", "OPACITY"), value) for name, value in (("sure", 1.0), ("easy", 0.0)))
    n = len(dataset.rows("train"))
    assert [sum(row) for row in zip(*measured(sure, dataset, "train")["confusion_matrix"], strict=True)] == [n, 0]
    found = measured(easy, dataset, "train")
    assert [sum(row) for row in zip(*found["confusion_matrix"], strict=True)] == [0, n]
    assert found["threshold"] == 0.0


def test_under_another_threshold_and_doubt_it_is_what_measuring_anew_gives(model, dataset):
    kept = evaluate(model, dataset)
    card = model.read_card()
    card = card.replace(
        threshold=card.threshold.replace(value=0.3),
        abstention=ConformalAbstention(alpha=0.1, thresholds=(0.2, 0.2), n_patients=(20, 20)),
    )
    model.write_card(card)
    again, anew = with_threshold(kept, card), evaluate(model, dataset)
    aside = {"when": "", "measured_before": 0}
    assert again.report | aside == anew.report | aside
    assert again.predictions.predicted.tolist() == anew.predictions.predicted.tolist()
    assert again.report["threshold"] != kept.report["threshold"]


def test_classes_are_matched_by_name_in_any_order(model, practice, tmp_path):
    def turn(file):
        file["label"][...] = 1 - file["label"][()]
        file.attrs["classes"] = json.dumps(["OPACITY", "CLEAR"])

    with (
        open_dataset(practice) as straight,
        open_dataset(changed_copy(practice, tmp_path / "practice.hdf5", turn)) as turned,
    ):
        assert turned.classes == ("OPACITY", "CLEAR")
        one, other = measured(model, straight), measured(model, turned)
    assert one["classes"] == other["classes"] == ["CLEAR", "OPACITY"]
    assert figures_of(one) == figures_of(other)


def test_classes_are_matched_in_any_spelling(home, practice, tmp_path):
    """And called as the model calls them."""
    model = make_model("m", ("CLEAR", "LUNG_OPACITY"))

    def spell(*names, turned=False):
        def change(file):
            if turned:
                file["label"][...] = 1 - file["label"][()]
            file.attrs["classes"] = json.dumps(names)

        return change

    ways = [spell("CLEAR", "LUNG_OPACITY"), spell("Clear", "Lung opacity"), spell("lung-opacity", "cleaR", turned=True)]
    found = []
    for number, change in enumerate(ways):
        with open_dataset(changed_copy(practice, tmp_path / f"{number}.hdf5", change)) as dataset:
            found.append(measured(model, dataset))
    for item in found:
        assert item["classes"] == list(item["per_class"]) == ["CLEAR", "LUNG_OPACITY"]
        assert figures_of(item) == figures_of(found[0])
    assert len(set(map(tuple, found[0]["confusion_matrix"]))) == 2  # the order of the classes tells in it


def test_spellings_that_could_be_either_class_are_refused(home, practice, tmp_path):
    model = make_model("m", ("A b", "A_b"))

    def same(file):
        file.attrs["classes"] = json.dumps(["A_b", "A b"])

    def other(file):
        file.attrs["classes"] = json.dumps(["A_b", "A-b"])

    with open_dataset(changed_copy(practice, tmp_path / "same.hdf5", same)) as dataset:
        turned = dataset.labels[dataset.rows("test")]
        supports = {name: row["support"] for name, row in measured(model, dataset)["per_class"].items()}
        assert supports == {"A_b": int((turned == 0).sum()), "A b": int((turned == 1).sum())}
    with (
        open_dataset(changed_copy(practice, tmp_path / "other.hdf5", other)) as dataset,
        pytest.raises(CheckpointError, match=r"knows the classes A b, A_b, but .* other.hdf5 has A_b, A-b"),
    ):
        evaluate(model, dataset)


def test_other_classes_are_refused_with_both_lists(model, practice, tmp_path):
    def rename(file):
        file.attrs["classes"] = json.dumps(["NORMAL", "PNEUMONIA"])

    with (
        open_dataset(changed_copy(practice, tmp_path / "other.hdf5", rename)) as other,
        pytest.raises(
            CheckpointError, match=r"knows the classes CLEAR, OPACITY, but .* other.hdf5 has NORMAL, PNEUMONIA"
        ),
    ):
        evaluate(model, other)
    assert model.read_card().evaluations == ()


def test_more_classes_are_refused(model, practice, tmp_path):
    def add(file):
        file.attrs["classes"] = json.dumps(["CLEAR", "OPACITY", "THIRD"])

    with (
        open_dataset(changed_copy(practice, tmp_path / "other.hdf5", add)) as other,
        pytest.raises(CheckpointError, match="THIRD"),
    ):
        evaluate(model, other)


def test_empty_split(model, practice, tmp_path):
    def empty(file):
        splits = file["split"][()]
        splits[splits == 2] = 0
        file["split"][...] = splits

    with (
        open_dataset(changed_copy(practice, tmp_path / "no test.hdf5", empty)) as other,
        pytest.raises(DatasetError, match="no scans in its test split"),
    ):
        evaluate(model, other)


@pytest.mark.real
def test_the_model_in_the_box_on_real_scans(home, real_data, tmp_path):
    from xrai.data.dataset import BuildConfig, build_dataset
    from xrai.data.sources import open_source

    shipped = PROJECT_DIR / "checkpoints" / "pneumonia"
    if not (shipped / "card.json").is_file():
        pytest.skip("there is no model in checkpoints/pneumonia yet")
    checkpoint = open_checkpoint("pneumonia")
    checkpoint.folder.mkdir()
    for name in ("card.json", "model.safetensors"):
        shutil.copy(shipped / name, checkpoint.folder / name)
    scans = real_data / "datasets" / "chest_xray" / "test"
    for folder in ("NORMAL", "PNEUMONIA"):
        for split in ("train", "test"):
            target = tmp_path / "few" / split / folder
            target.mkdir(parents=True)
            files = sorted((scans / folder).iterdir())
            for file in files[:2] if split == "train" else files[2:42]:
                shutil.copy(file, target / file.name)
    out = tmp_path / "few.hdf5"
    with open_source(tmp_path / "few") as source:
        assert build_dataset(source, out, BuildConfig())
    with open_dataset(out) as few:
        found = measured(checkpoint, few, "test")
    assert found["n"] == 80
    assert found["classes"] == ["NORMAL", "PNEUMONIA"]
    assert [sum(row) for row in found["confusion_matrix"]] == [40, 40]
    assert found["auc"] > 0.8
