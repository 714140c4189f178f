"""Tests of `xrai.reading.result_card`."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw

from xrai.core.language import use_language
from xrai.reading.result_card import WIDTH, draw_result_card


def card(**changes) -> Image.Image:
    given = {
        "pixels": np.full((200, 240), 90, np.uint8),
        "heat": np.zeros((200, 240), np.float32),
        "opacity": 0.6,
        "title": "This looks like Pneumonia",
        "lines": ["Trained on children; it knows nothing of other patients."],
        "probabilities": [("Normal", 0.07, "7.0 %"), ("Pneumonia", 0.93, "93.0 %")],
        "heat_caption": "Full red is strong evidence.",
    } | changes
    return Image.open(BytesIO(draw_result_card(given.pop("pixels"), given.pop("heat"), **given)))


def test_is_a_png_of_the_stated_width():
    picture = card()
    assert picture.format == "PNG"
    assert picture.width == WIDTH


def test_shows_the_scan_twice_and_the_heat_once():
    heat = np.zeros((200, 240), np.float32)
    heat[:100] = 1
    plain, hot = np.asarray(card().convert("RGB")).astype(int), np.asarray(card(heat=heat).convert("RGB")).astype(int)
    changed = np.argwhere(np.abs(plain - hot).sum(axis=2) > 60)
    assert len(changed)
    assert changed[:, 1].min() > WIDTH // 2 - 20


def test_more_lines_make_a_longer_card_and_nothing_is_cut_off():
    long = card(lines=["word " * 400])
    assert long.height > card().height + 300
    assert (np.asarray(long.convert("L"))[-20:] == 255).all()


def test_what_to_beware_of_stands_above_the_diagnosis(monkeypatch):
    written = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda _, at, text, *rest: written.append((at[1], text)))
    card(title="Suggests: Pneumonia", warnings=["Do not rely on this answer."])
    places = {text: y for y, text in written}
    assert places["⚠ Do not rely on this answer."] < places["Suggests: Pneumonia"]


@pytest.mark.parametrize("shape", [(64, 2000), (2000, 64)])
def test_extreme_shapes_fit(shape):
    picture = card(pixels=np.zeros(shape, np.uint8), heat=np.zeros(shape, np.float32))
    assert picture.width == WIDTH
    assert picture.height < 4000


def test_letters_with_accents_are_written_not_boxed():
    written = [np.asarray(card(title=title).convert("L")) for title in ("é", "ö", "ñ")]
    assert not (written[0] == written[1]).all()
    assert not (written[1] == written[2]).all()


def test_the_narrow_space_of_french_is_a_space_not_a_box():
    narrow, box = (np.asarray(card(title=f"93,1{space}%").convert("L")) for space in ("\u202f", "\ue000"))
    assert not (narrow == box).all()


def test_no_line_ends_at_a_space_that_does_not_break(monkeypatch):
    lines = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda _, at, text, *rest: lines.append(text))
    for n in range(30, 60):
        card(lines=["mm " * n + "50\u202f%"])
    ends = [line for line in lines if "50" in line]
    assert len(ends) == 30
    assert all(line.endswith("50\u202f%") for line in ends)


def test_its_own_words_follow_the_reader():
    english = np.asarray(card().convert("L"))
    with use_language("fr"):
        assert not (np.asarray(card().convert("L")) == english).all()
