"""A model, and its export."""

import pytest

from tests.xrai.models.model_folders import make_model
from xrai import models
from xrai.core.json_files import HISTORY_FILE
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS


@pytest.fixture
def model(home):
    return make_model("m")


@pytest.fixture
def exported(model, tmp_path):
    models.export_model(model, tmp_path / "m.zip")
    return tmp_path / "m.zip"


@pytest.fixture
def inside(model):
    """The files of an exported model, by their path in the zip."""
    names = (CONFIG, CARD, WEIGHTS, HISTORY_FILE)
    return {f"m/{name}": (model.folder / name).read_bytes() for name in names}
