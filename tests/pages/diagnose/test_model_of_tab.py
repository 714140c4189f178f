"""A reading on screen never changes its model without a word."""

import os
import shutil

import pytest

from tests.pages.diagnose.page import as_png, button, changed, film, opened, texts
from xrai import models
from xrai.core.errors import CheckpointError
from xrai.models.checkpoint import CARD, open_checkpoint


@pytest.fixture
def other(model):
    shutil.copytree(model.folder, model.folder.with_name("other"))
    return open_checkpoint("other")


def read_with(model):
    """A tab with a film that this model has read."""
    app = opened(("a.png", as_png(film())))
    if app.selectbox[0].value != model.name:
        app.selectbox(key="diagnose_model").select(model.name).run()
    assert f"Read by the model “{model.name}”" in texts(app)
    return app


@pytest.mark.parametrize("change", ["deleted", "renamed"])
def test_a_model_that_is_gone_stops_the_reading(model, other, change):
    app = read_with(other)
    if change == "deleted":
        models.delete(other)
    else:
        models.rename(other, "third")
    app.run()
    assert not app.exception and not app.subheader
    assert "renamed or deleted" in app.warning[0].value
    button(app, "Read them again with").click().run()
    assert app.subheader and "no longer shown" not in texts(app)


def test_the_only_model_that_was_replaced_stops_the_reading_too(model):
    app = opened(("a.png", as_png(film())))
    model.folder.rename(model.folder.with_name("next"))
    app.run()
    assert not app.subheader and "renamed or deleted" in app.warning[0].value
    button(app, "Read them again with “next”").click().run()
    assert app.subheader


def test_a_model_that_was_changed_stops_the_reading(model):
    app = opened(("a.png", as_png(film())))
    changed(model, threshold={"class_name": "PNEUMONIA", "value": 0.9, "description": "set"})
    os.utime(model.folder / CARD, ns=(1, 1))
    app.run()
    assert not app.subheader and "was changed since" in app.warning[0].value
    button(app, "Read them again with “chance”").click().run()
    assert app.subheader


def test_another_default_does_not_change_the_model_of_scans_that_are_shown(model, other):
    app = read_with(model)
    models.set_default(other)
    app.run()
    assert "Read by the model “chance”" in texts(app)
    assert "The default model is now" in app.info[0].value
    app.run()
    assert app.selectbox(key="diagnose_model").value == "chance"


def test_without_scans_the_tab_follows_the_default(model, other):
    models.set_default(model)
    app = opened()
    assert app.selectbox(key="diagnose_model").value == "chance"
    models.set_default(other)
    app.run()
    assert app.selectbox(key="diagnose_model").value == "other" and not app.info


def test_models_for_teaching_are_not_offered(model, other):
    changed(other, intended_use={"is_teaching": True})
    app = opened(("a.png", as_png(film())))
    assert "Read by the model “chance”" in texts(app)
    assert not [item for item in app.selectbox if item.key == "diagnose_model"]


def test_nothing_but_models_for_teaching_is_said(model):
    changed(model, intended_use={"is_teaching": True})
    assert "for teaching only" in texts(opened())


def test_a_model_for_teaching_cannot_be_the_default(model, other):
    changed(other, intended_use={"is_teaching": True})
    with pytest.raises(CheckpointError, match="for teaching only"):
        models.set_default(other)
