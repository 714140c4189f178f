"""Tests of `xrai.figures.network`."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from xrai.figures import network_diagram


@dataclass(frozen=True)
class Stage:
    name: str
    shape: tuple[int, ...]
    parameters: int
    n_layers: int = 1
    explanation: str = "What it is for."


INPUT, OUTPUT = Stage("Input", (1, 64, 64), 0, 0), Stage("Output", (2,), 1026)
FIVE = [
    INPUT,
    Stage("First convolution and pooling", (64, 32, 32), 9_408, 4),
    Stage("Residual stage 1 (3 blocks)", (256, 8, 8), 1_230_000, 29),
    Stage("Global average pooling", (256,), 0),
    OUTPUT,
]


def row_of(n: int) -> list[Stage]:
    blocks = [Stage(f"Convolution block {i}", (16 * i, 64 // i, 64 // i), 10**i) for i in range(1, n - 1)]
    return [INPUT, *blocks, OUTPUT]


def labels(figure: Any) -> list[Any]:
    return [item for item in figure.layout.annotations if item.text]


def fronts(figure: Any) -> list[Any]:
    return [shape for shape in figure.layout.shapes if shape.type == "rect"]


def hover_of(figure: Any) -> list[str]:
    return [*figure.data[0].text]


def text_of(figure: Any) -> list[str]:
    return [item.text.replace("\u00a0", " ").replace("<b>", "").replace("</b>", "") for item in labels(figure)]


@pytest.mark.parametrize("n", [2, 5, 8, 12])
def test_every_stage_has_a_box_a_label_a_hover_text_and_an_arrow_to_the_next(n):
    figure: Any = network_diagram(row_of(n))
    assert len(fronts(figure)) == len(labels(figure)) == len(hover_of(figure)) == n
    assert sum(item.showarrow for item in figure.layout.annotations) == n - 1
    assert [(box.x0 + box.x1) / 2 for box in fronts(figure)] == pytest.approx(range(n))


def test_labels_give_name_shape_and_weights():
    assert text_of(network_diagram(FIVE)) == [
        "Input<br>1 × 64 × 64",
        "First<br>convolution<br>and pooling<br>64 × 32 × 32<br>9,408 weights",
        "Residual<br>stage 1<br>(3 blocks)<br>256 × 8 × 8<br>1.2 M weights",
        "Global<br>average<br>pooling<br>256 numbers",
        "Output<br>2 numbers<br>1,026 weights",
    ]


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (1, "1 weight"),
        (9_999, "9,999 weights"),
        (147_456, "147 k weights"),
        (999_600, "1.0 M weights"),
        (23_500_000, "23.5 M weights"),
        (100_000_000, "100 M weights"),
    ],
)
def test_large_numbers_are_short(n, words):
    assert text_of(network_diagram([INPUT, Stage("Output", (2,), n)]))[-1].endswith(f"<br>{words}")


def test_height_follows_the_picture_and_width_the_maps():
    first, second, third, pooled, last = fronts(network_diagram(FIVE))
    assert first.y1 > second.y1 > third.y1
    assert third.x1 - third.x0 > second.x1 - second.x0 > first.x1 - first.x0
    assert pooled.x1 - pooled.x0 < 0.1
    assert last.y1 < pooled.y1


def test_a_single_map_of_a_single_pixel_can_be_drawn():
    boxes = fronts(network_diagram([Stage("Input", (1, 1, 1), 0), Stage("Output", (1,), 1)]))
    assert all(box.y1 > box.y0 and box.x1 > box.x0 for box in boxes)


def test_neighbours_labels_stand_in_two_rows_where_there_are_many():
    assert len({label.y for label in labels(network_diagram(FIVE))}) == 1
    figure: Any = network_diagram(row_of(12))
    high, low = {label.y for label in labels(figure)[::2]}, {label.y for label in labels(figure)[1::2]}
    assert len(high) == len(low) == 1
    assert max(low) < min(high)
    assert min(low) > figure.layout.yaxis.range[0]
    assert len([shape for shape in figure.layout.shapes if shape.type == "line"]) == 6


def test_colours_of_text_and_page_are_the_theme_s():
    figure: Any = network_diagram(FIVE)
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0, 0, 0, 0)"
    assert all(label.font.color is None and label.font.family is None for label in labels(figure))
    assert not figure.layout.xaxis.visible
    assert not figure.layout.yaxis.visible


def test_what_a_stage_is_for_appears_under_the_pointer():
    hover = [text.split("<br>") for text in hover_of(network_diagram(FIVE))]
    assert hover[0] == ["<b>Input</b>", "1 × 64 × 64", "What it is for."]
    assert hover[2][:2] == ["<b>Residual stage 1 (3 blocks)</b>", "256 × 8 × 8 · 29 layers · 1,230,000 weights"]


def test_it_travels_as_json():
    assert json.loads(str(network_diagram(FIVE).to_json()))["data"]
