import errno
import json
import shutil

import h5py
import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError

from xrai.core.json_files import append_record, read_records, write_json
from xrai.core.paths import display_path
from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.sources import open_source
from xrai.models.checkpoint import CONFIG, HISTORY_FILE, STATE, WEIGHTS, open_checkpoint
from xrai.training.config import TrainConfig
from xrai.training.persistence import load_state
from xrai.training.run import train_model

SMALL = {
    "network": "convnet",
    "blocks": 3,
    "filters": 4,
    "dense_units": 16,
    "image_size": 32,
    "batch_size": 16,
    "learning_rate": 3e-3,
    "precision": "32",
}


DEMANDING = SMALL | {"epochs": 3, "dropout": 0.3, "mixup_alpha": 0.2, "ema_decay": 0.9, "hflip": True}


N_BATCHES, N_VAL_BATCHES = 4, 1


def build_easy(folder, classes, n=40, side=64):
    """Noise, with a bright square whose place tells the class."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(n):
            pixels = np.random.default_rng([label, number]).integers(20, 90, (side, side), dtype=np.uint8)
            pixels[10:30, 20 * label : 20 * label + 15] += 120
            Image.fromarray(pixels).save(folder / name / f"patient{label}{number:03}_1.png")
    out = folder.with_suffix(".hdf5")
    with open_source(folder) as source:
        assert build_dataset(source, out, BuildConfig(size=side))
    return out


def changed_copy(dataset, out, change):
    shutil.copy(dataset, out)
    with h5py.File(out, "r+") as file:
        change(file)
    return out


def checkpoint_of(name, dataset, config):
    checkpoint = open_checkpoint(name)
    checkpoint.folder.mkdir(exist_ok=True)
    write_json(checkpoint.folder / CONFIG, {"dataset": display_path(dataset), "train": config.to_dict()})
    return checkpoint


def run(dataset, name="m", *, resume=False, should_stop=lambda: False, **settings):
    """Train in this process with the history on disk; gives the card and the checkpoint."""
    config = TrainConfig(**SMALL | settings)
    checkpoint = checkpoint_of(name, dataset, config)

    def emit(record):
        json.dumps(record, allow_nan=False)
        append_record(checkpoint.folder / HISTORY_FILE, record)

    with open_dataset(dataset) as opened:
        card = train_model(config, opened, checkpoint, emit=emit, should_stop=should_stop, resume=resume)
    return card, checkpoint


def settings_of(card):
    return TrainConfig.from_dict(card.training.settings)


def stop_after(n_questions):
    asked = iter(range(10**9))
    return lambda: next(asked) >= n_questions - 1


def epochs_of(checkpoint):
    """The records of the epochs without what depends on the clock."""
    records = read_records(checkpoint.folder / HISTORY_FILE)
    timed = ("time", "seconds")
    return [{k: v for k, v in item.items() if k not in timed} for item in records if item["kind"] == "epoch"]


def kinds_of(checkpoint):
    return [
        item["kind"]
        for item in read_records(checkpoint.folder / HISTORY_FILE)
        if item["kind"] not in ("step", "finalize")
    ]


def assert_same_run(one, other):
    assert epochs_of(one) == epochs_of(other)
    assert (one.folder / WEIGHTS).read_bytes() == (other.folder / WEIGHTS).read_bytes()
    states = [load_state(item.folder / STATE)[0] for item in (one, other)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    cards = [item.read_card() for item in (one, other)]
    assert cards[0].validation == cards[1].validation
    assert cards[0].heatmap_scale == cards[1].heatmap_scale


FINE = DEMANDING | {"weights": "origin", "freeze_epochs": 1, "finetune_lr_scale": 0.3}


FROZEN = {"learning_rate": 1e-7, "finetune_lr_scale": 0.001, "epochs": 2, "freeze_epochs": 1, "dropout": 0.0}
"""So slow that what is learned in the first phase is next to nothing."""


def turned(dataset, out, names=("OPACITY", "CLEAR")):
    """The dataset with its two classes in the other order."""

    def turn(file):
        file["label"][...] = 1 - file["label"][()]
        file.attrs["classes"] = json.dumps(names)

    return changed_copy(dataset, out, turn)


def features_of(checkpoint, prefix="network.features."):
    """The weights and statistics before the head, as the run's state has them."""
    tensors = load_state(checkpoint.folder / STATE)[0]
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def in_first_phase(n_epochs=1):
    """Stops in the last validation of the epochs in which only the head learns."""
    return stop_after(n_epochs * (N_BATCHES + N_VAL_BATCHES))


BORDER = N_BATCHES + N_VAL_BATCHES


FULL = {
    "the system's": OSError(errno.ENOSPC, "No space left on device"),
    "safetensors'": SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
}


def raising(error):
    def act(*arguments, **named):
        raise error

    return act
