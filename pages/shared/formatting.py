"""How pages write things: names, figures with their intervals, times, and text that nothing takes for a formula."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from xrai.calibration import LEAST_CERTAIN, MOST_CERTAIN
from xrai.core.labels import canonical_class_name
from xrai.core.language import ENGLISH, N_, language, number, tr, translate, trn

ACRONYMS = {"COVID", "COVID-19", "TB", "COPD", "ARDS", "SARS", "MERS", "RSV", "ILD"}

AUC_HELP = N_("How well the classes are separated: 0.5 is guessing, 1 is perfect.")

NOT_DEFINED = N_("not defined: a class is missing")
"""Why a measure of a measurement, or of an epoch, has no interval."""

Interval = Sequence[float]


# ---------------------------------------------------------------- text


def escape_markdown(text: str) -> str:
    """Text from a file's name or a card, as it is: no Markdown in it, and so no pictures fetched from elsewhere."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~$:^-])", r"\\\1", text)


def replace_surrogates(text: str) -> str:
    """Text without halves of characters, which a file's name or a card may hold and no browser can show."""
    return text.encode("utf-8", "backslashreplace").decode()


def in_words(value: Any) -> str:
    """A value of a record, such as a card's, in the reader's language: a message translated, anything else as text."""
    return translate(value if isinstance(value, str) else str(value))


def escape_formula(value: Any) -> Any:
    """A table's cell that no spreadsheet takes for a formula; numbers stay as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def class_label(name: str) -> str:
    """A class or folder name as people write it: `PNEUMONIA` becomes Pneumonia (in French Pneumonie), `COVID` stays."""
    parts = [
        word.lower() if word.isupper() and word not in ACRONYMS else word for word in name.replace("_", " ").split()
    ]
    text, common_name = " ".join(parts), canonical_class_name(name)
    return tr(common_name) if common_name and tr(common_name) != common_name else text[:1].upper() + text[1:]


def class_labels(classes: Sequence[str]) -> list[str]:
    """The classes as people write them, unless two would look alike."""
    names = [class_label(name) for name in classes]
    return names if len(set(names)) == len(names) else list(classes)


def join_words(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return tr("{several} and {last}", several=", ".join(words[:-1]), last=words[-1])


# ---------------------------------------------------------------- figures


def scans_text(n: int) -> str:
    """`1 scan`, `1,234 scans`."""
    return trn("{n:,} scan", "{n:,} scans", n)


def format_probability(share: float) -> str:
    """A probability without false certainty: never 0 or 100 %."""
    if share > 0.999:
        return tr("over 99.9 %")
    return tr("under 0.1 %") if share < 0.001 else format_number(share, ".1%")


def format_told_probability(share: float) -> str:
    """The probability of an answer, no finer than the test supports: whole per cent, and “above 95 %” beyond."""
    if share > MOST_CERTAIN:
        return tr("above 95 %")
    return tr("below 5 %") if share < LEAST_CERTAIN else format_number(share, ".0%")


def format_metric(value: float | None, *, as_percent: bool = True) -> str:
    """A measure, such as `93.1 %` or, of an area, `0.931`; a dash where it is not known."""
    if value is None:
        return "–"
    return format_number(value, ".1%" if as_percent else ".3f")


def format_number(value: float, digits: str) -> str:
    """A number as the reader writes it: with digits `.1%` `93.1 %`, in French `93,1 %`; a dash where it is none."""
    if not math.isfinite(value):
        return "–"
    return number(f"{value:{digits}}").replace("%", " %" if language() == ENGLISH else "\u202f%")


def format_interval(interval: Interval, digits: str) -> str:
    """An interval, such as `90 % to 95 %` with digits `.0%`."""
    return tr("{low} to {high}", low=format_number(interval[0], digits), high=format_number(interval[1], digits))


def format_metric_with_interval(value: float | None, interval: Interval | None, *, as_percent: bool = True) -> str:
    """A measure with its 95 % interval, such as `93.1 % (90 % to 95 %)`."""
    if value is None:
        return tr("not defined")
    bounds = f" ({format_interval(interval, '.0%' if as_percent else '.3f')})" if interval else ""
    return f"{format_metric(value, as_percent=as_percent)}{bounds}"


def interval_caption(interval: Interval | None, *, as_percent: bool = True, missing: str = NOT_DEFINED) -> str:
    """What stands below a measure, such as `95 % interval 90.1 % to 95.3 %`; `missing` is a marked message."""
    if not interval:
        return tr(missing)
    return tr("95 % interval {interval}", interval=format_interval(interval, ".1%" if as_percent else ".3f"))


def format_megabytes(n_bytes: int | None) -> str:
    """The size of a file; a dash where it is not known."""
    return "–" if n_bytes is None else tr("{size:,.1f} MB", size=n_bytes / 1024**2)


# ---------------------------------------------------------------- times


def format_duration(seconds: float) -> str:
    """A time span in words: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def to_local_time(when: str | None) -> datetime | None:
    """An ISO time as this machine's clock showed it; None where there is none."""
    try:
        return datetime.fromisoformat(when or "").astimezone().replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None


_MONTHS = (
    N_("January"),
    N_("February"),
    N_("March"),
    N_("April"),
    N_("May"),
    N_("June"),
    N_("July"),
    N_("August"),
    N_("September"),
    N_("October"),
    N_("November"),
    N_("December"),
)


def format_day(when: datetime) -> str:
    """`21 November 2026`."""
    return f"{when.day} {tr(_MONTHS[when.month - 1])} {when.year}"


def format_time(when: str) -> str:
    """An ISO time on this machine's clock, such as `21 November 2026, 13:14`."""
    local_time_value = to_local_time(when)
    return (
        tr("{day}, {time}", day=format_day(local_time_value), time=f"{local_time_value:%H:%M}")
        if local_time_value
        else when
    )
