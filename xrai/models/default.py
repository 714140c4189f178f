"""The model that scans are read with as long as nobody names another."""

from __future__ import annotations

import json

from xrai.core.errors import CheckpointError
from xrai.core.json_files import write_json
from xrai.core.language import say
from xrai.core.paths import checkpoints_dir
from xrai.models.checkpoint import DEFAULT, Checkpoint, list_models, open_checkpoint
from xrai.models.folders import check_model, convert_disk_errors

SHIPPED = "pneumonia"
"""The model that comes with XRAI, and the default as long as nobody chose another."""


def default_model() -> Checkpoint | None:
    """The model to read scans with: the chosen one, else the shipped one, else the newest, else none."""
    for name in (read_default_name(), SHIPPED):
        if name and (checkpoint := open_checkpoint(name)).is_model:
            return checkpoint
    return next(iter(list_models()), None)


def set_default(checkpoint: Checkpoint) -> None:
    """Choose the model that scans are read with.

    Raises:
        CheckpointError: it is no finished model, it is for teaching only, its card is damaged, or the choice cannot be
            written down.
    """
    check_model(checkpoint)
    if checkpoint.read_card().intended_use.is_teaching:
        raise CheckpointError(
            "The model “{name}” is for teaching only and reads no patients' scans: choose another default model.",
            name=checkpoint.name,
        )
    with convert_disk_errors(say("The model “{name}” cannot be made the default", name=checkpoint.name)):
        write_default(checkpoint)


def read_default_name() -> str | None:
    """The model that was chosen as the default, whether or not it is still there."""
    try:
        name = json.loads((checkpoints_dir() / DEFAULT).read_text(encoding="utf-8"))["model"]
        return open_checkpoint(name).name
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, CheckpointError):
        return None


def write_default(checkpoint: Checkpoint) -> None:
    """Note a model down as the chosen one.

    Raises:
        OSError: the disk is full; the choice before stands.
    """
    write_json(checkpoints_dir() / DEFAULT, {"model": checkpoint.name})
