"""Stored evaluation results that are damaged."""

import pytest

from tests.xrai.evaluation.store.results import BAD_REPORTS, BAD_TABLES, DOUBT, change, make, table_of
from xrai.core.errors import CheckpointError
from xrai.evaluation.store import REPORT_FILE, load_evaluation, save_evaluation


@pytest.mark.parametrize("edit", BAD_REPORTS.values(), ids=BAD_REPORTS)
def test_a_report_that_could_not_be_shown_is_one_sentence(folder, edit):
    save_evaluation(folder, make(doubt=DOUBT))
    change(folder, edit)
    with pytest.raises(CheckpointError, match="d-test of the model “m” is damaged: measure again"):
        load_evaluation(folder)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"classes": 1}'])
def test_a_report_that_is_none_is_one_sentence(folder, text):
    save_evaluation(folder, make())
    (folder / REPORT_FILE).write_bytes(text)
    with pytest.raises(CheckpointError, match="damaged"):
        load_evaluation(folder)


@pytest.mark.parametrize("edit", BAD_TABLES.values(), ids=BAD_TABLES)
def test_damaged_predictions_are_one_sentence(folder, edit):
    save_evaluation(folder, make())
    table_of(folder).write_bytes(edit(table_of(folder).read_bytes()))
    with pytest.raises(CheckpointError, match="damaged"):
        load_evaluation(folder)


def test_predictions_of_another_measurement_are_refused(folder):
    save_evaluation(folder, make(seed=1))
    other = table_of(folder).read_bytes()
    save_evaluation(folder, make(seed=2))
    table_of(folder).write_bytes(other)
    with pytest.raises(CheckpointError, match="damaged"):
        load_evaluation(folder)
