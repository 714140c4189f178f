import json
import shutil

import pytest

from tests.xrai.cli.support import LITTLE, TINY, TINY_SHAPE, assert_one_sentence
from xrai.core import jobs
from xrai.models.checkpoint import open_checkpoint
from xrai.training.sweep import MAX_RUNS, create_sweep, open_sweep


def test_sweep(call, home, practice):
    printed = call("sweep", practice, "--name", "s", "--vary", "learning-rate=0.001, 0.01", *TINY, "--json")
    assert printed.status == 0, printed.err
    result = json.loads(printed.out)
    assert result["sweep"] == "s"
    assert [item["name"] for item in result["runs"]] == ["s-1", "s-2"]
    assert [item["settings"] for item in result["runs"]] == [{"learning_rate": 0.001}, {"learning_rate": 0.01}]
    for item in result["runs"]:
        assert (item["status"], item["error"]) == ("done", "")
        card = open_checkpoint(item["name"]).read_card()
        assert card.training.settings["learning_rate"] == item["settings"]["learning_rate"]
        assert card.network.shape == TINY_SHAPE
    for words in (
        "run 1 of 2, “s-1”, learning rate 0.001: running",
        "run 2 of 2, “s-2”, learning rate 0.01: done",
        "2 of 2 runs are done; the best on validation is “s-",
    ):
        assert words in printed.err
    job = open_sweep("s").job
    assert job.status == "done"
    assert [record["kind"] for record in job.records()] == ["start", *["run"] * 4, "end"]
    again = call("sweep", "--name", "s", "--resume", "--json")
    assert (again.status, json.loads(again.out)) == (0, result)
    assert_one_sentence(call("sweep", "--name", "s", "--resume", "--epochs", 2, "--json"), "goes on as it was planned")
    assert_one_sentence(
        call("sweep", practice, "--name", "s", "--vary", "seed=1", *TINY, "--json"), "already a sweep “s”"
    )


def test_a_sweep_goes_on_with_the_runs_that_are_not_done(call, home, practice, monkeypatch):
    def stop(job):
        job.has_stop_request = job.has_stop_request or open_sweep("s").run_summaries()[0].status == "done"
        return job.has_stop_request

    with monkeypatch.context() as patch:
        patch.setattr(jobs.JobContext, "should_stop", stop)
        printed = call("sweep", practice, "--name", "s", "--vary", "seed=1,2", *TINY, "--json")
    assert printed.status == 0
    assert "1 of 2 runs are done" in printed.err
    assert "stopped; go on with --resume" in printed.err
    assert [item["status"] for item in json.loads(printed.out)["runs"]] == ["done", "waiting"]
    assert open_sweep("s").job.status == "stopped"
    printed = call("sweep", "--name", "s", "--resume")
    assert printed.status == 0
    assert "2 of 2 runs are done" in printed.err
    assert "stopped" not in printed.err
    assert [item.status for item in open_sweep("s").run_summaries()] == ["done", "done"]


def test_a_sweep_of_which_one_run_fails_says_so(call, home, practice, model):
    """Its name was taken by another model after the sweep was planned."""
    settings = open_checkpoint("m").read_config()["train"]
    for name, seeds, taken in (("s", [1, 2], "s-2"), ("t", [1], "t-1")):
        create_sweep(name, practice, {key: value for key, value in settings.items() if key != "seed"}, {"seed": seeds})
        shutil.copytree(model, model.with_name(taken))
    printed = call("sweep", "--name", "s", "--resume")
    assert_one_sentence(printed, "1 of 2 runs could not be trained", "“s-2”")
    assert "1 of 2 runs are done; the best on validation is “s-1”: AUC" in printed.err
    printed = call("sweep", "--name", "t", "--resume", "--json")
    assert_one_sentence(printed, "No run of the sweep “t” could be trained", "“t-1”")


BAD_SWEEPS = {
    "nothing to vary": ([], ["What shall the sweep vary?"]),
    "no values": (["--vary", "seed"], ["“seed” is no setting with its values"]),
    "an empty value": (["--vary", "seed="], ["no value", "“Random seed”"]),
    "no such setting": (["--vary", "speed=1,2"], ["no training setting “speed”"]),
    "no setting at all": (["--vary", "=1,2"], ["no training setting “”"]),
    "a word for a number": (["--vary", "epochs=few"], ["“few” is no whole number", "“Epochs”"]),
    "a decimal comma": (["--vary", "dropout=0,5"], ["could be one number or two"]),
    "twice the same": (["--vary", "seed=1", "--vary=--seed=2"], ["told twice to vary --seed"]),
    "given and varied": (["--vary", "epochs=1,2"], ["--epochs", "leave out one of the two"]),
    "too many": (
        [
            word
            for name in ("seed", "patience", "freeze-epochs", "dense-layers")
            for word in ("--vary", f"{name}=" + ",".join(map(str, range(10))))
        ],
        ["10,000 runs", f"more than the {MAX_RUNS}"],
    ),
    "one that cannot be trained": (["--vary", "seed=1", "--vary", "dropout=0.1,2"], ["combination", "dropout 2.0"]),
}


@pytest.mark.parametrize(("arguments", "words"), BAD_SWEEPS.values(), ids=BAD_SWEEPS.keys())
def test_bad_sweep(call, home, practice, arguments, words):
    printed = call("sweep", practice, "--name", "s", *TINY, *arguments, "--json")
    assert_one_sentence(printed, *words)
    assert not list(home.rglob("*.json"))


def test_sweep_without_a_dataset_or_of_an_unknown_name(call, home, practice):
    assert_one_sentence(call("sweep", "--name", "s", "--vary", "seed=1", "--json"), "Which dataset", "sweep data/")
    assert_one_sentence(call("sweep", "gone", "--name", "s", "--vary", "seed=1", "--json"), "no dataset at")
    assert_one_sentence(call("sweep", "--name", "s", "--resume", "--json"), "no sweep “s”")
    assert_one_sentence(call("sweep", practice, "--name", "../s", "--vary", "seed=1", "--json"), "cannot be a model's")
    assert not list(home.rglob("*.json"))


def test_a_sweep_over_a_start_model_takes_over_its_shape(call, model, practice):
    printed = call(
        "sweep", practice, "--name", "s", "--weights", "m", "--epochs", 1, "--batch-size", 16, "--vary", "seed=1"
    )
    assert printed.status == 0, printed.err
    card = open_checkpoint("s-1").read_card()
    assert (card.training.settings["weights"], card.network.shape) == ("m", TINY_SHAPE)


def test_a_sweep_warns_once_where_the_memory_will_not_do_for_its_largest_run(call, home, practice, monkeypatch):
    monkeypatch.setattr("xrai.training.sweep.run_sweep", lambda planned, **more: None)
    varied = ["--vary", "batch-size=8,24", "--vary", "seed=1,2", *TINY[: TINY.index("--batch-size")]]
    assert "of memory" not in call("sweep", practice, "--name", "a", *varied).err
    monkeypatch.setattr("xrai.training.memory.read_machine_memory", lambda: LITTLE)
    printed = call("sweep", practice, "--name", "b", *varied, "--json")
    assert printed.status == 0
    assert [run["name"] for run in json.loads(printed.out)["runs"]] == ["b-1", "b-2", "b-3", "b-4"]
    (line,) = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
    assert "batches of 24 at 32 pixels" in line
