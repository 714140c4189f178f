"""A model to evaluate."""

import pytest

from tests.xrai.evaluation.models import make_model


@pytest.fixture
def model(home):
    return make_model("m", ("CLEAR", "OPACITY"))
