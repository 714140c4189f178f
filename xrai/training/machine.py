"""The machine that a run works on: its devices, its number formats, and what it says when it cannot go on."""

from __future__ import annotations

import atexit
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError

from xrai.core.errors import SettingsError, TrainingError, system_reason
from xrai.core.language import N_, Message, say
from xrai.training.config import TrainConfig

_OUT_OF_MEMORY_MESSAGE = N_(
    "The training does not fit into this machine's memory: choose a smaller batch size, image size or network, "
    "and run it again."
)
_OUT_OF_MEMORY_WORDS = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")
_LOST_PEER_WORDS = ("gloo", "nccl", "connection")


@contextmanager
def report_machine_errors(name: str) -> Iterator[None]:
    """Turn what a machine cannot do into a sentence."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingError(_OUT_OF_MEMORY_MESSAGE) from error
    except PermissionError as error:
        raise TrainingError(
            "The training may not write to the folder of “{name}” ({strerror}), because its rights forbid it or "
            "another program holds one of its files: free it and resume it; what was saved last is still there.",
            name=name,
            strerror=system_reason(error),
        ) from error
    except (OSError, SafetensorError) as error:
        reason = Message(getattr(error, "strerror", None) or "") or say("the weights cannot be written")
        raise TrainingError(
            "The training cannot write to the folder of “{name}” ({reason}), probably because the disk is full: "
            "free some space and resume it; what was saved last is still there.",
            name=name,
            reason=reason,
        ) from error
    except RuntimeError as error:
        text = str(error).lower()
        if any(words in text for words in _OUT_OF_MEMORY_WORDS):
            raise TrainingError(_OUT_OF_MEMORY_MESSAGE) from error
        if torch.distributed.is_initialized() and any(words in text for words in _LOST_PEER_WORDS):
            raise TrainingError(
                "Another of the processes that share this training broke off, probably for want of memory: "
                "see its log, and resume the training."
            ) from error
        raise


def make_fabric(config: TrainConfig) -> Fabric:
    """Device, precision and processes as configured; further processes are launched here.

    Raises:
        SettingsError: the machine does not have what was asked for.
    """
    n_cards = torch.cuda.device_count()
    accelerator = "cuda" if n_cards else "mps" if torch.backends.mps.is_available() else "cpu"
    if n_cards and config.devices > n_cards:
        raise SettingsError(
            "The setting “devices” is {devices}, but this machine has {n_cards} graphics cards.",
            devices=config.devices,
            n_cards=n_cards,
        )
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if n_processes not in (1, config.devices):
        raise SettingsError(
            "{started} processes were started, but the setting “devices” is {devices}: make both the same.",
            started=n_processes,
            devices=config.devices,
        )
    use_bf16 = config.precision == "bf16" or (config.precision == "auto" and _is_fast_at_bf16(accelerator))
    fabric = Fabric(accelerator=accelerator, devices=config.devices, precision="bf16-mixed" if use_bf16 else "32-true")
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(_destroy_process_group)
    return fabric


def _destroy_process_group() -> None:
    """Part from the processes that shared a run: torch's threads, left running, may abort a process that ends."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _is_fast_at_bf16(accelerator: str) -> bool:
    if accelerator == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if accelerator != "cpu":
        return False
    try:  # what these are called and in which builds they exist varies; without an answer 32 bits are right
        if platform.machine().lower() in ("x86_64", "amd64"):  # oneDNN says yes even where it imitates bf16 slowly
            return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return False
