import json

from xrai.core import jobs
from xrai.data.dataset import open_dataset
from xrai.data.jobs import audit_folder


def test_audit_and_clean(call, doubled):
    printed = call("audit", "doubled", "--json")
    assert printed.status == 0, printed.err
    result = json.loads(printed.out)
    exact = next(item for item in result["findings"] if item["kind"] == "exact-duplicates")
    assert (result["dataset"], exact["numbers"]["groups"]) == ("doubled", 1)
    assert doubled.with_name("doubled.audit.json").is_file()
    job = jobs.Job(audit_folder(doubled))
    assert job.status == "done"
    assert job.records()[-1] == {"kind": "progress", "done": 100, "total": 100, "what": "done"}

    out = doubled.with_name("clean.hdf5")
    printed = call("clean", doubled, out, "--kinds", "exact-duplicates", "--json")
    assert printed.status == 0, printed.err
    assert json.loads(printed.out)["removed"] == 1
    with open_dataset(doubled) as before, open_dataset(out) as after:
        assert len(after) == len(before) - 1
        assert after.notes[-1].startswith(f"1 of {len(before)} scans of doubled was taken out")
        assert len(set(after.hashes)) == len(after)
    assert call("clean", doubled, out).status == 1


def test_an_audit_that_is_stopped_keeps_nothing(call, doubled, monkeypatch):
    monkeypatch.setattr(jobs.JobContext, "should_stop", lambda job: True)
    printed = call("audit", doubled, "--json")
    assert (printed.status, json.loads(printed.out)) == (0, {"dataset": "doubled", "ended": "stopped"})
    assert not doubled.with_name("doubled.audit.json").exists()
