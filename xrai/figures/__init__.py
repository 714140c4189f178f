"""Plotly figures: runs, what datasets and networks are made of, how good a model is and how honest, models compared."""

from xrai.figures.comparison import interval_dots, overlaid_curves, parallel_settings
from xrai.figures.convolution import patch_table, pooling_row, products_row, result_table, short
from xrai.figures.datasets import SPLIT_WORDS, class_balance
from xrai.figures.evaluation import confusion_figure, operating_points, precision_recall_figure, roc_figure
from xrai.figures.exercises import patients_figure, pointed_figure
from xrai.figures.network import network_diagram
from xrai.figures.runs import accuracy_curves, auc_curves, loss_curves
from xrai.figures.style import captioned, page_of
from xrai.figures.trust import reliability_figure, thousand_figure, threshold_figure

__all__ = [
    "SPLIT_WORDS",
    "accuracy_curves",
    "auc_curves",
    "captioned",
    "class_balance",
    "confusion_figure",
    "interval_dots",
    "loss_curves",
    "network_diagram",
    "operating_points",
    "overlaid_curves",
    "page_of",
    "parallel_settings",
    "patch_table",
    "patients_figure",
    "pointed_figure",
    "pooling_row",
    "precision_recall_figure",
    "products_row",
    "reliability_figure",
    "result_table",
    "roc_figure",
    "short",
    "thousand_figure",
    "threshold_figure",
]
