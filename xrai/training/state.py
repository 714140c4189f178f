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
from xrai.core.language import say
from xrai.training.loop import Outcome

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
        replace_file(folder, old)
    replace_file(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and values last saved.

    Raises:
        CheckpointError: they are missing or damaged.
    """
    old = folder.with_name(folder.name + ".old")
    where = folder if folder.exists() else old  # killed between the two renames of saving
    with refused(folder.parent.name):
        # clones: what is loaded looks into the file, which could then not be replaced on Windows
        tensors = {name: tensor.clone() for name, tensor in load_file(where / TENSORS).items()}
        values = json.loads((where / VALUES).read_text(encoding="utf-8"))
    return tensors, values


@contextmanager
def refused(name: str) -> Iterator[None]:
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
            say(
                "The run “{name}” cannot go on because what it needs for that is missing, damaged or of another run: "
                "run it again under another name with the same settings.",
                name=name,
            )
        ) from error


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


def outcome_tensors(outcome: Outcome) -> dict[str, Tensor]:
    """What an epoch gave so far as named tensors."""
    probabilities, labels = outcome.arrays()
    return {"outcome.probabilities": as_tensor(probabilities), "outcome.labels": as_tensor(labels)}


def saved_outcome(tensors: Mapping[str, Tensor], losses: float, n_classes: int) -> Outcome:
    """What an epoch gave so far; nothing where nothing was saved.

    Raises:
        LookupError, ValueError: it is that of something else.
    """
    if "outcome.labels" not in tensors:
        return Outcome.empty()
    probabilities, labels = tensors["outcome.probabilities"], tensors["outcome.labels"]
    if labels.ndim != 1 or probabilities.shape != (len(labels), n_classes):
        raise ValueError("outcome")
    return Outcome(losses, [probabilities.numpy()], [labels.numpy()])


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
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
        learned = origin.get("learned_from", [])  # runs from before this was kept go on without it
        if not isinstance(learned, list) or not all(isinstance(item, str) for item in learned):
            raise ValueError("origin")


def as_tensor(array: np.ndarray) -> Tensor:
    """A NumPy array as a tensor that owns its memory."""
    return torch.from_numpy(array.copy())
