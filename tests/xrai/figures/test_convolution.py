"""The manual's tables of numbers: what stands in which cell, and what is outlined."""

import re

import numpy as np
import pytest

from xrai.core.language import use_language
from xrai.figures import format_short, patch_table, patients_figure, pooling_row, products_row, result_table
from xrai.manual.convolution import compute_step, convolve, get_preset, zero_pad


@pytest.fixture
def patch():
    return np.arange(49).reshape(7, 7) * 5


def numbers_of(html):
    """The texts of all cells, in order."""
    return re.findall(r'<div style="aspect-ratio[^>]*>([^<]*)</div>', html)


def test_a_patch_shows_its_numbers_and_its_window(patch):
    step = compute_step(patch, get_preset("edges"), 7, padding=1)
    html = patch_table(zero_pad(patch, 1), step, padding=1)
    cells = numbers_of(html)
    assert len(cells) == 81
    assert cells[:10] == ["0"] * 10
    assert cells[-11] == "240"
    assert "left: 0.000%; top: 11.111%; width: 33.333%; height: 33.333%; border: 3px" in html


def test_results_come_one_by_one(patch):
    results = convolve(patch, get_preset("sobel_x"))
    assert numbers_of(result_table(results, 6)) == ["40"] * 7 + [""] * 18


def test_products_are_written_out(patch):
    step = compute_step(patch, get_preset("sobel_x"), 0)
    cells = numbers_of(products_row(get_preset("sobel_x"), step))
    assert cells[:9] == ["0", "5", "10", "35", "40", "45", "70", "75", "80"]
    assert cells[9:18] == ["−1", "0", "1", "−2", "0", "2", "−1", "0", "1"]
    assert cells[18:] == ["0", "0", "10", "−70", "0", "90", "−70", "0", "80"]


def test_the_pooled_example_has_both_answers():
    assert numbers_of(pooling_row([[0, 1.9], [3.2, 1.6]], 3.2, 1.675)) == ["0", "1.9", "3.2", "1.6", "3.2", "1.675"]


def test_nothing_but_zeros_is_drawn_too():
    assert numbers_of(result_table(np.zeros((2, 2)), 3)) == ["0"] * 4


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (-3.0, "−3"), (1 / 9, "0.1111"), (-45.25, "−45.25"), (1234.5678, "1,235"), (0.1 + 0.2 - 0.3, "0")],
)
def test_numbers_are_short(value, words):
    assert format_short(value) == words


def test_numbers_are_written_as_the_reader_writes_them():
    with use_language("fr"):
        assert format_short(-2.5) == "−2,5"


@pytest.mark.parametrize(("code", "unit"), [("en", " %"), ("fr", "\u202f%")])
def test_patients_stand_on_a_scale_of_hundred_written_the_readers_way(code, unit):
    with use_language(code):
        figure = patients_figure([0.35, 0.9], [0.1], 0.5, text_colour="black")
    assert [list(trace.x) for trace in figure.data] == [[10], [35, 90]]
    assert figure.layout.xaxis.ticksuffix == unit
    assert figure.data[1].hovertemplate == f"%{{x:.0f}}{unit}<extra></extra>"
    assert figure.layout.shapes[0].x0 == 50
