"""HTML tables of the manual: a patch under a filter's window, its products, a pooled example.

HTML instead of Plotly, since three Plotly charts would take the browser most of 200 ms at every edit of a filter. All
text comes from this module; it has the theme's colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrai.core.language import number, tr
from xrai.figures.style import TRAIN
from xrai.manual.convolution import ConvolutionStep

Table = NDArray[np.floating]
CellRectangle = tuple[int, int, int, int]  # left, top, width, height in cells

_CELL = 36  # pixels
_MIN_WIDTH = 72  # of a table with its title, in pixels
_GAP = 12  # between tables, in pixels
_LETTERS = 14  # largest font size in pixels
_LETTER = 0.48  # width of a digit, as a share of its height
_FILLED = 92.0  # share of a cell that its number fills, in %
_GREY, _BELOW, _ABOVE = "138, 151, 160", "217, 130, 43", "23, 145, 163"
_FAINTEST = 0.1
_STRONGEST = 0.6  # opacity at which text of any theme is readable


def patch_table(patch: ArrayLike, step: ConvolutionStep, *, padding: int = 0) -> str:
    """The patch as numbers on their grey levels, with the window outlined; HTML.

    Args:
        patch: grey levels (H, W), with padding.
        step: the position of the window.
        padding: rows and columns of zeros in the patch.
    """
    numbers = np.asarray(patch, float)
    side, inner = len(step.window), len(numbers) - 2 * padding
    frames = [_frame((padding, padding, inner, inner), numbers, "2px dotted rgb(138, 151, 160)")] if padding else []
    frames.append(_frame((step.left, step.top, side, side), numbers))
    return _table(numbers, tr("The patch, and the window on it"), frames, greys=True)


def result_table(results: ArrayLike, step_index: int) -> str:
    """The results of the steps so far; later cells are empty. HTML.

    Args:
        results: of all steps, (H', W').
        step_index: the step that is shown, counted from 0.
    """
    numbers = np.array(results, float)
    top, left = divmod(step_index, numbers.shape[1])
    max_abs = float(np.abs(numbers).max())
    numbers.flat[step_index + 1 :] = np.nan
    return _table(numbers, tr("The results so far"), [_frame((left, top, 1, 1), numbers)], largest=max_abs)


def products_row(kernel: ArrayLike, step: ConvolutionStep) -> str:
    """One step: window × filter = products. HTML."""
    window = _frame((0, 0, len(step.window), len(step.window)), step.window)
    return _row(
        [
            _table(step.window, tr("Window"), [window], greys=True),
            "×",
            _table(np.asarray(kernel, float), tr("Filter")),
            "=",
            _table(step.products, tr("Products")),
        ]
    )


def pooling_row(numbers: ArrayLike, largest: float, average: float) -> str:
    """A window of numbers, the largest outlined, and the results of max and average pooling. HTML."""
    table = np.asarray(numbers, float)
    top, left = divmod(int(table.argmax()), table.shape[1])
    pooled_tables = [
        _table(np.array([[value]]), title) for value, title in ((largest, tr("Largest")), (average, tr("Average")))
    ]
    return _row([_table(table, tr("Window"), [_frame((left, top, 1, 1), table)]), "→", *pooled_tables])


def format_short(value: float, figures: int = 4) -> str:
    """Format a number briefly: without decimals if it is whole or large, else with some significant figures."""
    if not np.isfinite(value):
        return ""
    whole = abs(value) >= 100 or abs(value - round(value)) < 1e-9
    return number(f"{round(value):,}" if whole else f"{value:.{figures}g}").replace("-", "−")


# ---------------------------------------------------------------- parts


def _table(
    numbers: Table, title: str, frames: Sequence[str] = (), *, greys: bool = False, largest: float | None = None
) -> str:
    columns, values = numbers.shape[1], numbers.ravel().tolist()
    text = [format_short(value) for value in values]
    letter_width = _FILLED / (columns * max(map(len, text)) * _LETTER)  # for one letter, in % of the table's width
    scale = largest or float(np.nanmax(np.abs(numbers))) or 1
    cells = [
        f'<div style="aspect-ratio: 1; display: flex; align-items: center; justify-content: center; '
        f'{_grey(value) if greys else _shade(value / scale)}">{label}</div>'
        for value, label in zip(values, text, strict=True)
    ]
    return (
        f'<div style="flex: 0 1 {max(columns * _CELL, _MIN_WIDTH)}px; min-width: 0">'
        f'<div style="font-size: 13px; white-space: nowrap; padding-bottom: 3px">{escape(title)}</div>'
        f'<div style="max-width: {columns * _CELL}px; container-type: inline-size">'
        f'<div style="position: relative; display: grid; grid-template-columns: repeat({columns}, minmax(0, 1fr)); '
        f'font-size: min({_LETTERS}px, {letter_width:.2f}cqw); line-height: 1; white-space: nowrap">'
        f"{''.join([*cells, *frames])}</div></div></div>"
    )


def _row(parts: Sequence[str]) -> str:
    signs = (
        part if part.startswith("<") else f'<div style="font-size: 20px; padding-top: 18px">{part}</div>'
        for part in parts
    )
    return f'<div style="display: flex; align-items: center; gap: {_GAP}px">{"".join(signs)}</div>'


def _frame(rectangle: CellRectangle, numbers: Table, border: str = f"3px solid {TRAIN}") -> str:
    rows, columns = numbers.shape
    left, top, width, height = rectangle
    return (
        f'<div style="position: absolute; left: {left / columns:.3%}; top: {top / rows:.3%}; '
        f'width: {width / columns:.3%}; height: {height / rows:.3%}; border: {border}; box-sizing: border-box"></div>'
    )


def _grey(value: float) -> str:
    level = int(np.clip(value, 0, 255))
    return f"background: rgb({level}, {level}, {level}); color: {'#000' if level > 120 else '#fff'}"


def _shade(share: float) -> str:
    """The style of a cell: orange below 0, teal above, an outline if it is empty (NaN)."""
    if not np.isfinite(share):
        return f"box-shadow: inset 0 0 0 0.5px rgba({_GREY}, 0.4)"
    if abs(share) < 1e-12:
        return f"background: rgba({_GREY}, {_FAINTEST})"
    strength = _FAINTEST + (_STRONGEST - _FAINTEST) * abs(share) ** 0.5
    return f"background: rgba({_BELOW if share < 0 else _ABOVE}, {strength:.2f})"
