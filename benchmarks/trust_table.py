"""Rows of the trust benchmark, the data it works on, and how figures are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xrai.core.language import say
from xrai.data.dataset import Dataset
from xrai.models.card import Card
from xrai.reading.reader import Reader

COPIES = Path(__file__).with_name("covid19-test-copies.txt").read_text(encoding="utf-8").split()


class Row(NamedTuple):
    """A line of the table: what was measured, what came out, and what was aimed at, if anything."""

    what: str
    value: str
    aim: str = ""


class Bench(NamedTuple):
    """A model, its dataset, and where the real scans lie."""

    reader: Reader
    dataset: Dataset
    scans: Path

    @property
    def card(self) -> Card:
        """Of the model."""
        return self.reader.card

    def rows(self, split: str) -> np.ndarray:
        """Of the dataset, without what is known to stand in training too."""
        rows = self.dataset.rows(split)
        return rows[[str(self.dataset.files[row]).rsplit("/", 1)[-1] not in COPIES for row in rows]]

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """In the model's order."""
        order = self.card.class_permutation(self.dataset.classes)
        assert order is not None
        return np.array(order)[self.dataset.labels[rows]]


def format_share(value: float | None, interval: Sequence[float] | None) -> str:
    """A share with its interval, in per cent."""
    if value is None:
        return "–"
    if not interval:
        return percent(value)
    return say("{value} ({interval})", value=percent(value), interval=format_interval(interval, percent))


def format_interval(interval: Sequence[float], form: Callable[[float], str]) -> str:
    """The two ends of an interval, each as `form` writes it."""
    return say("{interval} to {interval2}", interval=form(interval[0]), interval2=form(interval[1]))


def percent(share: float) -> str:
    """A share, 0 to 1, in per cent."""
    return say("{x:.1f} %", x=100 * share)


def decimal(value: float) -> str:
    """A number with three digits."""
    return say("{value:.3f}", value=value)


def counted(part: int, whole: int) -> str:
    """So many of so many, and the share."""
    return say("{part} of {whole} ({x})", part=part, whole=whole, x=percent(part / whole))


def format_mean(values: Sequence[float]) -> str:
    return say("{values:.3f} ({values2:.3f} to {values3:.3f})", values=values[0], values2=values[1], values3=values[2])
