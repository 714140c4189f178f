"""The manual's questions: what solves them, and what is said to whoever is on the way."""

import itertools

import pytest

from xrai.manual.exercises import (
    NORMAL_PROBABILITIES,
    PNEUMONIA_PROBABILITIES,
    check_halving_layer,
    check_overfitting_epoch,
    check_pooling_window,
    check_threshold,
    check_zero_sum_filter,
)


def test_a_filter_whose_numbers_sum_to_nothing_leaves_flat_regions_black():
    assert check_zero_sum_filter([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]).is_solved
    assert check_zero_sum_filter([[0.1, 0.2, -0.3], [0, 0, 0], [0, 0, 0]]).is_solved  # whatever rounding leaves


def test_a_filter_that_keeps_brightness_is_told_what_it_makes_of_grey():
    answer = check_zero_sum_filter([[0, 0, 0], [0, 1.5, 0], [0, 0, 0]])
    assert not answer.is_solved
    assert "sum to 1.5" in answer.sentence
    assert "becomes 150" in answer.sentence


def test_a_filter_that_only_looks_black_is_told_why():
    answer = check_zero_sum_filter([[0, 0, 0], [0, -2, 0], [0, 0, 0]])
    assert not answer.is_solved
    assert "becomes -200. Below 0 is drawn black here, but it is not 0" in answer.sentence


def test_a_filter_of_zeros_is_no_answer():
    answer = check_zero_sum_filter([[0] * 3] * 3)
    assert not answer.is_solved
    assert "All zeros" in answer.sentence


def test_the_second_question_is_solved_by_what_halves_the_side_and_nothing_else():
    tried = itertools.product(range(1, 8), range(1, 5), range(4))
    solved = {layer for layer in tried if check_halving_layer(*layer).is_solved}
    assert solved == {(1, 2, 0), (2, 2, 0), (3, 2, 1), (4, 2, 1), (5, 2, 2), (6, 2, 2), (7, 2, 3)}


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "hint"), [(3, 1, 1, "larger"), (3, 4, 1, "smaller"), (3, 2, 0, "padding")]
)
def test_the_second_question_points_the_way(kernel, stride, padding, hint):
    assert hint in check_halving_layer(kernel, stride, padding).sentence


@pytest.mark.parametrize(
    ("window", "solved", "hint"),
    [
        ([[5, 1], [1, 1]], True, "keeps 5"),
        ([[5, 3], [0, 0]], True, "average pooling 2"),
        ([[4, 2], [1, 1]], False, "largest of the four 5"),
        ([[5, 5], [5, 5]], False, "must sum to 3"),
        ([[0, 1.9], [3.2, 1.6]], False, "gives 3.2"),
    ],
)
def test_the_third_question_wants_a_maximum_and_an_average(window, solved, hint):
    answer = check_pooling_window(window)
    assert answer.is_solved == solved
    assert hint in answer.sentence


def test_the_fourth_question_is_solved_between_the_faintest_sick_and_the_healthy_below():
    solved = [step / 100 for step in range(101) if check_threshold(step / 100).is_solved]
    assert min(solved) > max(p for p in NORMAL_PROBABILITIES if p < min(PNEUMONIA_PROBABILITIES))
    assert max(solved) == min(PNEUMONIA_PROBABILITIES)
    assert "missed: 1" in check_threshold(0.36).sentence
    assert "fewer" in check_threshold(0.1).sentence


def test_the_fifth_question_takes_what_is_near_enough():
    assert [epoch for epoch in range(1, 30) if check_overfitting_epoch(epoch, 12).is_solved] == [10, 11, 12, 13, 14]
    assert "still falls" in check_overfitting_epoch(5, 12).sentence
    assert "rising" in check_overfitting_epoch(20, 12).sentence
