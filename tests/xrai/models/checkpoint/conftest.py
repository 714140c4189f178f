"""A model on disk."""

import pytest

from tests.xrai.models.checkpoint.checkpoints import a_card, a_network
from xrai.models.checkpoint import open_checkpoint


@pytest.fixture
def model(home):
    checkpoint = open_checkpoint("m")
    checkpoint.folder.mkdir()
    checkpoint.save_network(a_network())
    checkpoint.write_card(a_card())
    return checkpoint
