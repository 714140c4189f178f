"""Fixtures of the browser tests: a server of its own, Chromium, and a page."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.browser.actions import PATIENCE
from xrai.core import jobs
from xrai.core.paths import PROJECT_DIR

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


class Server:
    """`streamlit run streamlit_app.py` with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
        options = ["--server.headless", "true", "--server.port", str(self.port)]
        self.log = (self.home.parent / "server.log").open("ab")
        self.process = subprocess.Popen(
            command + options,
            cwd=PROJECT_DIR,
            env=os.environ | {"XRAI_HOME": str(self.home)},
            stdout=self.log,
            stderr=self.log,
        )
        for _ in range(3000):
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url("_stcore/health"), timeout=1) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.2)
        raise AssertionError("the server did not start: " + (self.home.parent / "server.log").read_text())

    def stop(self) -> None:
        assert self.process
        self.process.terminate()
        self.process.wait(600)
        self.log.close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path / "home")
    running.home.mkdir()
    running.start()
    yield running
    running.stop()
    for job in jobs.list_active(running.home / "checkpoints"):  # a failed test must not leave a training behind
        job.stop()


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "CI must run the browser journeys: install chromium"
        pytest.skip("no Chromium here: install it to run the browser journeys")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    opened = chromium.new_page(viewport={"width": 1280, "height": 1600})
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()
