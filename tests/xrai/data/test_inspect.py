"""Tests of `xrai.data.inspect`."""

import json

from xrai.data.inspect import N_EXAMPLES, THUMBNAIL_SIDE, inspect_source
from xrai.data.sources import open_source


def test_counts_all_files_and_opens_some(drawings):
    with open_source(drawings) as source:
        found = inspect_source(source)
    assert sum(row["all"] for row in found.counts.values()) == len(list(drawings.rglob("*.png")))
    assert found.n_sampled == 24
    assert found.formats == {"PNG, L": 24}
    assert found.smallest == found.largest == (64, 64)
    assert found.patients_known
    assert {name: len(squares) for name, squares in found.examples.items()} == {
        "CLEAR": N_EXAMPLES,
        "OPACITY": N_EXAMPLES,
    }
    assert found.examples["CLEAR"][0].shape == (THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def test_an_unreadable_file_is_named_with_its_reason(tmp_path, write_scan):
    write_scan(tmp_path / "A" / "one.png", 1)
    write_scan(tmp_path / "B" / "one.png", 2)
    (tmp_path / "B" / "two.jpg").write_text("no picture")
    with open_source(tmp_path) as source:
        found = inspect_source(source)
    [skipped] = found.unreadable
    assert skipped.file == "B/two.jpg"
    assert skipped.reason
    assert not found.patients_known


def test_is_json_able_but_for_the_examples(drawings):
    with open_source(drawings) as source:
        assert json.loads(json.dumps(inspect_source(source).to_dict()))["name"]
