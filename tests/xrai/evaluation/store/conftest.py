"""Where evaluations are stored."""

import pytest

from xrai.models.checkpoint import EVALUATIONS, open_checkpoint


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "m" / EVALUATIONS / "d-test"


@pytest.fixture
def weights(home):
    checkpoint = open_checkpoint("m")
    checkpoint.folder.mkdir(parents=True)
    file = checkpoint.folder / "model.safetensors"
    file.write_bytes(b"weights")
    return file
