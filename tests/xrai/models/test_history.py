"""Which records of a training history are read."""

import pytest

from tests.xrai.models.model_folders import EPOCH, RECORDS, START
from xrai.core.json_files import HISTORY_FILE, read_records
from xrai.core.paths import PROJECT_DIR
from xrai.models import SHIPPED
from xrai.models.history import EpochRecord, parse_history, read_history, records_of


def is_read(record):
    return len(parse_history([record])) == 1


@pytest.mark.parametrize("record", [*RECORDS, START | {"kind": "resume"}])
def test_what_training_writes(record):
    assert is_read(record)
    assert is_read(record | {"more": 1})


@pytest.mark.parametrize("record", [None, 3, "step", [], {}, {"kind": None}, {"kind": ["step"]}, {"kind": "new"}])
def test_no_record(record):
    assert not is_read(record)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["kind"])
def test_every_field_counts(record):
    fields = set(record) - {"kind", "best", "time"} | ({"best"} if record["kind"] == "epoch" else set())
    for name in fields:
        assert not is_read({field: value for field, value in record.items() if field != name})
        for odd in (None, [], {}, "" if name not in ("device", "precision", "reason") else 1, float("nan")):
            assert not is_read(record | {name: odd})


@pytest.mark.parametrize("name", ["loss", "accuracy", "auc", "accuracy_interval", "auc_interval", "n"])
def test_every_metric_counts(name):
    val = EPOCH["val"]
    may_lack = name in ("auc", "accuracy_interval", "auc_interval")
    assert is_read(EPOCH | {"val": {field: value for field, value in val.items() if field != name}}) == may_lack
    for odd in ("1", [1], [1, 2, 3], [None, 1], True, float("inf")):
        assert not is_read(EPOCH | {"val": val | {name: odd}})
    assert is_read(EPOCH | {"val": val | {name: None}}) == may_lack


def test_the_shipped_history():
    file = PROJECT_DIR / "checkpoints" / SHIPPED / HISTORY_FILE
    assert len(read_history(file)) == len(read_records(file)) > 0
    assert records_of(EpochRecord, read_history(file))


@pytest.mark.parametrize("kind", ["start", "resume"])
def test_the_number_of_freeze_epochs_counts_where_it_is_written_down(kind):
    for sound in (0, 3):
        assert is_read(START | {"kind": kind, "freeze_epochs": sound})
    for odd in (-1, 1.5, "2", None, True, [], float("nan")):
        assert not is_read(START | {"kind": kind, "freeze_epochs": odd})
