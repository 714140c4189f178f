"""Plotly figures of datasets, networks, training runs, evaluation, calibration and comparisons."""

from xrai.figures.comparison import interval_dots, overlaid_curves, parallel_settings
from xrai.figures.convolution import format_short, patch_table, pooling_row, products_row, result_table
from xrai.figures.datasets import SPLIT_LABELS, class_balance
from xrai.figures.evaluation import confusion_figure, operating_points, precision_recall_figure, roc_figure
from xrai.figures.exercises import epoch_marker_figure, patients_figure
from xrai.figures.network import network_diagram
from xrai.figures.runs import accuracy_curves, auc_curves, loss_curves
from xrai.figures.style import add_caption, make_html_page
from xrai.figures.trust import icon_array_figure, reliability_figure, threshold_figure

__all__ = [
    "SPLIT_LABELS",
    "accuracy_curves",
    "add_caption",
    "auc_curves",
    "class_balance",
    "confusion_figure",
    "epoch_marker_figure",
    "format_short",
    "icon_array_figure",
    "interval_dots",
    "loss_curves",
    "make_html_page",
    "network_diagram",
    "operating_points",
    "overlaid_curves",
    "parallel_settings",
    "patch_table",
    "patients_figure",
    "pooling_row",
    "precision_recall_figure",
    "products_row",
    "reliability_figure",
    "result_table",
    "roc_figure",
    "threshold_figure",
]
