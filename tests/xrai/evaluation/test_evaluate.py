import errno
import json
import shutil
import threading
import time

import h5py
import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, roc_auc_score
from sklearn.metrics import classification_report as sklearn_report

from xrai.calibration import ConformalAbstention
from xrai.core.errors import CheckpointError, DatasetError
from xrai.core.paths import PROJECT_DIR
from xrai.data.dataset import open_dataset
from xrai.evaluation.evaluate import NotSavedError, classification_report, evaluate, predict_probabilities
from xrai.evaluation.store import evaluation_folder, load_evaluation, with_threshold
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint, open_checkpoint
from xrai.networks.build import build_network
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

KEYS = {
    "accuracy",
    "accuracy_interval",
    "balanced_accuracy",
    "balanced_accuracy_interval",
    "auc",
    "auc_interval",
    "classes",
    "confusion_matrix",
    "per_class",
    "threshold",
    "brier",
    "expected_calibration_error",
    "n",
    "n_patients",
    "split",
    "dataset",
    "model",
    "measured_before",
    "curves",
    "fingerprint",
    "when",
    "weights",
    "left_out",
    "seen",
    "unseen",
    "reliability",
    "expected_calibration_error_interval",
    "expected_calibration_error_by_chance",
    "calibration",
    "doubt",
    "answered",
}

VALIDATION = {"loss": 0.5, "n": 20, "accuracy": 0.5, "accuracy_interval": [0.3, 0.7], "auc": None, "auc_interval": None}


def make_model(name, classes, threshold=0.5, seed=0):
    """A network that has learned nothing, whose answers differ from scan to scan all the same."""
    config = TrainConfig(network="convnet", blocks=3, filters=4, image_size=32)
    torch.manual_seed(seed)
    network = build_network(config, len(classes))
    with torch.no_grad():
        network.head[-1].weight.mul_(200)
        network.head[-1].bias.zero_()
    checkpoint = open_checkpoint(name)
    checkpoint.folder.mkdir()
    checkpoint.save_network(network)
    card = Card(
        name=name,
        created="2026-11-21",
        classes=tuple(classes),
        network=config.network_config,
        preprocessing=Preprocessing(64, 32, 0.4, 0.2),
        dataset={"name": "d"},
        threshold={"class_name": classes[1], "value": threshold, "description": "in a test"}
        if len(classes) == 2
        else None,
        training={"best_epoch": 1, "settings": config.to_dict()},
        validation=VALIDATION,
        versions={},
        heatmap_scale={"Grad-CAM": dict.fromkeys(classes, 1.0)},
    )
    checkpoint.write_card(card)
    return checkpoint


@pytest.fixture
def model(home):
    return make_model("m", ("CLEAR", "OPACITY"))


def changed_copy(dataset, out, change):
    shutil.copy(dataset, out)
    with h5py.File(out, "r+") as file:
        change(file)
    return out


def measured(*arguments, **options):
    """The report of a measurement."""
    return evaluate(*arguments, **options).report


def figures_of(found):
    """A report without what tells the dataset and the moment."""
    return {
        name: value
        for name, value in found.items()
        if name not in ("dataset", "fingerprint", "when", "measured_before")
    }


def predictions(n, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    scores = rng.normal(0, 1, (n, n_classes)) + 1.2 * np.eye(n_classes)[labels]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    patients = np.array([f"p{number // 2}" for number in range(n)], dtype=object)
    return shares, labels, patients


@pytest.mark.parametrize(("n_classes", "threshold"), [(2, 0.5), (2, 0.3), (2, None), (3, None)])
def test_report_agrees_with_scikit_learn(n_classes, threshold):
    classes = ("a", "b", "c")[:n_classes]
    shares, labels, patients = predictions(200, n_classes)
    found = classification_report(shares, labels, patients, classes, threshold)
    called = (shares[:, 1] >= threshold).astype(int) if threshold else shares.argmax(axis=1)
    expected = sklearn_report(labels, called, target_names=classes, output_dict=True)
    for name in classes:
        row, theirs = found["per_class"][name], expected[name]
        assert row["support"] == theirs["support"]
        for ours, other in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert row[ours] == pytest.approx(theirs[other])
    assert found["confusion_matrix"] == confusion_matrix(labels, called).tolist()
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, called))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, called))
    scores = shares[:, 1] if n_classes == 2 else shares
    assert found["auc"] == pytest.approx(roc_auc_score(labels, scores, multi_class="ovr"))
    assert (found["n"], found["n_patients"]) == (200, 100)
    for name in ("accuracy", "balanced_accuracy", "auc"):
        low, high = found[f"{name}_interval"]
        assert low < found[name] < high
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_report_agrees_with_scikit_learn_on_what_is_hard(n_classes, seed):
    """Classes of very different size, answers that tie, and a class that is never called."""
    rng = np.random.default_rng(seed)
    classes = tuple("abcde"[:n_classes])
    weights = 4.0 ** -np.arange(n_classes)
    labels = rng.choice(n_classes, size=150, p=weights / weights.sum())
    labels[:n_classes] = range(n_classes)
    scores = rng.integers(0, 5, (150, n_classes)) + 2 * np.eye(n_classes)[labels]
    scores[:, -1] = rng.integers(0, 2, 150)
    scores[:, 0] += 3
    shares = scores / scores.sum(axis=1, keepdims=True)
    found = classification_report(shares, labels, np.arange(150), classes, None)
    called = shares.argmax(axis=1)
    assert n_classes - 1 not in called
    expected = sklearn_report(labels, called, target_names=classes, output_dict=True, zero_division=0)
    for name in classes:
        theirs = [expected[name][measure] for measure in ("precision", "recall", "f1-score", "support")]
        assert [found["per_class"][name][key] for key in ("precision", "recall", "f1", "support")] == pytest.approx(
            theirs
        )
    assert found["accuracy"] == pytest.approx(expected["accuracy"])
    assert found["balanced_accuracy"] == pytest.approx(expected["macro avg"]["recall"])
    assert found["confusion_matrix"] == confusion_matrix(labels, called).tolist()
    column = shares[:, 1] if n_classes == 2 else shares
    assert found["auc"] == pytest.approx(roc_auc_score(labels, column, multi_class="ovr", average="macro"))
    assert found["n"] == sum(row["support"] for row in found["per_class"].values()) == 150


def test_report_of_a_split_that_lacks_a_class():
    shares, labels, patients = predictions(40, 2)
    found = classification_report(shares, np.zeros_like(labels), patients, ("a", "b"), 0.5)
    assert (found["auc"], found["auc_interval"]) == (None, None)
    assert found["balanced_accuracy"] == found["per_class"]["a"]["recall"]
    assert found["per_class"]["b"]["support"] == 0


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


def test_the_card_keeps_every_measurement_and_counts_them(model, dataset):
    first = measured(model, dataset, "test")
    assert first["measured_before"] == 0
    assert measured(model, dataset, "val")["measured_before"] == 0
    assert measured(model, dataset, "test")["measured_before"] == 1
    assert measured(model, dataset, "test")["measured_before"] == 2
    kept = model.read_card().evaluations
    assert [item.split for item in kept] == ["test", "val", "test", "test"]
    assert {item.fingerprint for item in kept} == {dataset.fingerprint}
    for name in ("accuracy", "auc", "threshold", "n", "n_patients", "dataset"):
        assert getattr(kept[0], name) == first[name]
    assert model.read_card().threshold_value == 0.5


def test_a_measurement_that_cannot_be_noted_is_said(model, dataset, monkeypatch):
    def full(self, card):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = (model.folder / "card.json").read_bytes()
    monkeypatch.setattr("xrai.models.checkpoint.Checkpoint.write_card", full)
    with pytest.raises(NotSavedError, match=r"cannot be kept in the folder of the model “m” \(No space left") as stated:
        evaluate(model, dataset)
    assert (model.folder / "card.json").read_bytes() == before
    found = stated.value.result.report
    assert set(found) == KEYS
    assert f"accuracy {found['accuracy']:.3f}, AUC {found['auc']:.3f}, on {found['n']} scans" in str(stated.value)


def test_a_measurement_that_cannot_be_kept_keeps_the_earlier_one_and_counts(model, dataset, monkeypatch):
    """People read its figures in the sentence, so it was a look."""
    earlier = evaluate(model, dataset)

    def full(folder, found):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xrai.evaluation.evaluate.save_evaluation", full)
    with pytest.raises(NotSavedError) as stated:
        evaluate(model, dataset)
    assert stated.value.result.report["measured_before"] == 1
    kept = load_evaluation(evaluation_folder(model, dataset.path, "test"))
    assert kept.report["when"] == earlier.report["when"]
    assert kept.report["measured_before"] == 0
    assert len(model.read_card().evaluations) == 2


def test_two_that_end_at_once_are_both_counted(model, dataset, monkeypatch):
    """Each once wrote the card with its own look alone."""
    real, begun = Checkpoint.write_card, threading.Barrier(2)

    def slowly(checkpoint, card):
        time.sleep(0.2)  # in which the other would read the card as it was
        real(checkpoint, card)

    def together(done, total):
        if done == total:
            begun.wait(600)

    monkeypatch.setattr(Checkpoint, "write_card", slowly)

    def measure(split):
        with open_dataset(dataset.path) as opened:
            evaluate(model, opened, split, progress=together)

    users = [threading.Thread(target=measure, args=(split,)) for split in ("val", "test")]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert sorted(item.split for item in model.read_card().evaluations) == ["test", "val"]


def test_a_model_that_is_deleted_meanwhile_leaves_nothing_behind(model, dataset):
    with pytest.raises(CheckpointError, match="There is no model “m”"):
        evaluate(model, dataset, progress=lambda done, total: shutil.rmtree(model.folder, ignore_errors=True))
    assert not model.folder.exists()


def test_what_others_noted_in_the_card_meanwhile_is_kept(model, dataset):
    """Two measurements at once: the second to end must not write over the first."""
    inner = []

    def meanwhile(done, total):
        if not inner:
            inner.append(None)
            evaluate(model, dataset, "val")

    assert measured(model, dataset, "test", progress=meanwhile)["measured_before"] == 0
    assert [item.split for item in model.read_card().evaluations] == ["val", "test"]


def test_a_model_that_is_trained_on_meanwhile_is_to_be_measured_again(model, dataset):
    later = model.read_card().replace(training={"best_epoch": 2})
    with pytest.raises(CheckpointError, match=r"“m” was trained on while it was measured.*measure it again"):
        evaluate(model, dataset, "test", progress=lambda done, total: model.write_card(later))
    assert model.read_card() == later


def test_weights_that_change_while_they_are_measured_are_to_be_measured_again(model, dataset):
    def train_on(done, total):
        torch.manual_seed(9)
        model.save_network(build_network(model.read_card().network, 2))

    with pytest.raises(CheckpointError, match="measure it again"):
        evaluate(model, dataset, progress=train_on)


def test_the_card_tells_the_weights_that_were_measured(model, dataset):
    found = evaluate(model, dataset)
    assert found.has_weights_of(model)
    assert model.read_card().evaluations[0].weights_sha256 == found.report["weights"] == model.weights_sha256()


def descended(model, dataset, how):
    start = {"model": "older", "created": "2026", "dataset": {"fingerprint": "of a set between", "population": ""}}
    start |= {"training_fingerprints": [dataset.fingerprint]} if how == "far" else {}
    start["dataset"]["fingerprint"] = dataset.fingerprint if how == "near" else "of a set between"
    return model.read_card().replace(training={"best_epoch": 1, "source_model": start})


@pytest.mark.parametrize("how", ["near", "far"])
def test_scans_that_an_ancestor_learned_from_were_seen(model, dataset, how):
    """A model that started from one trained on these very scans once claimed to have seen none of them."""
    assert measured(model, dataset, "val")["seen"] == 0
    model.write_card(descended(model, dataset, how))
    for split in ("train", "val"):
        found = measured(model, dataset, split)
        assert (found["seen"], found["unseen"]) == (found["n"], None)
    assert measured(model, dataset, "test")["seen"] == 0


def test_files_that_are_the_same_as_one_that_an_ancestor_learned_from_were_seen(model, practice, tmp_path):
    def copy(file):
        splits, hashes = file["split"][()], file["sha256"]
        hashes[int(np.flatnonzero(splits == 2)[0])] = hashes[int(np.flatnonzero(splits == 0)[0])]

    with open_dataset(changed_copy(practice, tmp_path / "d.hdf5", copy)) as dataset:
        model.write_card(descended(model, dataset, "far"))
        found = measured(model, dataset, "test")
        assert found["seen"] == 1
        assert found["unseen"]["n"] == found["n"] - 1


def test_a_name_that_fits_several_files_leaves_none_of_them_out(model, practice, tmp_path):
    """It once left out every scan of that name, in whatever folder."""

    def rename(file):
        first, second, third = np.flatnonzero(file["split"][()] == 2)[:3]
        for row, name in ((first, "a/film.png"), (second, "b/film.png"), (third, "film.png")):
            file["file"][int(row)] = name

    with open_dataset(changed_copy(practice, tmp_path / "d.hdf5", rename)) as dataset:
        names = dataset.files[dataset.rows("test")].tolist()
        assert measured(model, dataset, excluded_files=["a/film.png"])["left_out"] == 1
        kept = evaluate(model, dataset, excluded_files=["film.png"]).predictions.files
        assert set(names) - set(kept) == {"film.png"}, "a whole path is no last part"

    def nest(file):
        rename(file)
        file["file"][int(np.flatnonzero(file["split"][()] == 2)[2])] = "c/film.png"

    with (
        open_dataset(changed_copy(practice, tmp_path / "e.hdf5", nest)) as dataset,
        pytest.raises(DatasetError, match=r"“film.png”.* fits 3 files of the test split.*write its whole path"),
    ):
        evaluate(model, dataset, excluded_files=["film.png", "a/film.png"])


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
