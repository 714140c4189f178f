"""The stored audit."""

import json

import pytest

from tests.xrai.data.audit.audits import load
from xrai.core.errors import DatasetError
from xrai.data.audit import Audit, audit_file, load_audit, save_audit, summarise_for_card
from xrai.data.dataset import open_dataset


def test_an_audit_is_kept_beside_its_dataset(kept):
    path, found = kept
    assert audit_file(path).name == "copy.audit.json"
    with open_dataset(path) as dataset:
        assert load_audit(dataset) == found
    assert found.rows_to_remove() == [1]
    assert found.rows_to_remove(["blank-films"]) == []
    assert found.findings[0].rows == (0, 1)
    quoted = [dict(item) for item in summarise_for_card(found)]
    assert quoted == [{"severity": "serious", "title": "Twice", "sentence": "Two."}]


def test_an_audit_of_another_dataset_is_none(kept):
    path, found = kept
    save_audit(found.model_copy(update={"fingerprint": "0" * 64}), path)
    assert load(path) is None
    audit_file(path).unlink()
    assert load(path) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 0),
        ("n", "82"),
        ("n", True),
        ("seconds", float("nan")),
        ("seconds", -1),
        ("when", "yesterday"),
        ("when", 5),
        ("versions", []),
        ("versions", {"xrai": 1}),
        ("findings", {}),
        ("findings", [3]),
        ("findings", [{}]),
        ("dataset", None),
        ("fingerprint", 1),
        ("seconds", 10**400),
        ("n", 10**400),
    ],
)
def test_a_damaged_audit_is_stated(kept, name, value):
    path, found = kept
    audit_file(path).write_text(json.dumps(found.to_dict() | {name: value}))
    with pytest.raises(DatasetError, match="is damaged: audit the dataset again"):
        load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("severity", "dire"),
        ("severity", []),
        ("kind", 3),
        ("groups", [[82]]),
        ("groups", [[-1]]),
        ("groups", [1]),
        ("suggestion", [0.5]),
        ("suggestion", "12"),
        ("numbers", [1]),
        ("numbers", {"auc": float("inf")}),
        ("numbers", {"n": 10**400}),
        ("numbers", {"interval": [0.5, -(10**400)]}),
        ("numbers", {"a": {"b": 1e300}}),
        ("classes", [None]),
        ("splits", "train"),
        ("advice", None),
    ],
)
def test_a_damaged_finding_is_stated(kept, name, value):
    path, found = kept
    values = found.to_dict()
    values["findings"][0][name] = value
    audit_file(path).write_text(json.dumps(values))
    with pytest.raises(DatasetError, match="is damaged"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"n": 1e999}'])
def test_what_is_no_audit_is_stated(kept, content):
    path, _ = kept
    audit_file(path).write_bytes(content)
    with pytest.raises(DatasetError, match="is damaged"):
        load(path)


def test_numbers_too_large_for_a_float_are_damage_and_no_overflow():
    values = Audit(
        dataset="set", fingerprint="0", n=2, when="2026-11-21T10:00:00+00:00", seconds=1.0, versions={}, findings=()
    ).to_dict()
    assert Audit.from_dict(json.loads(json.dumps(values))).seconds == 1
    for name in ("n", "seconds"):
        with pytest.raises(ValueError, match=name):
            Audit.from_dict(values | {"findings": [], name: 10**400})


def test_an_audit_that_cannot_be_kept_is_stated(kept, monkeypatch):
    path, found = kept

    def full(file, values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xrai.data.audit.store.write_json", full)
    with pytest.raises(DatasetError, match="No space left"):
        save_audit(found, path)
