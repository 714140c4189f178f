import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.xrai.training.runs import N_BATCHES, SMALL, epochs_of, features_of, kinds_of, run
from xrai import cli
from xrai.cli import output
from xrai.core.errors import SettingsError
from xrai.core.json_files import read_records
from xrai.core.paths import PROJECT_DIR
from xrai.data.dataset import open_dataset
from xrai.models.checkpoint import HISTORY_FILE, STATE, WEIGHTS, open_checkpoint
from xrai.training.config import TrainConfig
from xrai.training.persistence import load_state


def wait_for(condition, process, seconds=600):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.01)


def start_training(dataset, name):
    flags = TrainConfig(**SMALL | {"epochs": 30, "dropout": 0.3}).to_arguments()
    return subprocess.Popen(
        [sys.executable, "-m", "xrai", "train", str(dataset), "--name", name, *flags],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals of this kind")
def test_killed_run_goes_on_and_ctrl_c_stops_as_the_button_does(home, easy, monkeypatch, capsys):
    folder = home / "checkpoints" / "killed"
    with start_training(easy, "killed") as process:
        wait_for((folder / STATE / "values.json").is_file, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    saved = json.loads((folder / STATE / "values.json").read_text())
    assert 1 <= saved["epoch"] <= 27
    with (folder / HISTORY_FILE).open("a") as log:
        log.write('{"kind": "epoch", "epo')  # as a kill may leave it

    real = output.print_progress

    def interrupt(record):
        real(record)
        if record["kind"] == "epoch" and record["epoch"] == saved["epoch"] + 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("xrai.cli.runs.print_progress", interrupt)
        assert cli.main(["train", "--name", "killed", "--resume"]) == 0
    assert "go on with --resume" in capsys.readouterr().err
    assert json.loads((folder / "job.json").read_text())["status"] == "stopped"
    assert load_state(folder / STATE)[1].epoch == saved["epoch"] + 2
    assert open_checkpoint("killed").read_card().training.end_reason == "stopped"

    assert cli.main(["train", "--name", "killed", "--resume"]) == 0
    _, never_broken = run(easy, "whole", epochs=30, dropout=0.3)
    killed = open_checkpoint("killed")
    assert [item["epoch"] for item in epochs_of(killed)] == list(range(1, 31))
    assert epochs_of(killed) == epochs_of(never_broken)
    assert (folder / WEIGHTS).read_bytes() == (never_broken.folder / WEIGHTS).read_bytes()


@pytest.mark.parametrize("network", [{}, {"network": "resnet18_half", "ensemble_size": 2}], ids=["one", "two members"])
def test_two_processes_share_a_run(home, easy, network):
    flags = TrainConfig(**SMALL | {"epochs": 2, "devices": 2, "patience": 1} | network).to_arguments()
    done = subprocess.run(
        [sys.executable, "-m", "xrai", "train", str(easy), "--name", "two", "--json", *flags],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    checkpoint = open_checkpoint("two")
    card = checkpoint.read_card()
    assert json.loads(done.stdout)["validation"]["auc"] == card.validation.auc
    assert kinds_of(checkpoint) == ["start", *["epoch"] * card.training.epochs_run, "end"]
    assert [item["epoch"] for item in epochs_of(checkpoint)] == list(range(1, card.training.epochs_run + 1))
    with open_dataset(easy) as opened:
        assert card.validation.n == len(opened.rows("val"))
    steps = [item for item in read_records(checkpoint.folder / HISTORY_FILE) if item["kind"] == "step"]
    assert sum(item["progress"] == 1 / N_BATCHES for item in steps) == 1


@pytest.mark.parametrize("batch", [2, N_BATCHES], ids=["within an epoch", "at its last batch"])
def test_two_processes_stopped_and_gone_on(home, easy, monkeypatch, batch):
    """What the first process counted within an epoch is not taken for what the second one did."""
    flags = TrainConfig(**SMALL | {"epochs": 2, "devices": 2}).to_arguments()
    code = (
        "import sys; from xrai import cli; from xrai.core import jobs; asked = iter(range(99)); "
        "jobs.JobContext.should_stop = lambda self: "
        f"setattr(self, 'has_stop_request', next(asked) >= {batch} - 1) or self.has_stop_request; "
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    script = home / "stop.py"
    script.write_text(code)

    def shell(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=os.environ | {"PYTHONPATH": str(PROJECT_DIR)},
        )
        assert done.returncode == 0, done.stderr

    shell(script, "train", easy, "--name", "two", *flags)
    checkpoint = open_checkpoint("two")
    before = len(epochs_of(checkpoint))
    assert before == (batch == N_BATCHES)  # a validation that is shared is not broken off
    tensors, values = load_state(checkpoint.folder / STATE)
    assert values.batch > 0
    assert "outputs.labels" not in tensors
    shell("-m", "xrai", "train", "--name", "two", "--resume")
    assert kinds_of(checkpoint) == ["start", *["epoch"] * before, "resume", *["epoch"] * (2 - before), "end"]
    assert all(math.isfinite(item["train"]["loss"]) for item in epochs_of(checkpoint))


def test_processes_must_be_as_many_as_devices(home, easy, monkeypatch):
    """As when torchrun starts three and the setting says one: each would train a model of its own."""
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(SettingsError, match="3 processes were started, but the setting “devices” is 1"):
        run(easy)


SHARED = """
import os, sys, torch
from xrai import cli; from xrai.core import jobs
from xrai.training.fit import Trainer

real, asked = Trainer.fit, iter(range(99))

def fit(self):
    reason = real(self)
    own = torch.cat([item.detach().flatten() for item in self.state.network.parameters()])
    parts = [torch.empty_like(own) for _ in range(2)]
    torch.distributed.all_gather(parts, own)
    if not torch.equal(*parts):
        sys.exit("the processes have learned each something else")
    return reason

Trainer.fit = fit
if stop := int(os.environ["STOP"]):
    jobs.JobContext.should_stop = lambda self: (
        setattr(self, "has_stop_request", next(asked) >= stop - 1) or self.has_stop_request
    )
sys.exit(cli.main(sys.argv[1:]))
"""


def test_two_processes_share_a_run_of_two_phases(home, easy, origin):
    """What shares gradients between processes must share those of the features too once these learn."""
    script = home / "share.py"
    script.write_text(SHARED)

    def shell(stop, *arguments):
        done = subprocess.run(
            [sys.executable, script, "train", *arguments],
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=os.environ | {"PYTHONPATH": str(PROJECT_DIR), "STOP": str(stop)},
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr

    settings = SMALL | {"weights": "origin", "epochs": 3, "freeze_epochs": 1, "devices": 2}
    # stopped in the second phase, so that the run enters it once by itself and once by going on
    shell(N_BATCHES + 2, easy, "--name", "two", *TrainConfig(**settings).to_arguments())
    two = open_checkpoint("two")
    assert load_state(two.folder / STATE)[1].epoch == 1
    shell(0, "--name", "two", "--resume")
    assert [item["epoch"] for item in epochs_of(two)] == [1, 2, 3]
    card = two.read_card()
    assert card.training.end_reason == "finished"
    assert card.training.source_model.model == "origin"
    assert card.preprocessing == origin.read_card().preprocessing
    before = origin.load_network(origin.read_card()).features.state_dict()
    assert all(not torch.equal(value, before[key]) for key, value in features_of(two).items())
