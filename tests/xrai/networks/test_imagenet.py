"""ImageNet weights."""

import hashlib
import os
import pickle
import re
import socket
from types import SimpleNamespace

import pytest
import torch
import torchvision
from torch import nn

from tests.xrai.networks.networks import (
    PRETRAINED,
    THREE_CHANNELS,
    from_imagenet,
    refused,
    scans,
    trained,
    unsafe_load,
    weights_file,
)
from xrai.networks import build as networks
from xrai.networks.build import Network, build_network
from xrai.networks.config import NetworkConfig


class TestImagenet:
    @pytest.mark.parametrize("name", THREE_CHANNELS)
    def test_one_channel_sees_what_three_see_of_grey(self, name, tmp_path, no_network, publish):
        """And weights that are there need no network."""
        backbone = trained(name, tmp_path)
        publish(name, tmp_path)
        network = from_imagenet(name, tmp_path)
        with torch.inference_mode():
            expected = THREE_CHANNELS[name](backbone, scans().expand(-1, 3, -1, -1))
            found = network.features(scans())
        assert float(expected.std()) > 0
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))

    def test_the_names_of_the_first_densenet_file(self, tmp_path, no_network, publish):
        """Torchvision's file is of 2017: `denselayer1.norm.1`, no count of batches, and not a zip inside."""
        backbone = trained("densenet121", tmp_path)
        new = {key: value for key, value in backbone.state_dict().items() if "num_batches_tracked" not in key}
        old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in new.items()}
        assert "features.denseblock1.denselayer1.norm.1.weight" in old
        torch.save(old, weights_file("densenet121", tmp_path), _use_new_zipfile_serialization=False)
        publish("densenet121", tmp_path)
        network = from_imagenet("densenet121", tmp_path)
        with torch.inference_mode():
            expected = nn.functional.relu(backbone.features(scans().expand(-1, 3, -1, -1)))
            assert torch.allclose(network.features(scans()), expected, rtol=1e-3, atol=1e-4 * float(expected.max()))

    def test_scratch_needs_neither_file_nor_network(self, no_network, tmp_path):
        assert isinstance(build_network(NetworkConfig(), 2), Network)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", PRETRAINED)
    def test_offline_is_one_sentence(self, name, tmp_path, no_network):
        message = refused(name, tmp_path / "new")
        assert "probably because this machine has no internet" in message
        assert weights_file(name, tmp_path).name in message
        assert list((tmp_path / "new").iterdir()) == []

    def test_a_silent_server_is_given_up(self, tmp_path, monkeypatch):
        """A firewall that swallows everything: connected, but never a word."""
        monkeypatch.setattr(networks, "DOWNLOAD_TIMEOUT_SECONDS", 0.3)
        before = socket.getdefaulttimeout()
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.serve(monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}/resnet18-00000000.pth")
            assert "no internet" in refused("resnet18", tmp_path)
        assert socket.getdefaulttimeout() == before

    def serve(self, monkeypatch, url):
        weights = SimpleNamespace(DEFAULT=SimpleNamespace(url=url))
        monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: weights)

    def test_a_download_is_kept_for_the_next_time(self, tmp_path, monkeypatch):
        backbone = trained("mobilenet_v3_small", tmp_path)
        content = weights_file("mobilenet_v3_small", tmp_path).read_bytes()
        server = tmp_path / f"small-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        server.write_bytes(content)
        self.serve(monkeypatch, server.as_uri())
        for _ in range(2):
            network = from_imagenet("mobilenet_v3_small", tmp_path / "kept")
            assert torch.equal(network.features[1].block[0][0].weight, backbone.features[1].block[0][0].weight)
            server.unlink(missing_ok=True)
        assert [file.name for file in (tmp_path / "kept").iterdir()] == [server.name]

    def test_a_download_that_is_not_what_it_should_be_is_thrown_away(self, tmp_path, monkeypatch):
        trained("mobilenet_v3_small", tmp_path)
        server = tmp_path / "small-00000000.pth"
        weights_file("mobilenet_v3_small", tmp_path).rename(server)
        self.serve(monkeypatch, server.as_uri())
        assert "cannot be downloaded" in refused("mobilenet_v3_small", tmp_path / "kept")
        assert list((tmp_path / "kept").iterdir()) == []

    def test_a_full_disk_is_no_missing_network(self, tmp_path, monkeypatch):
        def full(*args, **options):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch.hub, "download_url_to_file", full)
        assert "because the disk is full" in refused("resnet18", tmp_path)

    def test_a_folder_that_cannot_be_made(self, tmp_path, no_network):
        (tmp_path / "file").touch()
        assert "cannot be downloaded" in refused("resnet18", tmp_path / "file" / "below")

    @pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.9999])
    def test_a_file_cut_short(self, tmp_path, no_network, share):
        trained("mobilenet_v3_small", tmp_path)
        file = weights_file("mobilenet_v3_small", tmp_path)
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
        assert "probably because it is cut short" in refused("mobilenet_v3_small", tmp_path)

    @pytest.mark.parametrize("change", ["one number", "another file"])
    def test_what_torchvision_did_not_publish_is_not_even_opened(
        self, tmp_path, no_network, publish, monkeypatch, change
    ):
        """Somebody laid the file there by hand; it would load without complaint."""
        backbone = trained("mobilenet_v3_small", tmp_path)
        file = publish("mobilenet_v3_small", tmp_path)
        from_imagenet("mobilenet_v3_small", tmp_path)
        if change == "one number":
            backbone.classifier[0].bias.data[0] += 1
            torch.save(backbone.state_dict(), file)
        else:
            file.write_bytes(pickle.dumps({}))
        monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("it was unpickled"))
        assert "is not the one that torchvision publishes" in refused("mobilenet_v3_small", tmp_path)

    def test_a_folder_in_its_place(self, tmp_path, no_network):
        weights_file("resnet18", tmp_path).mkdir()
        assert "cannot be used" in refused("resnet18", tmp_path)

    @pytest.mark.parametrize(
        "content",
        [
            b"<html>Sign in to the hospital's network</html>",
            {"no": torch.zeros(1)},
            [1, 2],
            torch.zeros(3),
            {"a": 1},
            {1: torch.zeros(1)},
        ],
        ids=lambda content: type(content).__name__,
    )
    def test_a_foreign_file(self, tmp_path, no_network, publish, content):
        file = weights_file("resnet18", tmp_path)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file)
        publish("resnet18", tmp_path)
        assert "damaged or of another network" in refused("resnet18", tmp_path)

    def test_the_weights_of_another_network(self, tmp_path, no_network, publish):
        trained("resnet18", tmp_path)
        weights_file("resnet18", tmp_path).rename(weights_file("resnet50", tmp_path))
        publish("resnet50", tmp_path)
        assert "damaged or of another network" in refused("resnet50", tmp_path)

    @pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
    def test_code_in_a_weights_file_is_never_run(self, tmp_path, no_network, publish, form):
        """Whoever made it, even if its hash is right."""

        class Payload:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "payload has run"),)

        weights = torchvision.models.resnet18().state_dict() | {"fc.bias": Payload()}
        file = weights_file("resnet18", tmp_path)
        if form == "pickle":
            file.write_bytes(pickle.dumps(Payload()))
        else:
            torch.save(weights, file, _use_new_zipfile_serialization=form == "zip")
        file = publish("resnet18", tmp_path)
        assert "cannot be used" in refused("resnet18", tmp_path)
        assert not (tmp_path / "payload has run").exists()
        (pickle.loads if form == "pickle" else unsafe_load)(file.read_bytes())
        assert (tmp_path / "payload has run").exists()  # the payload is one
