"""The check of a dataset through Streamlit's own test runner: every way it can stand, and the cleaned copy."""

import json
import shutil
import time
from pathlib import Path

import pytest

from tests import apps
from tests.apps import texts
from xrai.core import jobs
from xrai.core.json_files import append_record, write_json
from xrai.core.paths import data_dir
from xrai.data.audit import Audit, AuditFinding, audit_file, save_audit
from xrai.data.audit.findings import sort_by_severity
from xrai.data.dataset import list_datasets, open_dataset
from xrai.data.jobs import audit_folder, build_folder

FINE = AuditFinding(kind="blank-films", severity="fine", title="No blank films", sentence="Every film shows something.")
GUESSED = AuditFinding(
    kind="shortcut-border",
    severity="serious",
    title="The border gives the class away",
    sentence="A tiny model guesses it with AUC 0.97.",
    advice="Look whether the heatmaps lie in the lungs.",
    numbers={"auc": 0.97, "interval": [0.93, 0.98]},
)
ODD = AuditFinding(
    kind="odd-films",
    severity="notable",
    title="Odd films",
    sentence="3 films look odd.",
    advice="Look at them.",
    numbers={"reasons": {"turned": 2, "inverted": 1}},
    groups=((7, 9), (8,)),
)
LEAK = AuditFinding(
    kind="leaking-patients",
    severity="serious",
    title="Patients in more than one split",
    sentence="1 patient.",
    advice="Take them out.",
    groups=((5, 6),),
    suggestion=(5,),
)


def equal(n):
    """A finding of `n` equal files, each twice; the second is to go."""
    groups = tuple((2 * i + 10, 2 * i + 11) for i in range(n))
    return AuditFinding(
        kind="exact-duplicates",
        severity="serious",
        title="Identical files across splits",
        sentence="Some pictures stand here twice.",
        advice="Take the copies out.",
        numbers={"groups": n},
        groups=groups,
        suggestion=tuple(group[1] for group in groups),
    )


@pytest.fixture
def here(home, practice):
    path = data_dir() / "ward.hdf5"
    path.write_bytes(practice.read_bytes())
    return path


@pytest.fixture
def checked(here):
    """Keeps an audit with some findings beside the dataset, and gives it."""

    def keep(*findings):
        with open_dataset(here) as dataset:
            found = Audit(
                dataset="ward",
                fingerprint=dataset.fingerprint,
                n=len(dataset),
                when="2026-11-21T12:00:00+00:00",
                seconds=12.0,
                versions={},
                findings=sort_by_severity(findings),
            )
        save_audit(found, here)
        return found

    return keep


@pytest.fixture
def started(monkeypatch):
    """Jobs that the page would start, without starting them."""
    calls = []
    monkeypatch.setattr(jobs, "start", lambda arguments, folder, **more: calls.append((list(arguments), folder)))
    return calls


def opened(part="Check", **state):
    return apps.opened("pages/lab/dataset/page.py", dataset_part=part, **state)


def labels(items):
    return [item.label for item in items]


def labelled(items, label):
    return next(item for item in items if item.label == label)


def seen(found, finding):
    """The state of a page on which the scans of a finding were opened."""
    return {f"check_{found.fingerprint[:12]}_{finding.kind}": True}


def note_job(dataset, status, **more):
    folder = audit_folder(dataset)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / jobs.JOB_FILE, {"status": status, "title": "Audit of ward", "time": time.time() + 50} | more)
    return folder


# --- checking ---------------------------------------------------------------------------------------------------------


def test_a_dataset_not_checked_yet_says_what_a_check_is_for(here, started):
    app = opened()
    assert "Not checked yet" in texts(app)
    assert "seem better than it is" in texts(app)
    assert "about a minute" in texts(app)
    labelled(app.button, "Check this dataset").click().run()
    assert started == [(["audit", str(here)], audit_folder(here))]


def test_the_front_leads_to_the_check(here):
    app = opened("Scans")
    assert "check_start" not in [item.key for item in app.button]
    app.button(key="dataset_to_check").click().run()
    assert "check_start" in [item.key for item in app.button]


def test_a_running_check_is_shown_where_it_belongs_and_can_be_stopped(here):
    folder = note_job(here, "starting")
    app = opened()
    assert "being checked now" in texts(app)
    assert "Starting the check" in app.get("progress")[0].proto.text
    with jobs.run_job(folder, title="Audit of ward") as job:
        job.emit({"kind": "progress", "done": 40, "total": 100, "what": "looking for copies"})
        app.run()
        assert len(app.get("progress")) == 1  # not as a build too
        assert app.get("progress")[0].proto.value == 40
        assert "looking for copies" in app.get("progress")[0].proto.text
        labelled(app.button, "Stop").click().run()
        assert job.should_stop()


def test_the_progress_of_an_earlier_check_is_not_shown_as_that_of_one_about_to_start(here):
    append_record(
        note_job(here, "starting") / jobs.HISTORY_FILE, {"kind": "progress", "done": 9, "total": 9, "what": "done"}
    )
    assert "Starting the check" in opened().get("progress")[0].proto.text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("failed", "The disk is full."),
        ("stopped", "was stopped. No findings were stored."),
        ("running", "was interrupted"),
    ],
)
def test_a_check_that_came_to_nothing_says_so_and_can_be_started_again(here, started, status, said):
    note_job(here, status, error="The disk is full." if status == "failed" else "")
    app = opened()
    assert said in texts(app)
    assert "did not finish" not in texts(app)  # which is said of builds
    labelled(app.button, "Check this dataset").click().run()
    assert len(started) == 1


def test_what_an_earlier_check_found_outlives_one_that_was_stopped(here, checked):
    checked(FINE)
    note_job(here, "stopped")
    assert "The earlier findings still hold." in texts(opened())


def test_the_check_of_an_earlier_build_is_not_shown_as_of_this_one(here, checked):
    save_audit(checked(GUESSED).replace(fingerprint="another"), here)
    app = opened()
    assert "Not checked yet" in texts(app)
    assert "The border gives the class away" not in texts(app)


def test_a_damaged_audit_is_one_sentence_and_can_be_made_again(here, started):
    audit_file(here).write_text("{")
    app = opened()
    assert "is damaged" in app.warning[0].value
    assert "cannot be read: check it again" in texts(app)
    labelled(app.button, "Check this dataset").click().run()
    assert len(started) == 1


# --- what was found ---------------------------------------------------------------------------------------------------


def test_findings_are_told_the_gravest_first(here, checked):
    checked(FINE, ODD, equal(1), GUESSED)
    app = opened()
    assert app.subheader[0].value == "2 serious findings, 1 notable and 1 passed"
    said = texts(app)
    order = ["Serious", "Identical files", "The border", "Notable", "Odd films", "No blank films"]
    assert sorted(order, key=said.index) == order
    assert "Look whether the heatmaps lie in the lungs." in said
    assert "Checked: 2 serious findings" in said
    help_of = next(item.help for item in app.markdown if "AUC 0.97" in item.value)
    assert "0.5 is guessing" in help_of
    assert not app.get("image")  # pictures wait until somebody wants to see them


def test_all_in_order_says_so(here, checked):
    checked(FINE)
    app = opened()
    assert app.subheader[0].value == "No findings"
    assert "Nothing to remove" in texts(app)
    assert "Make the cleaned copy" not in labels(app.button)


def test_copies_stand_side_by_side_a_few_at_a_time(here, checked):
    finding = equal(8)
    app = opened(**seen(checked(finding), finding))
    assert labels(app.checkbox).count("Keep these") == 6
    assert texts(app).count("would be removed]") == 6
    assert len(app.get("image")) == 12
    app.number_input[0].set_value(2).run()
    assert labels(app.checkbox).count("Keep these") == 2


def test_odd_films_say_why(here, checked):
    said = texts(opened(**seen(checked(ODD), ODD)))
    assert said.count("  \nturned") == 2
    assert said.count("  \ninverted") == 1


def test_check_again_starts_a_check(here, checked, started):
    checked(FINE)
    labelled(opened().button, "Check again").click().run()
    assert started[0][0] == ["audit", str(here)]


# --- a cleaned copy ---------------------------------------------------------------------------------------------------


def test_cleaning_starts_a_job_with_what_is_ticked(here, checked, started):
    checked(equal(3), LEAK)
    app = opened()
    assert "**3 of" in texts(app)  # a patient's scans go only where somebody ticks them
    labelled(app.checkbox, "Patients in several splits: 1 scan").check().run()
    assert "**4 of" in texts(app)
    labelled(app.checkbox, "Identical files: 3 scans").uncheck().run()
    assert labelled(app.text_input, "Name of the new dataset").value == "ward-clean"
    labelled(app.button, "Make the cleaned copy").click().run()
    out = data_dir() / "ward-clean.hdf5"
    assert started == [(["clean", str(here), str(out), "--kinds", "leaking-patients"], build_folder(out))]
    assert app.session_state["dataset_shown"] == str(out)


def test_a_group_left_as_it_is_stays_when_the_page_is_turned(here, checked, started):
    finding = equal(8)
    found = checked(finding)
    app = opened(**seen(found, finding))
    labelled(app.checkbox, "Keep these").check().run()
    assert "**7 of" in texts(app)
    app.number_input[0].set_value(2).run()
    app.number_input[0].set_value(1).run()
    assert labelled(app.checkbox, "Keep these").value
    labelled(app.button, "Make the cleaned copy").click().run()
    arguments = started[0][0]
    kept = Path(arguments[arguments.index("--keep") + 1]).read_text(encoding="utf-8").split("\n")
    with open_dataset(here) as dataset:
        assert kept == [dataset.files[row] for row in finding.groups[0]]


def test_the_cleaned_copy_is_shown_once_it_is_made(here, checked, started):
    newest = here.with_name("newest.hdf5")
    checked(equal(1))
    shutil.copy(here, newest)
    app = opened()
    labelled(app.selectbox, "Dataset").select(str(here)).run()
    labelled(app.button, "Make the cleaned copy").click().run()
    assert labelled(app.selectbox, "Dataset").value == str(here)  # until then, the page stays where it was
    shutil.copy(here, started[0][0][2])
    app.run()
    assert labelled(app.selectbox, "Dataset").value == started[0][0][2]
    assert "Check this dataset" in labels(app.button)


@pytest.mark.parametrize(("name", "said"), [("ward", "already a dataset"), ("../up", "cannot be a dataset's name")])
def test_a_name_that_is_taken_or_none_is_one_sentence(here, checked, started, name, said):
    checked(equal(1))
    app = opened()
    labelled(app.text_input, "Name of the new dataset").input(name).run()
    labelled(app.button, "Make the cleaned copy").click().run()
    assert said in texts(app)
    assert not started


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_copy_whose_test_differs_says_that_figures_cannot_be_compared(here, checked, split):
    with open_dataset(here) as dataset:
        one, other = dataset.rows(split)[:2].tolist()
    checked(equal(1).replace(groups=((one, other),), suggestion=(other,)))
    assert ("The test changes too" in texts(opened())) == (split == "test")


def test_with_nothing_ticked_there_is_nothing_to_make(here, checked):
    checked(equal(1))
    app = opened()
    labelled(app.checkbox, "Identical files: 1 scan").uncheck().run()
    assert labelled(app.button, "Make the cleaned copy").disabled


# --- deleting ---------------------------------------------------------------------------------------------------------


def test_deleting_a_dataset_deletes_its_check_too(here, checked):
    checked(FINE)
    note_job(here, "done")
    assert list_datasets() == [here]
    app = opened()
    labelled(app.button, "Delete this dataset").click().run()
    labelled(app.button, "Delete it").click().run()
    assert not app.exception
    assert not list(data_dir().glob("ward*"))
    assert not audit_folder(here).exists()


@pytest.mark.parametrize("what", ["audit", "clean"])
def test_a_dataset_at_work_is_not_deleted(here, what):
    folder = note_job(here, "starting")
    if what == "clean":
        folder = shutil.move(folder, build_folder(here.with_name("copy.hdf5")))
        noted = json.loads((Path(folder) / jobs.JOB_FILE).read_text())
        write_json(
            Path(folder) / jobs.JOB_FILE,
            noted | {"details": {"reads": str(here), "arguments": ["clean", str(here), "copy.hdf5"]}},
        )
    app = opened("Scans")
    labelled(app.button, "Delete this dataset").click().run()
    labelled(app.button, "Delete it").click().run()
    assert here.exists()
    assert ("being checked" if what == "audit" else "being made from it") in texts(app)


def test_an_interrupted_copy_is_put_aside_with_what_it_left(here):
    out = here.with_name("ward-clean.hdf5")
    partial = Path(f"{out}.partial")
    partial.touch()
    folder = build_folder(out)
    folder.mkdir(parents=True)
    noted = {
        "status": "running",
        "title": "ward-clean",
        "details": {"writes": str(out), "arguments": ["clean", str(here), str(out)]},
    }
    write_json(folder / jobs.JOB_FILE, noted)
    app = opened()
    assert "did not finish" in texts(app)
    labelled(app.button, "Dismiss").click().run()
    assert not folder.exists()
    assert not partial.exists()
