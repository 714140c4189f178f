"""The entry script: page configuration and navigation. Start it with `streamlit run streamlit_app.py`."""

import os
from pathlib import Path

import streamlit as st
import streamlit.net_util
from starlette.formparsers import MultiPartParser
from streamlit.navigation.page import StreamlitPage

from pages.shared.language import show_language_switch
from pages.shared.navigation import DATASET, DIAGNOSE, EVALUATE, MANUAL, MODELS, TRAIN
from xrai.core.language import tr

HERE = Path(__file__).parent

# torch, which is loaded later, must not spin while it waits: a reading would take ten times as long beside a training
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# uploads stay in memory: the web server would write everything above 1 MB to a temporary file
MultiPartParser.spool_max_size = 2**40
# nothing leaves the machine: Streamlit would ask a server outside for this machine's address, and wait for the answer
streamlit.net_util.get_external_ip = lambda: None

st.set_page_config(page_title="XRAI", page_icon=str(HERE / "pages/shared/icon.png"), layout="wide")
st.logo(str(HERE / "pages/shared/logo.svg"), size="large", icon_image=str(HERE / "pages/shared/icon.png"))


def make_page(path: str, title: str, icon: str, **options: object) -> StreamlitPage:
    """A page of the navigation; its address is the name of its folder unless `url_path` is given."""
    options = {"url_path": Path(path).parent.name} | options
    return st.Page(path, title=title, icon=f":material/{icon}:", **options)  # pyright: ignore[reportArgumentType]


diagnose = make_page(DIAGNOSE, tr("Diagnose"), "stethoscope", url_path="start", default=True)


def redirect_to_diagnose() -> None:
    """Redirect /diagnose: the default page has only the bare address."""
    st.switch_page(diagnose)


page = st.navigation(
    {
        tr("Clinic"): [
            diagnose,
            st.Page(redirect_to_diagnose, title="diagnose", url_path="diagnose", visibility="hidden"),
        ],
        tr("Lab"): [
            make_page(DATASET, tr("Dataset"), "folder_open"),
            make_page(TRAIN, tr("Train"), "model_training"),
            make_page(EVALUATE, tr("Evaluate"), "fact_check"),
            make_page(MODELS, tr("Models"), "inventory_2"),
        ],
        tr("Learn"): [make_page(MANUAL, tr("Manual"), "menu_book")],
    }
)
# After the navigation: before it, a deep link on a fresh server gives the widget another identity.
show_language_switch()
page.run()
