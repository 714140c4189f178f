"""Tests of `xrai.networks.summary`: layers and stages of every network."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from xrai.networks import build as networks
from xrai.networks import summary as blueprint
from xrai.networks.build import build_network, count_parameters
from xrai.networks.config import NETWORKS
from xrai.networks.summary import MAX_STAGES, group_stages, list_layers
from xrai.training.config import TrainConfig

SMALL = TrainConfig(network="convnet", image_size=64, blocks=2, filters=4, dense_units=8)


def config(name: str, **options: Any) -> TrainConfig:
    return TrainConfig(network=name, image_size=options.pop("image_size", 64), **options)


def kinds(asked: TrainConfig) -> list[str]:
    return [layer.kind for layer in list_layers(asked, 2)]


def names(asked: TrainConfig) -> list[str]:
    return [stage.name for stage in group_stages(list_layers(asked, 2))]


class TestLayers:
    def test_members_are_groups(self):
        alone, two = config("resnet18_half"), config("resnet18_half", ensemble_size=2)
        assert "Convolution 3×3 in 2 groups" in kinds(two)
        assert [item.name for item in list_layers(two, 2)] == [item.name for item in list_layers(alone, 2)]
        assert len(group_stages(list_layers(two, 2))) == len(group_stages(list_layers(alone, 2)))

    @pytest.mark.parametrize("name", NETWORKS)
    def test_parameters_add_up(self, name):
        with torch.device("meta"):
            whole = count_parameters(build_network(config(name), 3))
        assert sum(layer.parameters for layer in list_layers(config(name), 3)) == whole

    @pytest.mark.parametrize("name", NETWORKS)
    def test_shapes_are_those_of_a_real_scan(self, name):
        """Whatever a layer is called with, its output has the shape that was foretold."""
        network, seen = build_network(config(name), 2).eval(), []

        def noting(path):
            def note(module, inputs, output):
                seen.append((path, (output[0].numel(),) if path == "pool" else tuple(output.shape[1:])))

            return note

        for path, module in network.named_modules():
            if not list(module.children()):
                module.register_forward_hook(noting(path))
        with torch.no_grad():
            network(torch.zeros(1, 1, 64, 64))
        foretold = [(layer.name, layer.shape) for layer in list_layers(config(name), 2)]
        assert foretold[0] == ("input", (1, 64, 64))
        assert foretold[-1] == ("head" if name != "convnet" else "head.3", (2,))
        left_out = {path for path, _ in seen} - {path for path, _ in foretold}
        assert foretold[1:] == [item for item in seen if item[0] not in left_out]
        idle = [network.get_submodule(path) for path in left_out]
        assert all(getattr(module, "p", 0) == 0 and not list(module.parameters()) for module in idle)

    def test_the_plain_network_reads_like_its_settings(self):
        block = ["Convolution 3×3", "Batch normalisation", "ReLU", "Max pooling 2×2"]
        assert kinds(SMALL) == ["Input", *block, *block, "Flatten", "Dense", "ReLU", "Dropout 20 %", "Dense"]
        found = list_layers(SMALL, 3)
        assert [layer.stage for layer in found[:6]] == ["input", *["block1"] * 4, "block2"]
        assert found[1].parameters == 4 * 9
        assert found[9].shape == (8 * 16 * 16,)
        assert (found[-1].stage, found[-1].parameters) == ("head", 8 * 3 + 3)

    def test_dropout_that_is_off_is_no_layer(self):
        assert "Dropout 20 %" in kinds(config("resnet18"))
        assert not [kind for kind in kinds(config("resnet18", dropout=0.0)) if "Dropout" in kind]

    def test_strides_and_kinds_are_said(self):
        assert {"Convolution 7×7, stride 2", "Max pooling 3×3, stride 2", "Global average pooling"} <= {
            *kinds(config("resnet18"))
        }
        assert "Average pooling 2×2" in kinds(config("densenet121"))
        assert {"Depthwise convolution 5×5, stride 2", "Hard swish"} <= {*kinds(config("mobilenet_v3_small"))}

    @pytest.mark.parametrize("name", NETWORKS)
    def test_every_kind_has_plain_words(self, name):
        """A layer that is not known goes by its class's name, such as BatchNorm2d."""
        assert not [
            kind for kind in kinds(config(name)) if re.search("[a-z][A-Z]|[0-9]d", re.sub("ReLU|SiLU", "", kind))
        ]

    def test_a_layer_that_runs_twice_stands_twice_and_counts_once(self, monkeypatch):
        again = [layer.name for layer in list_layers(config("resnet18"), 2)].count("features.layer1.0.relu")
        assert again == 2
        shared = nn.Conv2d(1, 1, 1)
        network = networks.Network(nn.Sequential(shared, shared), nn.Identity(), nn.Linear(64 * 64, 2), 0.0).to("meta")
        monkeypatch.setattr(blueprint, "build_network", lambda config, n_classes: network)
        assert [layer.parameters for layer in list_layers(SMALL, 2)] == [0, 2, 0, 0, 64 * 64 * 2 + 2]

    @pytest.mark.parametrize("name", NETWORKS)
    def test_the_smallest_picture_passes(self, name):
        smallest = config(name, image_size=32, batch_size=2)
        assert list_layers(smallest, 2)[-1].shape == (2,)


class TestNothingIsTouched:
    @pytest.fixture
    def transfer(self) -> TrainConfig:
        return config("resnet18", weights="imagenet", epochs=5, freeze_epochs=2)

    def test_no_weights_file_is_looked_for(self, transfer, monkeypatch, no_network):
        monkeypatch.setattr(networks, "_load_imagenet", lambda *_: pytest.fail("weights were asked for"))
        monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a file was read"))
        assert list_layers(transfer, 2) == list_layers(config("resnet18"), 2)
        assert list_layers(transfer.replace(weights="a model of mine"), 2) == list_layers(config("resnet18"), 2)

    def test_no_number_is_allocated(self, transfer, monkeypatch):
        built = []

        def build(*asked):
            built.append(build_network(*asked))
            return built[-1]

        monkeypatch.setattr(blueprint, "build_network", build)
        list_layers(transfer, 2)
        assert len(built) == 1
        assert all(tensor.is_meta for network in built for tensor in network.state_dict().values())


class TestStages:
    @pytest.mark.parametrize(
        "asked",
        [
            *map(config, NETWORKS),
            *(config(name, image_size=32) for name in NETWORKS),
            config("convnet", blocks=1, dense_layers=0, dropout=0.0),
            config("convnet", image_size=256, blocks=7, dense_layers=4),
            config("convnet", image_size=256, blocks=7, dense_layers=2),
        ],
        ids=lambda asked: f"{asked.network}-{asked.image_size}-{asked.blocks}-{asked.dense_layers}",
    )
    def test_few_boxes_hold_all_layers(self, asked):
        found = list_layers(asked, 2)
        boxes = group_stages(found)
        assert len(boxes) <= MAX_STAGES
        assert (boxes[0].name, boxes[-1].name) == ("Input", "Output")
        assert (boxes[0].shape, boxes[-1].shape) == (found[0].shape, (2,))
        assert sum(box.parameters for box in boxes) == sum(layer.parameters for layer in found)
        assert sum(box.n_layers for box in boxes) == len(found) - 1
        assert len({box.name for box in boxes if not box.name.startswith("Dense layer")}) >= len(boxes) - 4
        assert all(box.explanation.endswith(".") for box in boxes)

    def test_of_the_plain_network(self):
        assert names(SMALL) == [
            "Input",
            "Convolution block 1",
            "Convolution block 2",
            "Flatten",
            "Dense layer 8",
            "Output",
        ]

    def test_too_many_dense_layers_share_a_box(self):
        deep = config("convnet", image_size=256, blocks=7, dense_layers=4, dense_units=16)
        assert names(deep)[-3:] == ["Flatten", "4 dense layers of 16", "Output"]
        assert names(deep.replace(blocks=3))[-5:-1] == ["Dense layer 16"] * 4

    def test_of_a_residual_network(self):
        assert names(config("resnet50")) == [
            "Input",
            "First convolution and pooling",
            "Residual stage 1 (3 blocks)",
            "Residual stage 2 (4 blocks)",
            "Residual stage 3 (6 blocks)",
            "Residual stage 4 (3 blocks)",
            "Global average pooling",
            "Output",
        ]

    def test_of_a_dense_network(self):
        assert names(config("densenet121"))[2:6] == [
            "Dense block 1 (6 layers)",
            "Dense block 2 (12 layers)",
            "Dense block 3 (24 layers)",
            "Dense block 4 (16 layers)",
        ]

    def test_inverted_blocks_are_grouped_by_the_picture_s_size(self):
        assert names(config("mobilenet_v3_small"))[1:7] == [
            "First convolution",
            "Inverted residual stage 1 (1 block)",
            "Inverted residual stage 2 (2 blocks)",
            "Inverted residual stage 3 (5 blocks)",
            "Inverted residual stage 4 (3 blocks)",
            "Last convolution",
        ]
        assert names(config("efficientnet_b0"))[6] == "Inverted residual stage 5 (5 blocks)"

    @pytest.mark.parametrize(
        ("name", "depth", "blocks"),
        [
            ("convnet", 0, ""),
            ("densenet121", 0, ""),
            ("resnet18", 3, "layer1.0 layer1.1 layer2.1 layer3.1 layer4.1"),
            ("mobilenet_v3_small", 2, "3 5 6 8 10 11"),
            ("efficientnet_b0", 3, "2.1 3.1 4.1 4.2 5.1 5.2 6.1 6.2 6.3"),
        ],
    )
    def test_only_blocks_that_leave_size_and_width_add_their_input(self, name, depth, blocks):
        found = [layer.name.split(".") for layer in list_layers(config(name), 2) if layer.in_sum]
        assert {".".join(parts[1:depth]) for parts in found} == set(blocks.split())

    @pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0"])
    def test_a_block_that_adds_its_input_gives_it_back_where_the_rest_of_it_is_silent(self, name):
        network = build_network(config(name), 2).eval()
        blocks = [module for module in network.modules() if blueprint._is_residual_block(module)]
        for block in blocks:
            last = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)][-1]
            nn.init.zeros_(last.weight)
            width = last.num_features
            values = torch.rand(1, width, 8, 8)
            torch.testing.assert_close(block(values), values)
        assert blocks

    def test_stages_say_whether_a_block_in_them_does(self):
        found = [stage.has_residual for stage in group_stages(list_layers(config("mobilenet_v3_small"), 2))]
        assert found == [False, False, False, True, True, True, False, False, False]
