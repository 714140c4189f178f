"""A deep link on a fresh server: Streamlit looks here for a page of that name before it knows the front door's."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).resolve().parent.parent / "streamlit_app.py"))
