"""Models."""

from pages.shared.page import head

head("Models", "Being built.")
