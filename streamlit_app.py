"""The entry script: page configuration and navigation. Start it with `streamlit run streamlit_app.py`."""

from pathlib import Path

import streamlit as st
from starlette.formparsers import MultiPartParser
from streamlit.navigation.page import StreamlitPage

from pages.shared.language import show_language_switch
from xrai.core.language import tr

HERE = Path(__file__).parent

# uploads stay in memory: the web server would write everything above 1 MB to a temporary file
MultiPartParser.spool_max_size = 2**40

st.set_page_config(page_title="XRAI", page_icon=str(HERE / "pages/shared/icon.png"), layout="wide")
st.logo(str(HERE / "pages/shared/logo.svg"), size="large", icon_image=str(HERE / "pages/shared/icon.png"))


def page_of(folder: str, title: str, icon: str, **more: object) -> StreamlitPage:
    """The page in a folder below `pages/`; its address is the folder's name unless `more` says otherwise."""
    options = {"url_path": Path(folder).name} | more
    return st.Page(f"pages/{folder}/page.py", title=title, icon=f":material/{icon}:", **options)  # pyright: ignore[reportArgumentType]


diagnose = page_of("clinic/diagnose", tr("Diagnose"), "stethoscope", url_path="start", default=True)


def redirect_to_diagnose() -> None:
    """The default page answers to the bare address only: a visitor of /diagnose is sent there."""
    st.switch_page(diagnose)


page = st.navigation(
    {
        tr("Clinic"): [
            diagnose,
            st.Page(redirect_to_diagnose, title="diagnose", url_path="diagnose", visibility="hidden"),
        ],
        tr("Lab"): [
            page_of("lab/dataset", tr("Dataset"), "folder_open"),
            page_of("lab/train", tr("Train"), "model_training"),
            page_of("lab/evaluate", tr("Evaluate"), "fact_check"),
            page_of("lab/models", tr("Models"), "inventory_2"),
        ],
        tr("Learn"): [page_of("learn/manual", tr("Manual"), "menu_book")],
    }
)
show_language_switch()  # behind the navigation: before it, a deep link on a fresh server gives the widget another identity
page.run()
