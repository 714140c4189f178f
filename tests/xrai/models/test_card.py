"""The model card as a record."""

import pytest

from tests.xrai.models.checkpoint.checkpoints import a_card


@pytest.mark.parametrize(
    ("source", "fingerprints"),
    [
        (None, []),
        ({"model": "x", "dataset": {"fingerprint": "a"}}, ["a"]),
        ({"model": "x", "dataset": {"fingerprint": "a"}, "training_fingerprints": ["a", "b"]}, ["a", "b"]),
        ({"model": "x", "dataset": {}, "training_fingerprints": ["b"]}, ["b"]),
    ],
)
def test_the_fingerprints_of_all_datasets_that_a_model_goes_back_to(source, fingerprints):
    card = a_card(training={"source_model": source}, dataset={"fingerprint": "own"})
    assert card.ancestor_fingerprints == tuple(fingerprints)
    assert card.training_fingerprints == ("own", *fingerprints)
