"""The main journeys in a real Chromium against a real server: build, train and watch, stop, resume, diagnose."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.actions import PATIENCE, click, drawing, see, see_verdict, settled, until
from xrai.core import jobs
from xrai.core.paths import PROJECT_DIR

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("dataset", "Where are the scans"),
        ("diagnose", "Build a dataset, then train"),
        ("manual", "Your filter on the scan"),
    ],
)
def test_a_deep_link_on_a_fresh_server_opens_its_page(server, page, path, words):
    page.goto(server.url(path))
    see(page, words)
    settled(page)
    assert page.get_by_text("Page not found").count() == 0


def test_the_main_journey(server, page, chromium, tmp_path):
    build_the_practice_set(server, page)
    start_a_training(page)
    a_second_tab_sees_the_run(server, chromium)
    the_run_outlives_the_server(server, page)
    stop_and_go_on(page)
    diagnose(server, page, tmp_path)


def build_the_practice_set(server, page):
    page.goto(server.url("dataset"))
    see(page, "Contents")
    click(page, "Build the dataset")
    see(page, "Stored size")
    assert (server.home / "data" / "practice.hdf5").is_file()


def start_a_training(page):
    page.get_by_role("link", name="Train a model on it").click()
    see(page, "Preset")
    settled(page)
    page.get_by_role("spinbutton", name="Epochs").fill("40")
    page.get_by_role("spinbutton", name="Epochs").press("Tab")
    click(page, "Start training")
    page.locator(".scatterlayer path.js-line, .scatterlayer .point").first.wait_for(state="attached")
    see(page, r"images a second")


def a_second_tab_sees_the_run(server, chromium):
    second = chromium.new_page()
    second.set_default_timeout(PATIENCE)
    second.goto(server.url("train"))
    see(second, r"images a second")
    second.close()


def the_run_outlives_the_server(server, page):
    server.stop()
    server.start()
    page.goto(server.url("train"))
    see(page, "Best epoch")


def stop_and_go_on(page):
    click(page, "Stop")
    see(page, "Stopped$")
    click(page, "Resume training")
    see(page, r"images a second")
    click(page, "Stop")
    see(page, r"is ready: accuracy")
    with page.expect_download() as download:
        click(page, "History (CSV)")
    assert "val_auc_low" in Path(download.value.path()).read_text()
    with page.expect_download() as download:
        click(page, "Charts (HTML)")
    assert Path(download.value.path()).read_text().count("Plotly.newPlot(") == 3


def diagnose(server, page, tmp_path):
    """One drawing and one file that is no scan."""
    page.goto(server.url(""))
    see(page, "Upload one or more chest X-rays")
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear colleague")
    page.locator("input[type=file]").set_input_files([str(drawing(tmp_path / "film.png")), str(bad)])
    see_verdict(page)
    see(page, "Evidence for")
    see(page, r"was not read\. The file is text")  # the table has the reason too, in a hidden cell
    assert page.locator("[data-testid=stImage] img").count() >= 2
    with page.expect_download() as download:
        click(page, "Save this result (PNG)")
    with Image.open(download.value.path()) as card:
        assert (card.format, card.width) == ("PNG", 1400)
    with page.expect_download() as download:
        click(page, "Save this table (CSV)")
    assert "not read" in Path(download.value.path()).read_text(encoding="utf-8-sig")


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_killed_run_is_shown_as_interrupted_and_goes_on(server, page):
    environment = os.environ | {"XRAI_HOME": str(server.home)}
    call = [sys.executable, "-m", "xrai"]
    subprocess.run(
        [*call, "build", "phantoms", str(server.home / "data" / "practice.hdf5"), "--size", "64"],
        cwd=PROJECT_DIR,
        env=environment,
        check=True,
        capture_output=True,
    )
    small = ["--network", "convnet", "--image-size", "32", "--blocks", "2", "--epochs", "900"]
    arguments = ["train", "practice", "--name", "night", *small]
    run = subprocess.Popen([*call, *arguments], cwd=PROJECT_DIR, env=environment, stderr=subprocess.DEVNULL)
    job = jobs.Job(server.home / "checkpoints" / "night")
    until(lambda: any(record["kind"] == "epoch" for record in job.records()))
    page.goto(server.url("train"))
    see(page, "Best epoch")
    run.send_signal(signal.SIGKILL)
    run.wait()
    see(page, "The run was interrupted")
    click(page, "Resume training")
    see(page, r"images a second")
    click(page, "Stop")
    see(page, r"is ready: accuracy")
