"""The model that most tests of readings use."""

import pytest

from tests.xrai.reading.reading_models import make_model
from xrai.reading.reader import Reader


@pytest.fixture
def reader(home):
    return Reader.open(make_model())
