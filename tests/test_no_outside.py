"""The app asks nobody outside for this machine's address."""

import socket

import streamlit.net_util
from streamlit.testing.v1 import AppTest

from xrai.core.paths import PROJECT_DIR


def test_the_outside_address_is_not_looked_up(home, monkeypatch):
    monkeypatch.setattr(streamlit.net_util, "get_external_ip", streamlit.net_util.get_external_ip)  # restored after
    AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600).run()

    def refuse(*_):
        raise AssertionError("a look-up of a name outside")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert streamlit.net_util.get_external_ip() is None
