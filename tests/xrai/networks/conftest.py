"""ImageNet weights as files."""

import hashlib
from types import SimpleNamespace

import pytest
import torchvision

from tests.xrai.networks.networks import weights_file


@pytest.fixture
def publish(monkeypatch):
    """Makes the file that lies where XRAI looks for weights the one that torchvision publishes: by its true hash."""

    def publish(name, folder):
        file = weights_file(name, folder)
        true = file.with_name(f"{name}-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth")
        weights = SimpleNamespace(DEFAULT=SimpleNamespace(url=f"https://nowhere.invalid/models/{true.name}"))
        monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: weights)
        return file.rename(true)

    return publish
