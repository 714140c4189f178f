"""The dataset audit as a whole."""

import json

import numpy as np
import pytest

from tests.xrai.data.audit.audits import CHECKED, LONG, SIDE, findings, framed, set_of, unheard
from xrai.data.audit import SEVERITIES, run_audit, summarise_for_card
from xrai.data.audit.dataset_pass import AuditStoppedError, run_dataset_pass
from xrai.data.audit.patient_leakage import find_patient_leaks
from xrai.data.dataset import open_dataset
from xrai.scans.phantoms import draw_thorax

# --- the whole --------------------------------------------------------------------------------------------------------


def test_everything_that_was_looked_at_is_told_the_gravest_first(build, films):
    heard = []
    with open_dataset(build(set_of(films))) as dataset:
        found = run_audit(dataset, progress=lambda *step: heard.append(step))
        assert (found.dataset, found.fingerprint, found.n) == ("set", dataset.fingerprint, 48)
    assert {finding.kind for finding in found.findings} == CHECKED
    order = [SEVERITIES.index(finding.severity) for finding in found.findings]
    assert order == sorted(order)
    assert sum(found.counts().values()) == len(found.findings)
    assert all(finding.sentence.endswith(".") and finding.title for finding in found.findings)
    assert all(finding.advice for finding in found.findings if finding.severity != "fine")
    assert heard[-1] == (100, 100, "done")
    assert [done for done, _, _ in heard] == sorted(done for done, _, _ in heard)


def test_the_same_dataset_gives_the_same_findings(build, films):
    path = build(set_of(films))
    with open_dataset(path) as dataset:
        assert run_audit(dataset).findings == run_audit(dataset).findings


@pytest.mark.parametrize("asks", [1, 2, 5])
def test_it_stops_when_told(build, films, asks):
    left = iter([False] * (asks - 1))
    with open_dataset(build(set_of(films))) as dataset:
        assert run_audit(dataset, should_stop=lambda: next(left, True)) is None


def test_stop_is_heard_within_the_checks_and_not_only_between_them(build, films):
    """Where all films are alike a check may take long, and Stop was dead meanwhile."""
    heard = []
    with open_dataset(build(set_of(films))) as dataset:
        assert run_audit(dataset, progress=lambda *step: heard.append(step[0]), should_stop=lambda: 48 in heard) is None
        assert heard[-1] == 48  # in the midst of looking for copies
        look = run_dataset_pass(dataset, unheard)
        for check in LONG:
            asked = []

            def stop_at_the_second(share, asked=asked):
                asked.append(share)
                if len(asked) > 1:
                    raise AuditStoppedError

            with pytest.raises(AuditStoppedError):
                check(look, stop_at_the_second)


def test_progress_goes_on_within_the_checks(build, films):
    with open_dataset(build(set_of(films))) as dataset:
        look = run_dataset_pass(dataset, unheard)
        for check in LONG:
            heard = []
            check(look, heard.append)
            assert heard == sorted(heard)
            assert len(set(heard)) > 1
            assert 0 <= heard[0] < heard[-1] < 1


def test_three_classes_without_a_test_split_of_their_own(build, films):
    files = {f"{'ABC'[number % 3]}/patient{number:04}_1.png": pixels for number, pixels in enumerate(films)}
    found, _ = findings(build(files))
    assert found.keys() == CHECKED
    assert 0 < found["shortcut-thumbnail"].numbers["auc"] < 1


def test_one_scan_a_class(build, films):
    found, _ = findings(build({"A/x.png": films[0], "B/y.png": films[1]}))
    assert found["shortcut-border"].title == "Not measured: the border"
    assert found["odd-films"].title == "Odd films not sought"
    assert found["shift"].title == "No test split"
    assert found["small-test"].severity == "serious"


def test_unread_files_are_told(build, films):
    found, _ = findings(build(set_of(films) | {"train/A/broken.png": b"no picture"}))
    assert found["unread-files"].numbers == {"files": ("train/A/broken.png",), "n": 1}


def test_no_words_name_a_file_for_they_leave_with_a_model(build, films):
    """A file may be called by its patient; “such as train/A/Mueller_Anna.png” once stood in the cards of models."""
    wide, text = framed(films[30], 0), films[31].copy()
    wide[:, :30] = 0
    files = {place.replace("patient", "Mueller_Anna"): pixels for place, pixels in set_of(films).items()}
    files |= {
        "train/A/Mueller_equal.png": films[20],
        "train/B/Mueller_other.png": films[22],
        "train/A/Mueller_dark.png": (255 * (films[24] / 255.0) ** 1.7).astype(np.uint8),
        "train/A/Mueller_blank.png": np.full((SIDE, SIDE), 17, np.uint8),
        "train/A/Mueller_wide.png": wide,
        "train/A/Mueller_turned.png": np.rot90(text).copy(),
        "train/A/Mueller_broken.png": b"no picture",
    }
    with open_dataset(build(files)) as dataset:
        found = run_audit(dataset)
    words = [(finding.title, finding.sentence, finding.advice) for finding in found.findings]
    kinds = {finding.kind for finding in found.findings if finding.severity != "fine"}
    assert kinds >= {"unread-files", "exact-duplicates", "near-duplicates", "conflicting-labels", "blank-films"}
    assert "Mueller" not in json.dumps([words, [item.to_dict() for item in summarise_for_card(found)]])


# --- patients ---------------------------------------------------------------------------------------------------------


def test_patients_who_are_all_known_and_have_one_scan_are_not_said_to_be_unknown(build, films):
    found, _ = findings(build(set_of(films)))
    assert found["leaking-patients"].severity == "fine"
    assert found["leaking-patients"].sentence == "Each of the 48 patients stands in one split only."


def test_patients_whom_no_file_names_are_not_known(build, films):
    files = {place.replace("patient", "scan"): pixels for place, pixels in set_of(films).items()}
    found, _ = findings(build(files))
    assert found["leaking-patients"].title == "Patients are not known"
    assert found["leaking-patients"].sentence.startswith("Nothing tells which scans are of one patient: each of the 48")


def test_where_it_cannot_be_told_whether_patients_are_known_the_words_hold_either_way(build, films, monkeypatch):
    """A DICOM file may name its patient or not; the dataset holds a pseudonym either way."""
    files = {place.replace("patient", "scan"): pixels for place, pixels in set_of(films).items()}
    some_named = files | {"train/A/patient0099_1.png": draw_thorax(np.random.default_rng(99), opacity=False, size=SIDE)}
    found, _ = findings(build(some_named, "some"))
    assert found["leaking-patients"].sentence.startswith("Not every file is sure to tell whose it is: each of the 49")
    with open_dataset(build(files, "none")) as dataset:
        dataset.file_metadata()["format"][:] = "DICOM"
        look = run_dataset_pass(dataset, unheard)
        assert find_patient_leaks(look)[0].title == "Patients may not be known"
