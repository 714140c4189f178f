"""Helpers shared by the tests of the command line."""

import errno
import struct
import subprocess
import sys
import zlib

import numpy as np
from PIL import Image

from xrai.core.paths import PROJECT_DIR
from xrai.training import memory

TINY = [
    "--network",
    "convnet",
    "--blocks",
    "2",
    "--filters",
    "2",
    "--dense-units",
    "4",
    "--image-size",
    "32",
    "--epochs",
    "1",
    "--batch-size",
    "16",
]


TINY_SHAPE = {
    "network": "convnet",
    "image_size": 32,
    "blocks": 2,
    "filters": 2,
    "dense_units": 4,
    "dense_layers": 1,
    "activation": "relu",
    "normalize": "dataset",
}


EVALUATION = {
    "accuracy",
    "accuracy_interval",
    "balanced_accuracy",
    "auc",
    "auc_interval",
    "classes",
    "confusion_matrix",
    "per_class",
    "curves",
    "threshold",
    "n",
    "n_patients",
    "brier",
    "split",
    "dataset",
    "model",
    "left_out",
    "seen",
    "unseen",
    "measured_before",
    "predictions",
    "epochs",
}


def assert_one_sentence(printed, *words):
    """A stated error: status 1, nothing on standard output, one line of error without traceback."""
    assert printed.status == 1, printed
    assert printed.out == ""
    assert "Traceback" not in printed.err
    (line,) = [line for line in printed.err.splitlines() if line.startswith("error:")]
    assert line.rstrip(")").endswith(".")
    for word in words:
        assert word in line


def shell(*arguments, **named):
    command = [sys.executable, "-m", "xrai", *map(str, arguments)]
    return subprocess.run(
        command, cwd=PROJECT_DIR, capture_output=True, text=True, encoding="utf-8", timeout=600, check=False, **named
    )


LITTLE = memory.MachineMemory(2_000_000, 1_000_000, "cpu")


def folder_of(tmp_path, **classes):
    root = tmp_path / "source"
    root.mkdir()
    for name, n in classes.items():
        (root / name).mkdir()
        for number in range(n):
            pixels = np.random.default_rng([len(name), number]).integers(0, 256, (64, 64), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def png_header(side):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def truncated_jpeg(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)).save(tmp_path / "whole.jpg")
    return (tmp_path / "whole.jpg").read_bytes()[:4000]


BAD_SCANS = {
    "huge.png": lambda path: png_header(60_000),
    "cut.jpg": truncated_jpeg,
    "text.jpg": lambda path: b"This is a letter about a patient, and no picture.",
    "empty.png": lambda path: b"",
}


def no_space(*arguments, **named):
    raise OSError(errno.ENOSPC, "No space left on device", "somewhere")
