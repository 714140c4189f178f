"""Reading: a scan with a model, its diagnosis and heatmap, and the result card."""
