"""What resuming a run needs, in `state/`: tensors as safetensors, everything else as JSON; never a pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from xrai.errors import CheckpointError
from xrai.records import write_json

TENSORS, VALUES = "tensors.safetensors", "values.json"


def save_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replace the state in `folder`: the new one is written whole beside it first.

    Raises:
        OSError, SafetensorError: the disk is full; the old state is still there.
    """
    fresh, old = folder.with_name(folder.name + ".partial"), folder.with_name(folder.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        # clones: averaged and trained weights may share storage, which safetensors refuses
        copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        save_file(copies, fresh / TENSORS)
        write_json(fresh / VALUES, values)
        shutil.copymode(fresh / VALUES, fresh / TENSORS)  # safetensors lets nobody but the present user read it
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and values last saved.

    Raises:
        CheckpointError: they are missing or damaged.
    """
    old = folder.with_name(folder.name + ".old")
    where = folder if folder.exists() else old  # killed between the two renames of saving
    try:
        # clones: what is loaded looks into the file, which could then not be replaced on Windows
        tensors = {name: tensor.clone() for name, tensor in load_file(where / TENSORS).items()}
        return tensors, json.loads((where / VALUES).read_text(encoding="utf-8"))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"The run “{folder.parent.name}” cannot go on because what it needs for that is missing or damaged: "
            "run it again under another name with the same settings."
        ) from error


def has_state(folder: Path) -> bool:
    """Whether there is something to resume from."""
    return any((item / VALUES).is_file() for item in (folder, folder.with_name(folder.name + ".old")))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory as named tensors, `optimizer.PARAMETER.NAME`."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{parameter}.{name}": torch.as_tensor(value)
        for parameter, memory in state.items()
        for name, value in memory.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the optimizer's memory back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, parameter, name = key.split(".", 2)
            state.setdefault(int(parameter), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix.`, without it."""
    return {key.removeprefix(f"{prefix}."): value for key, value in tensors.items() if key.startswith(f"{prefix}.")}


def as_tensor(array: np.ndarray) -> Tensor:
    """A NumPy array as a tensor that owns its memory."""
    return torch.from_numpy(array.copy())
