"""Tests of `xrai.core.errors`."""

import pytest

from xrai.core.errors import DatasetError, describe_error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DatasetError("There is no dataset."), "There is no dataset."),
        (OSError(28, "No space left on device", "a.hdf5"), "a.hdf5 cannot be read or written (No space"),
        (OSError("odd"), "A file cannot be read or written (odd)"),
        (MemoryError(), "does not fit into the machine's memory"),
        (ZeroDivisionError(), "does not know"),
    ],
)
def test_every_error_has_a_sentence(error, words):
    assert words in describe_error(error)
