"""Tests of `xrai.training.memory`: the memory that training needs, and what this machine has."""

from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from torch import nn

from xrai.networks.build import Network, build_network, count_parameters
from xrai.networks.config import NETWORKS
from xrai.networks.summary import list_layers
from xrai.training import memory
from xrai.training.config import TrainConfig
from xrai.training.memory import MachineMemory, estimate_memory, memory_warning, read_machine_memory

SMALL = TrainConfig(network="convnet", image_size=64, blocks=2, filters=4, dense_units=8)
OTHER_VALUES = {
    "weights": "another",
    "epochs": 20,
    "learning_rate": 0.01,
    "freeze_epochs": 3,
    "finetune_lr_scale": 0.5,
    "schedule": "cosine",
    "weight_decay": 0.1,
    "label_smoothing": 0.1,
    "class_balance": "none",
    "augment_strength": 0.0,
    "erase_prob": 0.0,
    "hflip": True,
    "mixup_alpha": 0.2,
    "select_by": "loss",
    "patience": 3,
    "seed": 3,
    "normalize": "image",
    "border_prob": 0.4,
    "quality_prob": 0.4,
    "appearance_transfer_prob": 0.4,
    "aspect_jitter_prob": 0.7,
}


def config(name: str, **options: Any) -> TrainConfig:
    return TrainConfig(network=name, image_size=options.pop("image_size", 64), **options)


def container(folder, *, limit: str, used: str, stat: str = "anon 5\ninactive_file 30\n", version: int = 2):
    limit_name, used_name = [("memory.limit_in_bytes", "memory.usage_in_bytes"), ("memory.max", "memory.current")][
        version - 1
    ]
    for name, text in ((limit_name, limit), (used_name, used), ("memory.stat", stat)):
        (folder / name).write_text(text + "\n")


@pytest.fixture
def processor_only(monkeypatch, tmp_path):
    """A machine of 100 bytes, 60 of them free, without a graphics card; gives its empty cgroup folder."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=100, available=60))
    monkeypatch.setattr(memory, "_CGROUP_2", tmp_path)
    monkeypatch.setattr(memory, "_CGROUP_1", tmp_path)
    return tmp_path


class TestMemoryNeeded:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_of_the_smallest_image(self, name):
        assert estimate_memory(config(name, image_size=32, batch_size=2), 2) > 0

    def test_initial_weights_make_no_difference(self, no_network):
        transfer = config("resnet18", weights="imagenet", epochs=5, freeze_epochs=2)
        assert estimate_memory(transfer, 2) == estimate_memory(config("resnet18"), 2)

    def test_an_ensemble_needs_more(self):
        alone, two = config("resnet18_half"), config("resnet18_half", ensemble_size=2)
        assert estimate_memory(two, 2) > estimate_memory(alone, 2)

    @pytest.mark.parametrize(
        "more", [{"batch_size": 64}, {"image_size": 128}, {"ema_decay": 0.99}, {"network": "resnet50"}]
    )
    def test_grows_with(self, more):
        asked = config("resnet18")
        assert estimate_memory(asked.replace(**more), 2) > estimate_memory(asked, 2)

    @pytest.mark.parametrize("less", [{"optimizer": "sgd"}, {"precision": "bf16"}])
    def test_shrinks_with(self, less):
        asked = config("resnet18", precision="32")
        assert estimate_memory(asked.replace(**less), 2) < estimate_memory(asked, 2)

    def test_adam_keeps_one_number_more_for_each_weight(self):
        asked = config("resnet18")
        with torch.device("meta"):
            weights = 4 * count_parameters(build_network(asked, 2))
        assert estimate_memory(asked, 2) - estimate_memory(asked.replace(optimizer="sgd"), 2) == pytest.approx(weights)

    def test_activations_grow_in_proportion_to_the_batch(self):
        first, second, third = (estimate_memory(config("resnet18", batch_size=size), 2) for size in (32, 64, 96))
        assert third - second == pytest.approx(second - first, rel=0.01)

    def test_what_is_kept_is_what_torch_keeps(self):
        """Each layer keeps its input, once where two share it, and pooling where its maxima were."""
        features = nn.Sequential(nn.Conv2d(1, 3, 1), nn.MaxPool2d(2), nn.ReLU(inplace=True))
        network = Network(features, nn.Identity(), nn.Linear(3 * 16 * 16, 2), 0.0).to("meta")
        scans, maps, pooled = 2 * 32 * 32, 2 * 3 * 32 * 32, 2 * 3 * 16 * 16
        assert (
            memory._activation_bytes(network, 2, SMALL.replace(image_size=32))
            == 4 * scans + 4 * maps + (8 + 4) * pooled
        )

    def test_each_process_has_a_network_of_its_own(self):
        asked = config("resnet18", batch_size=32)
        assert estimate_memory(asked.replace(devices=2), 2) > estimate_memory(asked, 2) + memory.BASE_BYTES

    def test_saving_copies_the_weights_of_a_network_with_many(self):
        wide = TrainConfig(network="convnet", image_size=128, blocks=1, dense_units=512, batch_size=2, ema_decay=0.9)
        weights = sum(layer.parameters for layer in list_layers(wide, 2)) * 4
        assert estimate_memory(wide, 2) > memory.BASE_BYTES + (4 + 1 + 4) * weights


class TestMachineMemory:
    def test_of_this_machine(self):
        found = read_machine_memory()
        assert 0 < found.available <= found.total

    def test_of_a_processor_is_what_is_free(self, processor_only):
        assert read_machine_memory() == MachineMemory(100, 60, "cpu")

    @pytest.mark.parametrize("version", [1, 2])
    def test_a_container_s_limit_counts_where_it_is_smaller(self, processor_only, version):
        stat = "inactive_file 30\n" if version == 2 else "inactive_file 1\ntotal_inactive_file 30\n"
        container(processor_only, limit="80", used="70", stat=stat, version=version)
        assert read_machine_memory() == MachineMemory(80, 40, "cpu")

    def test_a_limit_above_what_there_is_changes_nothing(self, processor_only):
        container(processor_only, limit="9223372036854771712", used="70", version=1)
        assert read_machine_memory() == MachineMemory(100, 60, "cpu")

    def test_a_container_without_a_limit(self, processor_only):
        container(processor_only, limit="max", used="70")
        assert read_machine_memory() == MachineMemory(100, 60, "cpu")

    def test_a_container_that_is_full(self, processor_only):
        container(processor_only, limit="80", used="90", stat="anon 90")
        assert read_machine_memory() == MachineMemory(80, 0, "cpu")

    def test_of_a_graphics_card(self, monkeypatch):
        card = SimpleNamespace(total_memory=24_000, name="Some card")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: card)
        assert read_machine_memory() == MachineMemory(24_000, 24_000, "Some card")


class TestTooLarge:
    @pytest.fixture
    def machine(self, monkeypatch):
        def give(available: int, device: str = "cpu", needed: int = 48 * 10**9):
            monkeypatch.setattr(memory, "read_machine_memory", lambda: MachineMemory(64 * 10**9, available, device))
            monkeypatch.setattr(memory, "estimate_memory", lambda config, n_classes: needed)

        return give

    def test_says_what_is_missing_and_what_to_do(self, machine):
        machine(20 * 10**9)
        assert memory_warning([config("resnet18", batch_size=512, image_size=512)], 2) == (
            "Training this network with batches of 512 at 512 pixels needs about 48 GB of memory, more than the 20 GB "
            "that are free on this machine: choose a smaller batch size, image size or network."
        )

    def test_is_silent_where_it_fits(self, machine):
        machine(48 * 10**9)
        assert memory_warning([config("resnet18")], 2) is None

    def test_names_the_graphics_card_and_shares_among_several(self, machine):
        machine(16 * 10**9, "Some card")
        assert "16 GB of this machine's graphics card:" in str(memory_warning([config("resnet18")], 2))
        assert memory_warning([config("resnet18", devices=4)], 2) is None

    def test_small_sizes_have_a_decimal(self, machine):
        machine(1_500_000_000, needed=2_340_000_000)
        assert "about 2.3 GB of memory, more than the 1.5 GB" in str(memory_warning([config("resnet18")], 2))

    def test_of_several_the_largest_counts(self, monkeypatch):
        monkeypatch.setattr(memory, "read_machine_memory", lambda: MachineMemory(2 * 10**6, 10**6, "cpu"))
        sizes = [config("resnet18", image_size=size, seed=seed) for size in (64, 96, 32) for seed in (1, 2)]
        assert "at 96 pixels" in str(memory_warning(sizes, 2))

    def test_runs_that_take_the_same_memory_are_weighed_once(self, machine, monkeypatch):
        machine(48 * 10**9)
        weighed = []
        monkeypatch.setattr(memory, "estimate_memory", lambda config, n_classes: weighed.append(config) or 1)
        asked = [config("resnet18", seed=seed, dropout=share) for seed in range(9) for share in (0.0, 0.2)]
        assert memory_warning(asked, 2) is None
        assert [item.dropout for item in weighed] == [0.0, 0.2]

    @pytest.mark.parametrize("name", sorted(set(TrainConfig.model_fields) - set(memory._MEMORY_SETTINGS)))
    def test_settings_that_are_said_to_take_no_memory_take_none(self, name):
        asked = config("convnet", weights="m")
        changed = asked.replace(**{name: OTHER_VALUES[name]})
        assert changed != asked
        assert estimate_memory(changed, 2) == estimate_memory(asked, 2)
