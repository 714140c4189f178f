"""No text from files, models or datasets is taken for Markdown, wherever a page shows it."""

import json
import re
import shutil

import h5py
import pytest

from pages.shared.navigation import DATASET, DIAGNOSE, EVALUATE, MANUAL, MODELS, TRAIN
from tests.apps import opened
from tests.xrai.models.model_folders import make_model
from xrai import models
from xrai.core.paths import data_dir

HOSTILE = "![x](evil.example)"
UNESCAPED = re.compile(r"!\[x\]\(evil")
MARKDOWN_FIELDS = {
    "body",
    "label",
    "help",
    "caption",
    "title",
    "text",
    "delta",
    "description",
    "placeholder",
    "content",
}
"""The fields of Streamlit's messages to the browser that are rendered as Markdown."""
MARKDOWN_OPTIONS = {"Radio.options", "Slider.options"}


def rendered_texts(message):
    """Every text of a message to the browser that is rendered as Markdown."""
    for field, value in message.ListFields():
        values = value if getattr(field, "is_repeated", False) else [value]
        for item in values:
            if field.message_type and not (field.message_type.GetOptions().map_entry):
                yield from rendered_texts(item)
            elif isinstance(item, str):
                where = f"{message.DESCRIPTOR.name}.{field.name}"
                if field.name in MARKDOWN_FIELDS or where in MARKDOWN_OPTIONS:
                    yield where, item


def blocks(app):
    yield from _nodes(app._tree)


def _nodes(node):
    if (proto := getattr(node, "proto", None)) is not None:
        yield proto
    for child in getattr(node, "children", {}).values():
        yield from _nodes(child)


def unescaped(app):
    found = set()
    for proto in blocks(app):
        if hasattr(proto, "ListFields"):
            found |= {(where, text) for where, text in rendered_texts(proto) if UNESCAPED.search(text)}
    return found


@pytest.fixture
def hostile(home, practice):
    """A dataset, a model and a note whose names ask for a picture from elsewhere."""
    file = data_dir() / f"{HOSTILE}.hdf5"
    shutil.copy(practice, file)
    classes = (f"A {HOSTILE}", f"B {HOSTILE}")
    with h5py.File(file, "r+") as stored:
        stored.attrs["classes"] = json.dumps(classes)
        stored.attrs["notes"] = json.dumps([HOSTILE])
        for name in ("source", "population", "licence"):
            stored.attrs[name] = HOSTILE
        stored["file"][...] = [f"{HOSTILE}-{i}.png".encode() for i in range(len(stored["file"]))]
    checkpoint = make_model("m")
    checkpoint.write_card(
        checkpoint.read_card().replace(
            classes=classes,
            heatmap_scale={method: dict.fromkeys(classes, 0.1) for method in ("Fused CAM", "CAM", "Grad-CAM")},
        )
    )
    models.set_note(checkpoint, HOSTILE)
    return checkpoint


def test_the_search_finds_what_is_not_escaped():
    assert UNESCAPED.search(f"a {HOSTILE}")
    assert not UNESCAPED.search(r"a \!\[x\]\(evil.example\)")


@pytest.mark.parametrize("page", [DATASET, TRAIN, EVALUATE, MODELS, MANUAL, DIAGNOSE])
def test_no_page_renders_a_hostile_name(hostile, page):
    app = opened(page)
    assert not unescaped(app)


def test_no_diagnosis_renders_a_hostile_name(hostile, write_scan, tmp_path):
    app = opened(DIAGNOSE)
    scan = write_scan(tmp_path / "scan.png", side=128).read_bytes()
    app.file_uploader[0].set_value([(f"{HOSTILE}.png", scan, "image/png"), (f"{HOSTILE}2.png", b"none", "image/png")])
    app.run()
    assert not app.exception
    shown = [item for proto in blocks(app) for item in rendered_texts(proto)]
    assert any("Evidence for" in text for where, text in shown if where == "Image.caption")
    assert not unescaped(app)
