"""The front door: page config and navigation, nothing else. Start it with `streamlit run streamlit_app.py`."""

from pathlib import Path

import streamlit as st
from starlette.formparsers import MultiPartParser

from pages.shared.language import switch
from xrai.language import tr

HERE = Path(__file__).parent

# what is uploaded stays in memory: the web server would put all above 1 MB into a temporary file
MultiPartParser.spool_max_size = 2**40

st.set_page_config(page_title="XRAI", page_icon=str(HERE / "pages/shared/icon.png"), layout="wide")
st.logo(str(HERE / "pages/shared/logo.svg"), size="large", icon_image=str(HERE / "pages/shared/icon.png"))

diagnose = st.Page(
    "pages/clinic/diagnose.py", title=tr("Diagnose"), icon=":material/stethoscope:", url_path="start", default=True
)


def to_diagnose() -> None:
    """The default page answers to the bare address only: who goes to /diagnose is sent there."""
    st.switch_page(diagnose)


page = st.navigation(
    {
        tr("Clinic"): [diagnose, st.Page(to_diagnose, title="diagnose", url_path="diagnose", visibility="hidden")],
        tr("Lab"): [
            st.Page("pages/lab/dataset.py", title=tr("Dataset"), icon=":material/folder_open:", url_path="dataset"),
            st.Page("pages/lab/train.py", title=tr("Train"), icon=":material/model_training:", url_path="train"),
            st.Page("pages/lab/evaluate.py", title=tr("Evaluate"), icon=":material/fact_check:", url_path="evaluate"),
            st.Page("pages/lab/models.py", title=tr("Models"), icon=":material/inventory_2:", url_path="models"),
        ],
        tr("Learn"): [
            st.Page("pages/learn/manual.py", title=tr("Manual"), icon=":material/menu_book:", url_path="manual"),
        ],
    }
)  # fmt: skip
switch()  # behind the navigation: before it, a deep link on a fresh server gives the widget another identity
page.run()
