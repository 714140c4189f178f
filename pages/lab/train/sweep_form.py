"""Form fields of a sweep: the settings to vary and their values."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from pages.shared.settings import setting_help, setting_label, setting_name, settings_text
from xrai.core.errors import SettingsError
from xrai.core.language import N_, number, tr, translate, trn
from xrai.networks.config import settings_of
from xrai.training.config import TrainConfig, default_settings, format_value
from xrai.training.sweep import CombinationError, expand_grid, parse_values

YES, NO = N_("yes"), N_("no")


MAX_VARIED = 4


def choose_grid(values: dict[str, Any], key: str) -> dict[str, list[Any]]:
    """Settings of which several values are to be tried, with these values; none for a single run."""
    expander = st.expander(tr("Sweep: try several values"), icon=":material/grid_view:", key=f"several_values_{key}")
    varied_names: list[str] = expander.multiselect(
        tr("Settings to vary"),
        [name for name in default_settings() if name != "weights"],
        format_func=setting_label,
        max_selections=MAX_VARIED,
        key=f"varied_{key}",
        placeholder=tr("Choose options"),
        select_all=False,
        help=tr("Every combination is trained as a run of its own; Models then shows them side by side."),
    )
    grid = {}
    for name in varied_names:
        text = expander.text_input(
            tr("Values of “{setting}”", setting=setting_name(name)),
            _format_values(values[name]),
            key=f"values_{name}_{key}",
            help=tr(
                "{explanation} Several values with commas between them, such as {example}.",
                explanation=setting_help(name),
                example=_example_values(name),
            ),
        )
        grid[name] = parse_values(name, _to_english(name, text))
    if grid:
        configs = _plan_runs(values, grid)
        expander.caption(
            trn(
                "{n:,} run: about as long as one by itself.",
                "{n:,} runs, one after another: about {n:,} times as long as one.",
                len(configs),
            )
        )
    return grid


def _plan_runs(values: dict[str, Any], grid: dict[str, list[Any]]) -> list[TrainConfig]:
    """The runs of a sweep; that one cannot be trained is said with the settings as pages call them."""
    try:
        return expand_grid(values, grid)
    except CombinationError as error:
        message = tr(
            "The combination “{settings}” cannot be trained: {reason}",
            settings=settings_text(error.settings),
            reason=translate(error.reason),
        )
        raise SettingsError(message) from error


def _example_values(setting: str) -> str:
    default_value = default_settings()[setting]
    if choices := settings_of(TrainConfig)[setting].choices:
        return ", ".join(choices[:2])
    return (
        _format_values(False, True)
        if isinstance(default_value, bool)
        else _format_values(default_value, default_value * 2 or 1)
    )


def _format_values(*values: Any) -> str:
    """Values as a person types them, who writes 0,001 in French and then needs semicolons."""
    words = [tr(format_value(value)) if isinstance(value, bool) else format_value(value) for value in values]
    if _has_decimal_comma() and any(isinstance(value, float) for value in values):
        return "; ".join(map(number, words))
    return ", ".join(words)


def _to_english(setting: str, text: str) -> str:
    """What a person typed, as the engine reads it; a text typed in French stays one after a switch to English."""
    default_value = default_settings()[setting]
    if isinstance(default_value, float) and (_has_decimal_comma() or ";" in text):
        return re.sub(r"(?<=\d),(?=\d)", ".", text)
    if isinstance(default_value, bool):
        english_words = {tr(word): word for word in (YES, NO)}
        return ", ".join(english_words.get(word.strip().lower(), word) for word in re.split("[,;]", text))
    return text


def _has_decimal_comma() -> bool:
    return number(".") == ","
