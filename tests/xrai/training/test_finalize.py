"""What a training leaves for the readings, and a model that is made ready anew."""

import shutil

import numpy as np
import pytest
import torch

from xrai.calibration import ThresholdGoal
from xrai.core.errors import CheckpointError
from xrai.core.jobs import Job
from xrai.core.json_files import write_json
from xrai.core.paths import display_path
from xrai.data.dataset import open_dataset
from xrai.models.artifacts import ARTIFACTS_FILE, load_artifacts
from xrai.models.checkpoint import WEIGHTS, open_checkpoint
from xrai.models.operating_point import goal_from_card, update_operating_point
from xrai.training import finalize as readiness
from xrai.training.config import TrainConfig
from xrai.training.finalize import fit_artifacts, fit_cam_scale, recalibrate
from xrai.training.perturbations import PERTURBATIONS
from xrai.training.run import train_model

SMALL = TrainConfig(
    network="convnet", image_size=32, blocks=2, filters=4, dense_units=8, epochs=1, batch_size=16, precision="32"
)


def trained(dataset, name="m", config=SMALL, **options):
    checkpoint = open_checkpoint(name)
    checkpoint.folder.mkdir(exist_ok=True)
    write_json(checkpoint.folder / "config.json", {"dataset": display_path(dataset.path), "train": config.to_dict()})
    train_model(config, dataset, checkpoint, **options)
    return checkpoint


@pytest.fixture
def model(home, dataset):
    return trained(dataset)


def test_the_kit_is_of_the_training_and_validation_scans_alone(model, dataset):
    kit = load_artifacts(model, model.read_card())
    assert sorted(kit.neighbour_index.rows) == dataset.rows("train").tolist()
    assert kit.neighbour_index.labels.tolist() == dataset.labels[kit.neighbour_index.rows].tolist()
    assert kit.validation.labels.tolist() == dataset.labels[dataset.rows("val")].tolist()
    assert kit.validation.perturbed_logits.shape == (len(PERTURBATIONS), *kit.validation.logits.shape)
    assert kit.input_check is not None


def test_the_answers_kept_are_those_that_the_network_gives(model, dataset):
    card = model.read_card()
    network, validation = model.load_network(card), load_artifacts(model, card).validation
    inputs = torch.cat([card.preprocessing(square) for square in dataset.images(dataset.rows("val"))])
    with torch.inference_mode():
        np.testing.assert_allclose(validation.logits, network(inputs).numpy(), atol=1e-4)
    for changed in validation.perturbed_logits:
        assert np.abs(changed - validation.logits).max() > 1e-4


def test_classes_in_another_order_are_those_of_the_model(model, dataset):
    card = model.read_card()
    turned = card.replace(classes=card.classes[::-1], heatmap_scale={}, threshold=None)
    network = model.load_network(card)
    _, kit = fit_artifacts(network, turned, dataset)
    assert kit.validation.labels.tolist() == (1 - dataset.labels[dataset.rows("val")]).tolist()
    assert kit.neighbour_index.labels.tolist() == (1 - dataset.labels[kit.neighbour_index.rows]).tolist()
    assert all(set(anchors) == set(card.classes) for anchors in fit_cam_scale(network, turned, dataset).values())


def test_of_many_scans_some_are_looked_at(model, dataset, monkeypatch):
    for name, most in {"MAX_VALIDATION": 3, "MAX_TRAINING": 5, "MAX_OOD_SCANS": 4}.items():
        monkeypatch.setattr(readiness, name, most)
    _, kit = fit_artifacts(model.load_network(model.read_card()), model.read_card(), dataset)
    assert len(kit.validation.labels) == 3 and len(kit.neighbour_index.rows) == 5


def test_what_is_calibrated_anew_keeps_what_people_chose_meanwhile(model, dataset, monkeypatch):
    """A goal set on the Evaluate page while the network was looking at scans."""
    made = readiness.fit_artifacts

    def slowly(*arguments, **options):
        update_operating_point(model, goal=ThresholdGoal(kind="max_fnr", limit=0.2), alpha=0.4, prevalence=0.3)
        return made(*arguments, **options)

    monkeypatch.setattr(readiness, "fit_artifacts", slowly)
    card = recalibrate(model, dataset)
    assert (goal_from_card(card), card.abstention.alpha, card.local_prevalence) == (
        ThresholdGoal(kind="max_fnr", limit=0.2),
        0.4,
        0.3,
    )
    assert model.read_card().threshold_value == card.threshold_value


def test_weights_that_change_meanwhile_get_no_kit_of_the_old_ones(model, dataset, monkeypatch):
    (model.folder / ARTIFACTS_FILE).unlink()
    made = readiness.fit_artifacts

    def slowly(*arguments, **options):
        (model.folder / WEIGHTS).write_bytes(b"others")
        return made(*arguments, **options)

    monkeypatch.setattr(readiness, "fit_artifacts", slowly)
    with pytest.raises(CheckpointError, match="trained on while it was calibrated"):
        recalibrate(model, dataset)
    assert not (model.folder / ARTIFACTS_FILE).exists()


def test_a_model_in_training_is_not_calibrated(model, dataset, monkeypatch):
    monkeypatch.setattr(Job, "is_active", property(lambda job: job.folder == model.folder))
    with pytest.raises(CheckpointError, match="is being trained now"):
        recalibrate(model, dataset)


def test_a_failure_while_it_is_made_ready_leaves_a_model_that_can_be_read_with(home, dataset, monkeypatch):
    def fails(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("xrai.training.run.fit_artifacts", fails)
    with pytest.raises(Exception, match=r".*"):
        trained(dataset)
    card = open_checkpoint("m").read_card()
    assert card.heatmap_scale and card.validation.n and card.calibration is None and card.abstention is None
    assert open_checkpoint("m").load_network(card)


def test_going_on_keeps_what_people_chose(home, dataset):
    config = SMALL.replace(epochs=2)
    kinds: list[str] = []
    model = trained(
        dataset, config=config, emit=lambda record: kinds.append(record["kind"]), should_stop=lambda: "epoch" in kinds
    )
    update_operating_point(model, goal=ThresholdGoal(kind="max_fnr", limit=0.2), alpha=0.4, prevalence=0.3)
    card = train_model(config, dataset, model, resume=True)
    assert (goal_from_card(card), card.abstention.alpha, card.local_prevalence) == (
        ThresholdGoal(kind="max_fnr", limit=0.2),
        0.4,
        0.3,
    )
    assert load_artifacts(model, card).validation is not None


def test_a_card_quotes_what_the_check_of_its_dataset_found(home, practice, tmp_path):
    from xrai.data.audit import run_audit, save_audit

    file = shutil.copy(practice, tmp_path / "checked.hdf5")
    with open_dataset(file) as dataset:
        found = run_audit(dataset)
        save_audit(found, dataset.path)
        card = trained(dataset).read_card()
    assert {item.title for item in card.dataset.audit} == {
        item.title for item in found.findings if item.severity != "fine"
    }
