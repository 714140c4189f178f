"""Memory estimate: whether a training run fits into this machine's memory.

The activations are measured by a forward pass on torch's meta device, which allocates nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor

from xrai.core.language import say
from xrai.networks.build import Network
from xrai.networks.config import NetworkConfig
from xrai.networks.summary import build_on_meta
from xrai.training.config import TrainConfig

BASE_BYTES = 1_100_000_000
"""What Python, torch and its libraries take by themselves; on a graphics card, about what its libraries take there."""


_ACTIVATION_FACTOR, _WEIGHT_FACTOR, _SCAN_COPIES = 1.25, 1.5, 13
"""Working space in proportion to activations, to weights and to a batch of scans: fitted by benchmarks/memory.py."""


_MEMORY_SETTINGS = (*NetworkConfig.model_fields, "batch_size", "devices", "ema_decay", "optimizer", "precision")
"""Settings that change the need for memory."""

_CGROUP_2, _CGROUP_1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")


@dataclass(frozen=True)
class MachineMemory:
    """What the machine has for training.

    Attributes:
        total: bytes that there are.
        available: bytes that are free; of a graphics card all, since asking it would take some.
        device: "cpu", or the graphics card's name.
    """

    total: int
    available: int
    device: str


def estimate_memory(config: TrainConfig, n_classes: int) -> int:
    """Bytes that training takes at its peak, in all the processes that share it together; rather too many."""
    network = build_on_meta(config, n_classes)
    weight_bytes = 4 * sum(item.numel() for item in network.parameters())
    n_scans = config.batch_size // config.devices
    scan_bytes = 4 * n_scans * config.image_size**2
    n_saved = 1 + (1 if config.optimizer == "sgd" else 2) + (config.ema_decay > 0)  # itself, moments, average
    n_gradients = 1 + (config.devices > 1)  # shared ones lie in a buffer once more
    working_bytes = _ACTIVATION_FACTOR * _activation_bytes(network, n_scans, config) + _WEIGHT_FACTOR * weight_bytes
    saving_bytes = n_saved * weight_bytes  # saving copies first what it writes, when activations are gone
    persistent_bytes = (n_saved + n_gradients) * weight_bytes + _SCAN_COPIES * scan_bytes
    return config.devices * round(BASE_BYTES + persistent_bytes + max(working_bytes, saving_bytes))


def read_machine_memory() -> MachineMemory:
    """What this machine has: the first graphics card's memory where there is one, else its main memory."""
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        return MachineMemory(gpu.total_memory, gpu.total_memory, gpu.name)
    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    if limit := _container_limit():
        total, available = min(total, limit[0]), min(available, limit[1])
    return MachineMemory(total, available, "cpu")


def memory_warning(configs: Sequence[TrainConfig], n_classes: int) -> str | None:
    """A sentence where training would probably not fit into this machine's memory, else None.

    Args:
        configs: one or more runs, one after another; the sentence is about the largest.
        n_classes: that the network tells apart.
    """
    machine = read_machine_memory()
    has_gpu = machine.device != "cpu"
    bytes_by_config = {}
    for config in _distinct_in_memory(configs):
        needed_bytes = estimate_memory(config, n_classes)
        bytes_by_config[config] = needed_bytes // config.devices if has_gpu else needed_bytes  # each process has a card
    config, needed_bytes = max(bytes_by_config.items(), key=lambda size: size[1])
    if needed_bytes <= machine.available:
        return None
    room = (
        say("the {_gigabytes} GB of this machine's graphics card", _gigabytes=_gigabytes(machine.available))
        if has_gpu
        else say("the {_gigabytes} GB that are free on this machine", _gigabytes=_gigabytes(machine.available))
    )
    return say(
        "Training this network with batches of {batch_size} at {image_size} pixels needs about "
        "{_gigabytes} GB of memory, more than {room}: choose a smaller batch size, image size or network.",
        batch_size=config.batch_size,
        image_size=config.image_size,
        _gigabytes=_gigabytes(needed_bytes),
        room=room,
    )


def _distinct_in_memory(configs: Sequence[TrainConfig]) -> list[TrainConfig]:
    """One of each group of runs that need the same memory; the runs of a sweep often all do."""
    return list({tuple(getattr(config, name) for name in _MEMORY_SETTINGS): config for config in configs}.values())


def _activation_bytes(network: Network, n_scans: int, config: TrainConfig) -> int:
    """Bytes of activations that one forward pass keeps for the backward pass, found by doing it without numbers."""
    weight_storages = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
    is_half_precision, storage_bytes = _uses_half_precision(config), {}

    def record_storage(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()  # layers that work in place share one
        if storage._cdata not in weight_storages:
            storage_bytes[storage._cdata] = storage.nbytes() // (
                2 if is_half_precision and tensor.is_floating_point() else 1
            )
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record_storage, lambda tensor: tensor):
        logits = network.train()(torch.empty(n_scans, 1, config.image_size, config.image_size, device="meta"))
    del logits  # until here it held the storages, so that none could take over the address of another
    return sum(storage_bytes.values())


def _uses_half_precision(config: TrainConfig) -> bool:
    """Whether activations are bf16; of a processor, which is only sometimes fast at it, that is not assumed."""
    if config.precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return config.precision == "bf16"


def _container_limit() -> tuple[int, int] | None:
    """Bytes that this process's container may use, and how many of these are free; None where nothing limits it."""
    for folder, limit_name, used_name, cache_name in (
        (_CGROUP_2, "memory.max", "memory.current", "inactive_file"),
        (_CGROUP_1, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            limit_bytes = int((folder / limit_name).read_text())
            used_bytes = int((folder / used_name).read_text())
            cache_match = re.search(rf"^{cache_name} (\d+)", (folder / "memory.stat").read_text(), re.MULTILINE)
        except (OSError, ValueError):  # not there, or "max"
            continue
        return limit_bytes, max(
            limit_bytes - used_bytes + (int(cache_match[1]) if cache_match else 0), 0
        )  # cached files make room when asked
    return None


def _gigabytes(n_bytes: int) -> str:
    size = n_bytes / 1e9
    return say("{size:,.0f}", size=size) if size >= 10 else say("{size:.1f}", size=size)
