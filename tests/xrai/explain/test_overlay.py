"""Tests of `xrai.explain.overlay`."""

import numpy as np

from xrai.explain.overlay import OUTLINE_COLOUR, draw_colour_bar, draw_outline, draw_overlay, draw_side_by_side

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def test_no_evidence_leaves_the_scan_as_it_is():
    assert (draw_overlay(GREY, np.zeros((8, 8)), 1.0) == GREY[..., None]).all()


def test_full_evidence_at_full_strength_is_red():
    red, green, blue = draw_overlay(GREY, np.ones((8, 8)), 1.0)[0, 0]
    assert red > 200
    assert green < 50
    assert blue < 50


def test_strength_zero_shows_the_scan_alone():
    assert (draw_overlay(GREY, np.ones((8, 8)), 0.0) == GREY[..., None]).all()


def test_more_evidence_is_redder():
    greens = draw_overlay(np.full((1, 5), 128, np.uint8), np.linspace(0.2, 1, 5)[None], 1.0)[0, :, 1].astype(int)
    assert (np.diff(greens) < 0).all()


def test_side_by_side_is_the_scan_and_the_overlay():
    heat = np.linspace(0, 1, 64).reshape(8, 8)
    both = draw_side_by_side(GREY, heat, 0.5)
    assert both.shape == (8, 16, 3)
    assert (both[:, :8] == GREY[..., None]).all()
    assert (both[:, 8:] == draw_overlay(GREY, heat, 0.5)).all()


def test_the_colour_bar_starts_without_colour():
    bar = draw_colour_bar(50, 4)
    assert bar.shape == (4, 50, 3)
    assert len(set(bar[0, 0])) == 1
    assert bar[0, -1, 0] > 200


def test_a_line_runs_round_the_area_and_nowhere_else():
    area = np.zeros((8, 8), bool)
    area[2:6, 1:5] = True
    drawn = draw_outline(GREY, area)
    line = (drawn == OUTLINE_COLOUR).all(axis=2)
    assert line.sum() == 12
    assert not line[3:5, 2:4].any()
    assert (drawn[~line] == GREY[~line][:, None]).all()


def test_no_area_has_no_line():
    assert (draw_outline(GREY, np.zeros((8, 8), bool)) == GREY[..., None]).all()


def test_a_line_is_as_broad_on_large_films_as_on_small_ones():
    area = np.zeros((1000, 1000), bool)
    area[200:800, 200:800] = True
    line = (draw_outline(np.zeros((1000, 1000), np.uint8), area) == OUTLINE_COLOUR).all(axis=2)
    assert line[500, 200:205].all()
    assert not line[500, 205:795].any()
