"""Evaluate."""

from pages.shared.page import head

head("Evaluate", "Being built.")
