"""Folders of models and runs, and zips of them."""

import errno
import io
import time
import zipfile

import pytest
import torch

from tests.apps import write_run
from xrai import models
from xrai.core.errors import CheckpointError
from xrai.core.json_files import JOB_FILE, write_json
from xrai.core.paths import checkpoints_dir
from xrai.models.card import Card
from xrai.networks.build import build_network
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

TINY = TrainConfig(network="convnet", blocks=2, filters=2, dense_units=2, image_size=32)


MEASURED = {
    "loss": 0.5,
    "n": 9,
    "accuracy": 0.8,
    "accuracy_interval": [0.7, 0.9],
    "auc": 0.9,
    "auc_interval": [0.8, 1.0],
}


TRAIN = {"loss": 0.5, "accuracy": 0.75, "auc": None}


START = {
    "kind": "start",
    "epochs": 2,
    "batches": 3,
    "parameters": 10,
    "device": "cpu",
    "precision": "32-true",
    "train": 20,
    "val": 9,
    "time": 1.8e9,
}


STEP = {
    "kind": "step",
    "progress": 0.5,
    "epoch": 1,
    "loss": 0.7,
    "accuracy": 0.5,
    "images_per_second": 9.0,
    "seconds_left": 3.0,
    "time": 1.8e9,
}


EPOCH = {
    "kind": "epoch",
    "epoch": 1,
    "train": TRAIN,
    "val": MEASURED | {"loss": 0.6},
    "learning_rate": 0.001,
    "seconds": 4.5,
    "best": True,
    "time": 1.8e9,
}


LATER = EPOCH | {"epoch": 2, "best": False, "val": MEASURED | {"loss": 0.9, "accuracy": 0.1}}


END = {"kind": "end", "reason": "finished", "seconds": 12.0, "best": {"epoch": 1}, "time": 1.8e9}


RECORDS = [START, STEP, EPOCH, LATER, END]


def make_model(name, **changes):
    checkpoint = make_run(name)
    torch.manual_seed(0)
    checkpoint.save_network(build_network(TINY, 2).eval())
    values = {
        "name": "as it was trained",
        "created": "2026-11-21T09:00:00+00:00",
        "classes": ("CLEAR", "OPACITY"),
        "network": TINY.network_config,
        "preprocessing": Preprocessing(64, 32, 0.5, 0.25),
        "dataset": {"name": "d", "is_phantom": True},
        "threshold": None,
        "training": {"epochs_run": 2, "seconds": 12.5, "settings": TINY.to_dict()},
        "validation": MEASURED,
        "heatmap_scale": {"CAM": {"CLEAR": 1.0, "OPACITY": 2.0}},
        "versions": {},
    }
    checkpoint.write_card(Card(**values | changes))
    return checkpoint


def make_run(name, records=RECORDS):
    return write_run(name, records, TINY, "data/d.hdf5")


def zipped(files, **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return io.BytesIO(out.getvalue())


def be_active(checkpoint):
    write_json(checkpoint.folder / JOB_FILE, {"status": "starting", "time": time.time()})


def everything():
    """Every path below `checkpoints/`, with the bytes of files."""
    found = sorted(checkpoints_dir().rglob("*"))
    return {str(item.relative_to(checkpoints_dir())): item.read_bytes() if item.is_file() else None for item in found}


def names():
    return sorted(item.name for item in checkpoints_dir().iterdir())


def summary_of(name):
    return next(item for item in models.list_summaries() if item.name == name)


def refused(*words):
    return pytest.raises(CheckpointError, match="".join(f"(?=.*{word})" for word in words) + r"^[^\n]*\.$")


def no_space(*args, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def in_use(*args, **options):
    raise PermissionError(errno.EACCES, "in use")
