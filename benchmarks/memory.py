"""Whether the memory that `xrai.networks.summary` foretells is what short trainings take, each in a process of its own.

    python benchmarks/memory.py [--precision 32|bf16] [--optimizer adamw|adam|sgd]

Prints the estimate, the measured peak of the resident memory, and estimate / measured: good is between 1 and 1.35.
The trainings run on the processor, two steps each; on a machine with a graphics card that is hidden from them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from xrai.networks.build import build_network
from xrai.training.config import TrainConfig
from xrai.training.loop import make_loss, make_optimizer
from xrai.training.memory import estimate_memory

RUNS = (
    ("convnet", 96, 16, 1),
    ("convnet", 512, 32, 1),
    ("resnet18", 128, 32, 1),
    ("resnet18", 128, 128, 1),
    ("resnet18_half", 128, 64, 4),
    ("resnet50", 160, 8, 1),
    ("densenet121", 160, 16, 1),
    ("mobilenet_v3_small", 224, 32, 1),
    ("efficientnet_b0", 128, 16, 1),
)
"""Network, side in pixels, batch size and members."""

STEPS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    parser.add_argument("--optimizer", choices=("adamw", "adam", "sgd"), default="adamw")
    parser.add_argument("--one", nargs=4, metavar=("NETWORK", "SIDE", "BATCH", "MEMBERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, side, batch, ensemble_size = options.one
        print(measure_peak_bytes(_config(name, side, batch, ensemble_size, options)))
        return
    heads = ("side", "batch", "members", "estimate MB", "measured MB", "ratio")
    print(f"{'network':20}" + "".join(f"{head:>12}" for head in heads))
    for name, side, batch, ensemble_size in RUNS:
        estimated_bytes = estimate_memory(_config(name, side, batch, ensemble_size, options), 2)
        measured_bytes = _measure_in_subprocess((name, side, batch, ensemble_size), options)
        sizes = "".join(f"{size / 1e6:12,.0f}" for size in (estimated_bytes, measured_bytes))
        print(
            f"{name:20}{side:12}{batch:12}{ensemble_size:12}{sizes}{estimated_bytes / measured_bytes:12.2f}", flush=True
        )


def measure_peak_bytes(config: TrainConfig) -> int:
    """Bytes of resident memory at the peak of some training steps in this process."""
    network = build_network(config, 2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(config, network)
    loss_of = make_loss(config, torch.ones(2).numpy(), torch.device("cpu"))
    targets = torch.eye(2).repeat(config.batch_size // 2, 1)
    network.train()
    for _ in range(STEPS):
        scans = torch.randn(config.batch_size, 1, config.image_size, config.image_size)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.precision == "bf16"):
            logits = network(scans)
        loss = loss_of(logits.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _measure_in_subprocess(run: tuple[str, int, int, int], options: argparse.Namespace) -> int:
    command = [sys.executable, __file__, "--one", *map(str, run)]
    command += ["--precision", options.precision, "--optimizer", options.optimizer]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def _config(
    name: str, side: int | str, batch: int | str, ensemble_size: int | str, options: argparse.Namespace
) -> TrainConfig:
    return TrainConfig(
        network=name,
        image_size=int(side),
        batch_size=int(batch),
        ensemble_size=int(ensemble_size),
        precision=options.precision,
        optimizer=options.optimizer,
    )


if __name__ == "__main__":
    main()
