"""What is known of a run or model, as the table of all, the page of one and the comparison of several write it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pages.shared.formatting import escape_formula, replace_surrogates, to_local_time
from pages.shared.runs import STATUS
from pages.shared.settings import value_text
from xrai.core.language import N_, tr
from xrai.models import Summary
from xrai.networks.config import applies_to
from xrai.training.config import default_settings
from xrai.training.config import differing_settings as differing_settings_of

DAMAGED, NO_MODEL = N_("Damaged"), N_("No model")


def status_text(item: Summary) -> str:
    """How it stands, in a word."""
    if item.problem:
        return tr(DAMAGED)
    return tr(NO_MODEL if item.status == "none" and not item.is_model else STATUS[item.status][0])


def dataset_name(item: Summary) -> str:
    """The dataset that it learned from, without folder and ending."""
    return replace_surrogates(item.dataset.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".hdf5"))


def network_name(item: Summary) -> str:
    """The kind of its network in words."""
    return value_text("network", item.config["network"]) if item.config else "–"


def differing_settings(items: Sequence[Summary]) -> list[str]:
    """The settings in which runs differ; those of the plain convnet count for it alone."""
    configs = [item.config for item in items if item.config]
    names = differing_settings_of(configs)
    return [name for name in names if len({setting_value(item, name) for item in items if item.config}) > 1]


def setting_value(item: Summary, setting: str) -> Any:
    """A setting of a run; None where it is not known or makes no difference there."""
    if not item.config:
        return None
    values = default_settings() | item.config
    return values[setting] if applies_to(setting, values["network"]) else None


def creation_time(item: Summary) -> datetime | None:
    """When it was made, in this machine's time."""
    return to_local_time(item.created)


def table_cell(text: str) -> str:
    """Text as a table cell that no spreadsheet takes for a formula and any browser can show."""
    return escape_formula(replace_surrogates(text))
