"""Training a network on a dataset: one run, its records as it goes, and the model it leaves."""

from xrai.training.loop import Outcome, run_epoch
from xrai.training.run import train

__all__ = ["Outcome", "run_epoch", "train"]
