import hashlib
import json
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision

from tests.xrai.training.runs import (
    BORDER,
    FROZEN,
    N_BATCHES,
    N_VAL_BATCHES,
    assert_same_run,
    epochs_of,
    run,
    settings_of,
    stop_after,
    turned,
)
from xrai import cli
from xrai.core.errors import WeightsError
from xrai.data.dataset import open_dataset
from xrai.evaluation.evaluate import predict_probabilities
from xrai.models.card import SourceDataset, SourceModel
from xrai.models.checkpoint import CARD, STATE, open_checkpoint
from xrai.scans.preprocessing import Preprocessing
from xrai.training.card import describe_origin


@pytest.mark.parametrize("names", [("OPACITY", "CLEAR"), ("opacity", "Clear ")], ids=" ".join)
def test_a_run_starts_as_the_model_that_it_starts_from(home, easy, tmp_path, origin, names):
    """Also where the dataset has the classes in another order or spelling."""
    other = turned(easy, tmp_path / "turned.hdf5", names)
    card, checkpoint = run(other, weights="origin", **FROZEN, should_stop=stop_after(N_BATCHES + N_VAL_BATCHES + 1))
    assert (card.classes, card.training.best_epoch) == (names, 1)
    learned = origin.read_card()
    assert epochs_of(checkpoint)[0]["val"]["loss"] == pytest.approx(learned.validation.loss, abs=1e-3)
    with open_dataset(easy) as straight, open_dataset(other) as dataset:
        rows = straight.rows("val")
        expected = predict_probabilities(origin.load_network(learned), learned, straight, rows)
        found = predict_probabilities(checkpoint.load_network(card), card, dataset, rows)
    assert np.ptp(expected, axis=0).min() > 0.1
    np.testing.assert_allclose(found, expected[:, ::-1], atol=2e-3)


@pytest.mark.parametrize("head_epochs", [0, 1])
def test_a_run_on_other_classes_takes_all_but_the_last_layer(home, three, origin, head_epochs):
    settings = FROZEN | {"freeze_epochs": head_epochs}
    card, checkpoint = run(three, weights="origin", **settings)
    assert card.classes == ("Normal", "COVID", "Viral")
    learned = origin.load_network(origin.read_card()).state_dict()
    found = checkpoint.load_network(card).state_dict()
    weights = [key for key in learned if not key.startswith("head.3.") and "running" not in key and "num_" not in key]
    assert {"features.block1.0.weight", "head.0.weight"} < set(weights)
    for key in weights:
        torch.testing.assert_close(found[key], learned[key], atol=1e-3, rtol=1e-3)
    assert found["head.3.weight"].shape == (3, 16)
    _, anew = run(three, "anew", **settings | {"freeze_epochs": 0})
    assert not torch.allclose(anew.load_network(anew.read_card()).state_dict()["head.0.weight"], found["head.0.weight"])


def test_a_run_learns_on(home, easy, origin):
    card, checkpoint = run(easy, weights="origin", epochs=3, freeze_epochs=1)
    epochs = epochs_of(checkpoint)
    assert epochs[0]["train"]["loss"] < 0.9 * epochs_of(origin)[0]["train"]["loss"]
    assert card.validation.auc >= origin.read_card().validation.auc - 0.02


@pytest.mark.parametrize("head_epochs", [0, 1])
def test_a_run_sees_scans_as_the_model_that_it_starts_from(home, three, origin, head_epochs):
    origin.write_card(origin.read_card().replace(preprocessing=Preprocessing(96, 32, 0.125, 0.375)))
    card, checkpoint = run(three, weights="origin", epochs=2, freeze_epochs=head_epochs)
    assert card.preprocessing == Preprocessing(64, 32, 0.125, 0.375)
    saved = json.loads((checkpoint.folder / STATE / "values.json").read_text())
    assert saved["preprocessing"] == card.preprocessing.to_dict()


def test_the_card_tells_where_a_run_started(home, easy, origin):
    described = origin.read_card().dataset.replace(population="children of one hospital")
    origin.write_card(origin.read_card().replace(dataset=described))
    origin.folder.rename(origin.folder.with_name("children"))  # its name is the folder's
    card, checkpoint = run(easy, weights="children", epochs=1)
    assert card.training.source_model == SourceModel(
        model="children",
        created=origin_created(home, "children"),
        dataset=SourceDataset(
            name=described.name, fingerprint=described.fingerprint, population="children of one hospital"
        ),
        training_fingerprints=(described.fingerprint,),
    )
    told = [note for note in card.notes if "children" in note]
    assert told == ["It started from the model “children”, which had learned from: children of one hospital."]
    assert checkpoint.read_card() == card


ANCESTORS = {
    "none": (None, ("own",)),
    "two": ({"dataset": {"fingerprint": "a"}, "training_fingerprints": ["a", "b"]}, ("own", "a", "b")),
    "itself": ({"dataset": {"fingerprint": "a"}, "training_fingerprints": ["a", "own"]}, ("own", "a")),
    "of its dataset alone": ({"dataset": {"fingerprint": "a"}}, ("own", "a")),
    "without a fingerprint": ({"dataset": {}}, ("own",)),
}


@pytest.mark.parametrize(("before", "known"), ANCESTORS.values(), ids=ANCESTORS.keys())
def test_ancestors_of_more_than_one_generation_are_kept(home, origin, before, known):
    """What the model learned from that its starting model started from was seen all the same."""
    source = SourceModel.model_validate({"model": "before"} | before) if before else None
    card = origin.read_card()
    card = card.replace(
        dataset=card.dataset.replace(fingerprint="own"), training=card.training.replace(source_model=source)
    )
    assert describe_origin(card).training_fingerprints == known


def test_a_grandchild_tells_of_all_before_it(home, easy, three, origin):
    run(three, "child", weights="origin", epochs=1)
    card, _ = run(easy, "grandchild", weights="child", epochs=1, should_stop=stop_after(2))
    assert card is None
    card, _ = run(easy, "grandchild", weights="child", epochs=1, resume=True)
    prints = [open_checkpoint(name).read_card().dataset.fingerprint for name in ("child", "origin")]
    assert card.training.source_model.training_fingerprints == tuple(prints)
    assert len(set(prints)) == 2


def origin_created(home, name):
    return json.loads((home / "checkpoints" / name / CARD).read_text(encoding="utf-8"))["created"]


def test_the_card_tells_that_nobody_described_whom_the_model_knew(home, easy, origin):
    card, _ = run(easy, weights="origin", epochs=1)
    assert card.training.source_model.dataset.population == ""
    assert any("“origin”, which had learned from: patients that nobody described." in note for note in card.notes)
    assert origin.read_card().training.source_model is None
    assert not any("started from" in note for note in origin.read_card().notes)


def test_the_command_in_the_card_repeats_a_run_from_a_model(home, easy, capsys):
    """Also one whose settings that are the defaults differ from that model's."""
    (home / "data").mkdir()
    dataset = shutil.copy(easy, home / "data" / "easy set.hdf5")
    network = {"network": "mobilenet_v3_small"}
    run(dataset, "the origin", epochs=1, image_size=48, **network)
    card, one = run(dataset, "one", weights="the origin", epochs=2, freeze_epochs=1, image_size=128, **network)
    words = shlex.split(card.training.command)
    assert words[:6] == ["python", "-m", "xrai", "train", "data/easy set.hdf5", "--name"]
    assert cli.main([*words[3:5], "--name", "again", *words[7:]]) == 0
    capsys.readouterr()
    assert settings_of(open_checkpoint("again").read_card()) == settings_of(card)
    assert_same_run(one, open_checkpoint("again"))


def published(name, folder, monkeypatch):
    """Weights of chance where XRAI looks for those of ImageNet, by their true hash."""
    torch.manual_seed(5)
    folder.mkdir(parents=True)
    file = folder / "weights.pth"
    torch.save(torchvision.models.get_model(name, weights=None).state_dict(), file)
    file = file.rename(folder / f"{name}-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth")
    weights = SimpleNamespace(DEFAULT=SimpleNamespace(url=f"https://nowhere.invalid/models/{file.name}"))
    monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: weights)
    return file


def test_an_imagenet_run_goes_on_without_the_file_of_its_weights(home, easy, monkeypatch, no_network):
    settings = {"network": "mobilenet_v3_small", "weights": "imagenet", "epochs": 2, "freeze_epochs": 1}
    file = published("mobilenet_v3_small", home / "checkpoints" / ".imagenet", monkeypatch)
    card, one = run(easy, "one", **settings)
    assert (card.preprocessing.mean, card.preprocessing.std) == (0.449, 0.226)
    assert "started_from" not in card.training
    run(easy, "two", **settings, should_stop=stop_after(BORDER + 2))
    file.unlink()
    _, two = run(easy, "two", **settings, resume=True)
    assert_same_run(one, two)
    with pytest.raises(WeightsError, match="no internet"):
        run(easy, "three", **settings)
