"""What resuming a run needs, in `state/`: tensors as safetensors, everything else as JSON; never a pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from xrai.core.errors import CheckpointError
from xrai.core.json_files import replace_file, write_json
from xrai.training.loop import EpochOutputs

TENSORS_FILE, VALUES_FILE = "tensors.safetensors", "values.json"


def save_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replace the state in `folder`: the new one is written whole beside it first.

    Raises:
        OSError, SafetensorError: the disk is full; the old state is still there.
    """
    new_folder, old_folder = folder.with_name(folder.name + ".partial"), folder.with_name(folder.name + ".old")
    shutil.rmtree(new_folder, ignore_errors=True)
    try:
        new_folder.mkdir(parents=True)
        # clones: averaged and trained weights may share storage, which safetensors refuses
        copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        save_file(copies, new_folder / TENSORS_FILE)
        write_json(new_folder / VALUES_FILE, values)
        shutil.copymode(
            new_folder / VALUES_FILE, new_folder / TENSORS_FILE
        )  # safetensors lets nobody but the present user read it
    except BaseException:
        shutil.rmtree(new_folder, ignore_errors=True)
        raise
    shutil.rmtree(old_folder, ignore_errors=True)
    if folder.exists():
        replace_file(folder, old_folder)
    replace_file(new_folder, folder)
    shutil.rmtree(old_folder, ignore_errors=True)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and values last saved.

    Raises:
        CheckpointError: they are missing or damaged.
    """
    old_folder = folder.with_name(folder.name + ".old")
    state_folder = folder if folder.exists() else old_folder  # killed between the two renames of saving
    with report_state_errors(folder.parent.name):
        # clones: what is loaded looks into the file, which could then not be replaced on Windows
        tensors = {name: tensor.clone() for name, tensor in load_file(state_folder / TENSORS_FILE).items()}
        values = json.loads((state_folder / VALUES_FILE).read_text(encoding="utf-8"))
    return tensors, values


@contextmanager
def report_state_errors(name: str) -> Iterator[None]:
    """Turn what a damaged or foreign state of the run `name` leads to into a sentence.

    Raises:
        CheckpointError: something did not fit.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            "The run “{name}” cannot go on because what it needs for that is missing, damaged or of another run: "
            "run it again under another name with the same settings.",
            name=name,
        ) from error


def optimizer_to_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory as named tensors, `optimizer.PARAMETER.NAME`."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{parameter}.{name}": torch.as_tensor(value)
        for parameter, memory in state.items()
        for name, value in memory.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the optimizer's memory back.

    Raises:
        LookupError, ValueError: it is that of another optimizer or network.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, parameter, name = key.split(".", 2)
            state.setdefault(int(parameter), {})[name] = value
    parameters = [item for group in optimizer.param_groups for item in group["params"]]
    names = {"momentum_buffer"} if "momentum" in optimizer.defaults else {"step", "exp_avg", "exp_avg_sq"}
    for number, memory in state.items():
        shapes = {value.shape for name, value in memory.items() if name != "step"}
        if set(memory) != names or shapes != {parameters[number].shape}:
            raise ValueError("optimizer")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def outputs_to_tensors(outputs: EpochOutputs) -> dict[str, Tensor]:
    """What an epoch gave so far as named tensors."""
    probabilities, labels = outputs.arrays()
    return {"outcome.probabilities": as_tensor(probabilities), "outcome.labels": as_tensor(labels)}


def outputs_from_tensors(tensors: Mapping[str, Tensor], loss_sum: float, n_classes: int) -> EpochOutputs:
    """What an epoch gave so far; nothing where nothing was saved.

    Raises:
        LookupError, ValueError: it is that of something else.
    """
    if "outcome.labels" not in tensors:
        return EpochOutputs.empty()
    probabilities, labels = tensors["outcome.probabilities"], tensors["outcome.labels"]
    if labels.ndim != 1 or probabilities.shape != (len(labels), n_classes):
        raise ValueError("outcome")
    return EpochOutputs(loss_sum, [probabilities.numpy()], [labels.numpy()])


def select_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix.`, without it."""
    return {key.removeprefix(f"{prefix}."): value for key, value in tensors.items() if key.startswith(f"{prefix}.")}


def check_values(values: Any) -> None:
    """Refuse values that no run saved.

    Raises:
        KeyError, TypeError, ValueError: something is missing or makes no sense.
    """
    counts, numbers, best = ("epoch", "batch", "since_best", "records"), ("seconds", "losses"), values["best"]
    if any(type(values[name]) is not int or values[name] < 0 for name in counts):
        raise ValueError("counts")
    if any(type(values[name]) not in (int, float) for name in numbers) or not isinstance(values["fingerprint"], str):
        raise ValueError("numbers")
    if best is not None and (type(best["epoch"]) is not int or [type(item) for item in best["score"]] != [float] * 2):
        raise ValueError("best")
    if (origin := values.get("origin")) is not None:
        if not all(isinstance(origin[name], str) for name in ("model", "created")):
            raise ValueError("origin")
        if not isinstance(origin["dataset"]["population"], str | None):
            raise ValueError("origin")
        fingerprints = origin.get("learned_from", [])  # runs from before this was kept go on without it
        if not isinstance(fingerprints, list) or not all(isinstance(item, str) for item in fingerprints):
            raise ValueError("origin")


def as_tensor(array: np.ndarray) -> Tensor:
    """A NumPy array as a tensor that owns its memory."""
    return torch.from_numpy(array.copy())
