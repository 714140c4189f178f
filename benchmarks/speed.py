"""Speed as ratios against named baselines, each measured in the same run, the best of several turns in alternation.

    python benchmarks/speed.py [FOLDER_OF_CLASS_FOLDERS] [--json]

Without a folder, drawings of 1,500 × 1,500 pixels stand in for films.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from xrai.core.paths import PROJECT_DIR
from xrai.data.dataset import BuildConfig, build_dataset
from xrai.data.sources import Source, open_source
from xrai.explain.cam import compute_cams
from xrai.models.checkpoint import Checkpoint
from xrai.networks.build import build_network
from xrai.reading.reader import Reader
from xrai.scans import Scan
from xrai.scans.phantoms import write_practice_set
from xrai.training.config import TrainConfig

TURNS = 3
SIZE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or _write_large_phantoms(Path(scratch) / "films")
        results = {
            "build": build(folder, Path(scratch)),
            "training step": training_step(),
            "heatmap": heatmap(),
            "reading": reading(),
        }
    if options.json:
        print(json.dumps(results, indent=1))
        return
    for name, ratios in results.items():
        for what, ratio in ratios.items():
            print(f"{name:14} {what:55} {ratio:5.2f} ×")


def build(folder: Path, scratch: Path) -> dict[str, float]:
    """Building a dataset, against a plain loop that decodes every film in full."""
    with open_source(folder) as source:
        out = scratch / "out.hdf5"

        def with_workers(workers: int) -> None:
            out.unlink(missing_ok=True)
            build_dataset(source, out, BuildConfig(size=SIZE, workers=workers))

        times = _best_times(
            {
                "baseline": lambda: _build_baseline(source, scratch / "plain.hdf5"),
                "1": lambda: with_workers(1),
                "2": lambda: with_workers(2),
            }
        )
    return {
        "1 worker / plain loop of full decoding": times["baseline"] / times["1"],
        "2 workers / plain loop of full decoding": times["baseline"] / times["2"],
        "2 workers / 1 worker": times["1"] / times["2"],
    }


def training_step(size: int = 160, n: int = 16) -> dict[str, float]:
    """One step of ResNet-18 in bfloat16 with channels last, against plain float32; and of halves of it."""
    baseline_network = build_network(TrainConfig(), 2)
    settings_by_name = {
        "whole": {},
        "half": {"network": "resnet18_half"},
        "four halves": {"network": "resnet18_half", "ensemble_size": 4},
    }
    networks = {
        name: build_network(TrainConfig(**settings), 2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, settings in settings_by_name.items()
    }
    scans = torch.randn(n, 1, size, size)

    def step(network: torch.nn.Module, bf16: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = network(scans).float().logsumexp(-1).mean()
        loss.backward()

    calls = {name: (lambda network=network: step(network, True)) for name, network in networks.items()}
    times = _best_times({"baseline": lambda: step(baseline_network, False), **calls}, turns=5)
    return {
        "bfloat16, channels last / float32": times["baseline"] / times["whole"],
        "half ResNet-18 / ResNet-18, both in bfloat16": times["whole"] / times["half"],
        "four halves side by side / ResNet-18, both in bfloat16": times["whole"] / times["four halves"],
    }


def heatmap(size: int = 160) -> dict[str, float]:
    """A reading with its class activation map, against one with Grad-CAM and one without a map."""
    network = build_network(TrainConfig(), 2).eval()
    scan = torch.randn(1, 1, size, size)

    def plain() -> None:
        with torch.inference_mode():
            network(scan)

    calls = {name: (lambda method=name: compute_cams(network, scan, [1], method)) for name in ("CAM", "Grad-CAM")}
    times = _best_times({"baseline": plain, **calls}, turns=9)
    return {
        "time with CAM / time without a map": times["CAM"] / times["baseline"],
        "time with Grad-CAM / time without a map": times["Grad-CAM"] / times["baseline"],
    }


def reading() -> dict[str, float]:
    """A scan read and drawn by the model in the box, against one whose heatmap is looked for anew."""
    reader = Reader.open(Checkpoint(PROJECT_DIR / "checkpoints" / "pneumonia"))
    pixels = np.random.default_rng(0).integers(256, size=(SIZE, SIZE), dtype=np.uint8)
    scan = Scan(pixels, "", "PNG", "L", SIZE, SIZE, pixels.nbytes)

    def once(*, is_fresh: bool) -> None:
        reading = reader.read(scan)
        if is_fresh:
            reader.heatmap(scan.pixels, reading.diagnosis)
        else:
            reading.heatmap(reading.diagnosis)

    times = _best_times({"baseline": lambda: once(is_fresh=True), "known": lambda: once(is_fresh=False)}, turns=9)
    return {"heatmap of the reading / heatmap looked for anew": times["baseline"] / times["known"]}


def _build_baseline(source: Source, out: Path) -> None:
    with h5py.File(out, "w") as file:
        shape = (len(source.entries), SIZE, SIZE)
        images = file.create_dataset("images", shape, np.uint8, chunks=(1, SIZE, SIZE))
        for row, entry in enumerate(source.entries):
            with Image.open(folder_of(source) / entry.path) as picture:
                images[row] = np.asarray(picture.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def folder_of(source: Source) -> Path:
    return Path(source.files.root)  # type: ignore[attr-defined]


def _write_large_phantoms(folder: Path) -> Path:
    write_practice_set(folder, n_patients=20, size=384)
    for file in list(folder.rglob("*.png")):
        with Image.open(file) as picture:
            picture.resize((1500, 1500)).save(file.with_suffix(".jpeg"), quality=90)
        file.unlink()
    return folder


def _best_times(calls: dict[str, Callable[[], object]], turns: int = TURNS) -> dict[str, float]:
    """The shortest time of each call, taken in turn so that a slow moment hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            started_at = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started_at)
    return {name: min(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
