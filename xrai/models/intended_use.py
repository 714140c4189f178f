"""Intended use of a model: the patients and films that it may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xrai.core.language import say
from xrai.models.card import IntendedUse
from xrai.models.checkpoint import Checkpoint
from xrai.models.folders import check_exists, convert_disk_errors


def set_intended_use(checkpoint: Checkpoint, changes: Mapping[str, Any]) -> IntendedUse:
    """Change the intended use in a model's card: see `card.IntendedUse` for the fields.

    Raises:
        CheckpointError: there is no such model, or the disk is full.
        ValueError: a value is outside its limits.
    """
    check_exists(checkpoint)
    with convert_disk_errors(say("The card of “{name}” cannot be saved", name=checkpoint.name)), checkpoint.card_lock():
        card = checkpoint.read_card()
        intended_use = card.intended_use.replace(**changes)
        checkpoint.write_card(card.replace(intended_use=intended_use))
    return intended_use
