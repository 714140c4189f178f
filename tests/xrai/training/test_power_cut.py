"""After a power cut at any step of writing a run can go on, and a model that was reported done can be read."""

import json
import shutil

import pytest
import torch

from tests.xrai.training.power_cuts import PowerCuts, write_out
from tests.xrai.training.runs import DEMANDING, assert_same_run, run
from xrai.core.jobs import Job, run_job
from xrai.models.artifacts import load_artifacts
from xrai.models.checkpoint import STATE, Checkpoint, open_checkpoint
from xrai.training.persistence import load_state, save_state
from xrai.training.recorder import ProgressTimer


@pytest.fixture(scope="module")
def power_cuts(easy, tmp_path_factory):
    """A training that saves its state after each batch, cut off after every step of writing."""
    home = tmp_path_factory.mktemp("cuts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAI_HOME", str(home))
        patch.setattr(ProgressTimer, "is_save_due", True)
        folder = open_checkpoint("cut").folder
        with run_job(folder, title="cut"):
            cuts = PowerCuts(folder, patch)
            run(easy, "cut", **DEMANDING)
    return cuts.states


def test_a_run_can_go_on_after_a_power_cut_at_any_step(power_cuts, tmp_path):
    first = next(i for i, files in enumerate(power_cuts) if f"{STATE}/values.json" in files)
    positions = []
    for number, files in enumerate(power_cuts[first:]):
        checkpoint = Checkpoint(write_out(files, tmp_path / str(number)))
        assert checkpoint.can_resume
        values = load_state(checkpoint.folder / STATE)[1]
        positions.append((values.epoch, values.batch))
        shutil.rmtree(checkpoint.folder)
    assert positions == sorted(positions)
    assert positions[0] < positions[-1] == (3, 0)


def test_after_a_power_cut_the_epochs_are_those_of_a_run_without(home, easy, whole, power_cuts):
    torn = [
        files for files in power_cuts if f"{STATE}.old/values.json" in files and f"{STATE}/values.json" not in files
    ]
    checkpoint = open_checkpoint("cut")
    write_out(torn[len(torn) // 2], checkpoint.folder)
    run(easy, "cut", **DEMANDING, resume=True)
    assert_same_run(whole, checkpoint)


def test_what_looks_like_a_model_after_a_power_cut_can_be_read(power_cuts, tmp_path):
    n_models = 0
    for number, files in enumerate(power_cuts):
        checkpoint = Checkpoint(write_out(files, tmp_path / str(number)))
        if checkpoint.is_model:
            n_models += 1
            checkpoint.load_network(checkpoint.read_card())
        shutil.rmtree(checkpoint.folder)
    assert n_models > 1


def test_a_model_reported_done_is_whole_on_the_disk(power_cuts, tmp_path):
    done = [files for files in power_cuts if json.loads(files.get("job.json") or "{}").get("status") == "done"]
    assert done
    for number, files in enumerate(done):
        checkpoint = Checkpoint(write_out(files, tmp_path / str(number)))
        assert Job(checkpoint.folder).records()[-1]["kind"] == "end"
        card = checkpoint.read_card()
        network = checkpoint.load_network(card)
        assert load_artifacts(checkpoint, card, network.num_features)


@pytest.mark.parametrize("torn", ["values.json", "tensors.safetensors"])
@pytest.mark.parametrize("content", [None, b""], ids=["gone", "empty"])
def test_the_state_before_is_taken_where_the_last_one_is_torn(home, easy, whole, tmp_path, torn, content):
    folder = whole.folder / STATE
    tensors, values = load_state(folder)
    shutil.copytree(folder, folder.with_name(f"{STATE}.old"))
    (folder / torn).unlink()
    if content is not None:
        (folder / torn).write_bytes(content)
    assert whole.can_resume
    assert load_state(folder)[1] == values
    save_state(folder, tensors, values.replace(epoch=7))
    assert load_state(folder)[1].epoch == 7
    assert not folder.with_name(f"{STATE}.old").exists()


def test_saving_keeps_the_only_state_until_the_next_is_on_the_disk(home, whole, monkeypatch):
    """Where a kill between the renames left it under its second name."""
    folder = whole.folder / STATE
    _, values = load_state(folder)
    folder.rename(folder.with_name(f"{STATE}.old"))
    with monkeypatch.context() as patch:
        cuts = PowerCuts(whole.folder, patch)
        cuts.flushed |= {ino: content for _, ino, content in cuts._now()}
        save_state(folder, {"a": torch.ones(2)}, values)
    assert len(cuts.states) > 4
    assert all(f"{STATE}.old/values.json" in files or files.get(f"{STATE}/values.json") for files in cuts.states)
