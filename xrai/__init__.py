"""XRAI's engine: from folders of chest X-rays to a dataset, a model and a reading. No Streamlit in here."""

__version__ = "0.4.0"
