"""The model that the tests of the page Diagnose use."""

import numpy as np
import pytest
import torch

from tests.pages.diagnose.page import MEASURED, film
from xrai.calibration import Calibration
from xrai.core.paths import checkpoints_dir
from xrai.explain.similar_cases import fit_neighbour_index
from xrai.models.artifacts import Artifacts, ValidationOutputs, save_artifacts
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.networks.build import build_network
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig


@pytest.fixture
def model(home, gate):
    """A model that never learned, but has everything that a training leaves."""
    torch.manual_seed(0)
    config, steps = TrainConfig(network="resnet18", image_size=64), Preprocessing(64, 64, 0.5, 0.25)
    network = build_network(config, 2).eval()
    checkpoint = Checkpoint(checkpoints_dir() / "chance")
    checkpoint.folder.mkdir(parents=True)
    checkpoint.save_network(network)
    checkpoint.write_card(
        Card(
            name="chance",
            created="2026-01-01T00:00:00+00:00",
            classes=("NORMAL", "PNEUMONIA"),
            network=config.network_config,
            preprocessing=steps,
            threshold={"class_name": "PNEUMONIA", "value": 0.5, "description": "fixed"},
            training={"settings": config.to_dict()},
            dataset={
                "name": "chest",
                "population": "children of one hospital",
                "is_phantom": False,
                "fingerprint": "f",
            },
            validation=MEASURED,
            versions={},
            calibration=Calibration(slope=1.0, offsets=(0.0, 0.0), prevalence=(0.5, 0.5)),
            heatmap_scale={name: {"NORMAL": 0.1, "PNEUMONIA": 0.1} for name in ("Fused CAM", "CAM", "Grad-CAM")},
        )
    )
    inputs = torch.cat([steps(film(seed)) for seed in range(8)])
    with torch.inference_mode():
        logits, vectors = (item.numpy() for item in network.forward_with_features(inputs))
    labels = np.arange(8) % 2
    neighbours = fit_neighbour_index(vectors, labels, np.arange(8), np.arange(8))
    kit = Artifacts(gate, neighbours, ValidationOutputs(logits, logits[None], labels, labels))
    save_artifacts(checkpoint, kit, checkpoint.weights_sha256())
    return checkpoint
