"""Evaluation: measuring a model on a split, the classification report, and stored results."""
