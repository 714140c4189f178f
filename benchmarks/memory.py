"""Whether the memory that `xrai.blueprint` foretells is what short trainings take, each in a process of its own.

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

from xrai.blueprint import memory_needed
from xrai.config import TrainConfig
from xrai.networks import build_network
from xrai.training.loop import make_loss, make_optimizer

RUNS = (
    ("convnet", 96, 16),
    ("convnet", 512, 32),
    ("resnet18", 128, 32),
    ("resnet18", 128, 128),
    ("resnet50", 160, 8),
    ("densenet121", 160, 16),
    ("mobilenet_v3_small", 224, 32),
    ("efficientnet_b0", 128, 16),
)
"""Network, side in pixels and batch size."""

STEPS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    parser.add_argument("--optimizer", choices=("adamw", "adam", "sgd"), default="adamw")
    parser.add_argument("--one", nargs=3, metavar=("NETWORK", "SIDE", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, side, batch = options.one
        print(measure(_config(name, side, batch, options)))
        return
    print(f"{'network':20} {'side':>5} {'batch':>6} {'estimate MB':>12} {'measured MB':>12} {'ratio':>6}")
    for name, side, batch in RUNS:
        estimate = memory_needed(_config(name, side, batch, options), 2)
        measured = _measured_elsewhere(name, side, batch, options)
        print(
            f"{name:20} {side:5} {batch:6} {estimate / 1e6:12,.0f} {measured / 1e6:12,.0f} {estimate / measured:6.2f}",
            flush=True,
        )


def measure(config: TrainConfig) -> int:
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


def _measured_elsewhere(name: str, side: int, batch: int, options: argparse.Namespace) -> int:
    command = [sys.executable, __file__, "--one", name, str(side), str(batch)]
    command += ["--precision", options.precision, "--optimizer", options.optimizer]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def _config(name: str, side: int | str, batch: int | str, options: argparse.Namespace) -> TrainConfig:
    return TrainConfig(
        network=name,
        image_size=int(side),
        batch_size=int(batch),
        precision=options.precision,
        optimizer=options.optimizer,
    )


if __name__ == "__main__":
    main()
