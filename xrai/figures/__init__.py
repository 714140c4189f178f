"""Plotly figures: curves of runs, what a dataset and a network are made of, how good a model is."""

from xrai.figures.datasets import SPLIT_WORDS, class_balance
from xrai.figures.network import network_diagram
from xrai.figures.runs import accuracy_curves, auc_curves, loss_curves
from xrai.figures.style import page_of

__all__ = [
    "SPLIT_WORDS",
    "accuracy_curves",
    "auc_curves",
    "class_balance",
    "loss_curves",
    "network_diagram",
    "page_of",
]
