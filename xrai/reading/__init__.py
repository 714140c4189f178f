"""Reading: inference on one scan, its result and heatmaps, and the result card."""
