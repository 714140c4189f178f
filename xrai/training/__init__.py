"""Training: one run, its records as it goes, and the model it leaves."""
