"""The main journeys in a real Chromium against a real server: build, train and watch, stop, resume, diagnose."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xrai.core import jobs
from xrai.core.paths import PROJECT_DIR
from xrai.data.dataset import open_dataset
from xrai.models.checkpoint import Checkpoint
from xrai.reading.reader import Reader
from xrai.scans import read_scan
from xrai.scans.phantoms import draw_thorax

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 120_000
"""Milliseconds that a busy machine may take for anything."""

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
            command + options, cwd=PROJECT_DIR, env=os.environ | {"XRAI_HOME": str(self.home)},
            stdout=self.log, stderr=self.log,
        )  # fmt: skip
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url("_stcore/health"), timeout=1) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.2)
        raise AssertionError("the server did not start: " + (self.home.parent / "server.log").read_text())

    def stop(self) -> None:
        assert self.process
        self.process.terminate()
        self.process.wait(30)
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


def settled(page) -> None:
    """Until the script has run to its end."""
    page.wait_for_timeout(400)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def click(page, name: str) -> None:
    settled(page)
    page.get_by_role("button", name=name, exact=False).first.click()


def see(page, text: str):
    found = page.get_by_text(re.compile(text)).first
    found.wait_for()
    return found


def until(holds) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def drawing(file: Path, seed: int = 5) -> Path:
    Image.fromarray(draw_thorax(np.random.default_rng(seed), opacity=True, size=256)).save(file)
    return file


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
    see(page, "What was found")
    click(page, "Build the dataset")
    see(page, "Stored size")
    assert (server.home / "data" / "practice.hdf5").is_file()


def start_a_training(page):
    page.get_by_role("link", name="Train a model on it").click()
    see(page, "What kind of training")
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
    click(page, "Go on training")
    see(page, r"images a second")
    click(page, "Stop")
    see(page, r"is ready: on")
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
    words = re.compile(r"looks like|is probably|Not sure|Called")  # the table has them too, in hidden cells
    page.get_by_role("heading", name=words).wait_for()
    see(page, "What speaks for")
    see(page, r"was not read\. The file is text")  # the table has the reason too, in a hidden cell
    assert page.locator("[data-testid=stImage] img").count() >= 2
    with page.expect_download() as download:
        click(page, "Save this result (PNG)")
    with Image.open(download.value.path()) as card:
        assert (card.format, card.width) == ("PNG", 1400)
    with page.expect_download() as download:
        click(page, "Save this table (CSV)")
    assert "not read" in Path(download.value.path()).read_text(encoding="utf-8-sig")


@pytest.mark.real
def test_the_second_journey(server, page, real_data):
    """The COVID set, a run from the model in the box, another, the two compared, and one of them measured."""
    shutil.copytree(PROJECT_DIR / "checkpoints" / "pneumonia", server.home / "checkpoints" / "pneumonia")
    (server.home / "data").mkdir(exist_ok=True)
    (server.home / "data" / "settings.toml").write_text(
        f"source_roots = ['{real_data / 'datasets'}']", encoding="utf-8"
    )
    build_the_covid_set(server, page)
    train_from_the_model_in_the_box(server, page)
    train_again_with_other_settings(page)
    compare_both(server, page)
    measure_one_and_open_a_cell(server, page)


def build_the_covid_set(server, page):
    page.goto(server.url("dataset"))
    settled(page)
    page.get_by_text("A folder or zip on this computer").click()
    choose(page, "Folder or zip", "covid19")
    see(page, "Examples of Viral Pneumonia")  # the table has the name too, in cells that are never visible
    click(page, "Build the dataset")
    see(page, "Stored size")
    assert (server.home / "data" / "covid19.hdf5").is_file()


def train_from_the_model_in_the_box(server, page):
    page.goto(server.url("train"))
    see(page, "What kind of training")
    settled(page)
    page.get_by_text("From one of your models").click()
    see(page, "It takes over what")
    set_number(page, "Image size", 64)
    set_number(page, "Epochs", 2)
    page.get_by_text("All settings").click()
    set_number(page, "Epochs of last layer alone", 1)
    set_number(page, "Dropout", 0.1)
    name_the_model(page, "first")
    click(page, "Start training")
    see(page, r"is ready: on|may be no better")
    see(page, "only the last layer learns")


def train_again_with_other_settings(page):
    click(page, "Run again with other settings")
    see(page, "The settings below are those of")
    settled(page)
    page.get_by_text("All settings").click()
    set_number(page, "Dropout", 0.5)
    name_the_model(page, "second")
    click(page, "Start training")
    page.get_by_role("heading", name="second").wait_for()
    see(page, r"is ready: on|may be no better")


def compare_both(server, page):
    page.goto(server.url("models"))
    see(page, "Chosen")
    for name in ("first", "second"):
        settled(page)
        box = page.get_by_role("combobox", name="Chosen")
        box.fill(name)
        page.get_by_role("option", name=name).first.click()
    settled(page)
    page.locator(".js-plotly-plot").nth(2).wait_for()
    see(page, "has the highest validation AUC|have the same validation AUC|intervals overlap|intervals do not overlap")
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 1280, "height": 3200})  # tables draw their cells when they come into view
    page.get_by_text("Dropout", exact=True).first.wait_for(state="attached")


def measure_one_and_open_a_cell(server, page):
    page.goto(server.url("evaluate"))
    settled(page)
    choose(page, "Model", "first")
    see(page, "has not been measured yet")
    click(page, "Measure")
    see(page, "What was called what")
    settled(page)
    matrix = page.locator(".js-plotly-plot", has_text="Called by the model").first
    matrix.scroll_into_view_if_needed()
    cell = page.get_by_role("combobox", name="Cell")
    before = cell.input_value()
    area = matrix.locator(".bglayer, .plot").first.bounding_box()
    for column, row in ((0, 0), (1, 1), (2, 2)):  # right answers: one of them is not the cell that is open
        page.mouse.click(area["x"] + area["width"] * (column + 0.5) / 3, area["y"] + area["height"] * (row + 0.5) / 3)
        settled(page)
        if cell.input_value() != before:
            break
    assert "called right" in cell.input_value()
    assert page.locator("[data-testid=stImage] img").count() >= 2
    see(page, r"the truth")


def test_the_third_journey(server, page, real_data):
    """A contaminated set checked and cleaned; a photo refused, a turned film mended, a doubtful one not sure; and the
    threshold moved, which Diagnose follows.
    """
    shutil.copytree(PROJECT_DIR / "checkpoints" / "pneumonia", server.home / "checkpoints" / "pneumonia")
    films = real_data / "datasets" / "chest_xray"
    build_a_contaminated_set(server, films)
    check_and_clean_it(server, page)
    refuse_and_mend(server, page, real_data, films)
    doubt_and_move_the_threshold(server, page, films)


def build_a_contaminated_set(server, films):
    """Sixty films, of which three stand in training and in test, one of these smaller and encoded again."""
    folder = server.home / "data" / "inbox" / "contaminated"
    for split, n in (("train", 20), ("test", 10)):
        for name in ("NORMAL", "PNEUMONIA"):
            (folder / split / name).mkdir(parents=True)
            for file in sorted((films / split / name).iterdir())[::7][:n]:
                shutil.copy(file, folder / split / name / file.name)
    for number, file in enumerate(sorted((folder / "train" / "PNEUMONIA").iterdir())[:2]):
        shutil.copy(file, folder / "test" / "PNEUMONIA" / f"copy{number}.jpeg")
    first = sorted((folder / "train" / "NORMAL").iterdir())[0]
    with Image.open(first) as opened:
        opened.resize((180, 180)).save(folder / "test" / "NORMAL" / "smaller.jpeg", quality=60)
    environment = os.environ | {"XRAI_HOME": str(server.home)}
    out = str(server.home / "data" / "contaminated.hdf5")
    subprocess.run([sys.executable, "-m", "xrai", "build", str(folder), out], cwd=PROJECT_DIR, env=environment, check=True,
                   capture_output=True)  # fmt: skip


def check_and_clean_it(server, page):
    page.goto(server.url("dataset"))
    see(page, "Not checked yet")
    settled(page)
    page.get_by_text("Check", exact=True).first.click()
    click(page, "Check this dataset")
    see(page, "Equal files across splits")
    see(page, "Near copies across splits")
    settled(page)
    click(page, "Make the cleaned copy")
    until((server.home / "data" / "contaminated-clean.hdf5").is_file)
    see(page, "contaminated-clean")
    with open_dataset(server.home / "data" / "contaminated-clean.hdf5") as cleaned:
        assert len(cleaned) == 60
        assert cleaned.leaks()["test"]["scans"] == 0


def refuse_and_mend(server, page, real_data, films):
    photo = next((real_data / "samples" / "not_frontal_chest" / "photos").glob("kodim*.png"))
    film = sorted((films / "test" / "PNEUMONIA").iterdir())[5]
    turned = server.home / "turned.png"
    with Image.open(film) as opened:
        opened.transpose(Image.Transpose.ROTATE_90).save(turned)
    page.goto(server.url(""))
    see(page, "Chest X-rays, seen from the front")
    settled(page)
    page.locator("input[type=file]").set_input_files([str(photo), str(turned)])
    see(page, f"{photo.name}.* was not read|was not read. The picture is in colour")
    see(page, r"was not read\. The picture looks like a chest X-ray that is not upright")
    click(page, "Read it turned 90° right")
    see(page, "was read turned 90° right, as you chose")
    see(page, "No sign of|Probably no sign|This looks like|This is probably|Uncertain")


def doubt_and_move_the_threshold(server, page, films):
    reader = Reader.open(Checkpoint(server.home / "checkpoints" / "pneumonia"))
    normal = sorted((films / "test" / "NORMAL").iterdir())
    readings = {file: reader.read(read_scan(file)) for file in normal[:60]}
    doubtful = next(file for file, reading in readings.items() if not reading.is_confident)
    page.goto(server.url(""))
    see(page, "Chest X-rays, seen from the front")
    settled(page)
    page.locator("input[type=file]").set_input_files(str(doubtful))
    page.get_by_role("heading", name="Uncertain: radiologist review needed").wait_for()
    see(page, r"Positive at 50 % or above")
    page.goto(server.url("evaluate"))
    settled(page)
    choose(page, "Dataset", "contaminated-clean")
    click(page, "Measure")
    see(page, "From when on is it called Pneumonia")
    settled(page)
    page.get_by_text("A probability that you set").click()
    settled(page)
    slider = page.get_by_role("slider", name=re.compile("from this probability on"))
    slider.focus()
    for _ in range(10):
        slider.press("ArrowLeft")
    settled(page)
    click(page, "Use this for reading scans")
    see(page, "In force for reading scans")
    until(lambda: Checkpoint(server.home / "checkpoints" / "pneumonia").read_card().threshold_value == 0.4)
    page.get_by_role("link", name="Diagnose").click()
    see(page, "Chest X-rays, seen from the front")
    settled(page)
    page.locator("input[type=file]").set_input_files(str(doubtful))
    see(page, r"Positive at 40 % or above")


def choose(page, label: str, option: str) -> None:
    settled(page)
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option).first.click()
    settled(page)


def set_number(page, label: str, value: float) -> None:
    settled(page)
    box = page.get_by_role("spinbutton", name=label, exact=True)
    box.fill(str(value))
    box.press("Tab")
    settled(page)


def name_the_model(page, name: str) -> None:
    settled(page)
    box = page.get_by_role("textbox", name="Name of the model")
    box.fill(name)
    box.press("Tab")
    settled(page)


def speak(page, language: str) -> None:
    settled(page)
    page.get_by_role("radio", name=language).click()
    page.locator(f"html[lang={'fr' if language == 'Français' else 'en'}]").wait_for(state="attached")
    settled(page)


def test_an_edited_filter_changes_the_picture_in_both_languages(server, page):
    page.goto(server.url("manual"))
    see(page, "Sobel, left to right")
    settled(page)
    filtered = page.get_by_test_id("stImage").get_by_role("img").nth(1)  # the first is the scan
    before = filtered.get_attribute("src")
    middle = page.get_by_label("Row 2, column 2")
    middle.fill("5")
    middle.press("Enter")
    see(page, "Your own filter")
    until(lambda: filtered.get_attribute("src") != before)
    assert "add up to 5" in page.locator("body").inner_text()
    middle.fill("")
    middle.press("Enter")
    until(lambda: "add up to 0" in page.locator("body").inner_text())  # an emptied cell counts as 0, and shows so
    until(lambda: middle.input_value() == "0")
    middle.fill("5")
    middle.press("Enter")
    see(page, "add up to 5")
    speak(page, "Français")
    see(page, "Votre propre filtre")
    assert page.get_by_label("Ligne 2, colonne 2").input_value() == "5"  # the filter outlives the language
    assert page.get_by_role("heading", level=1).inner_text() == "Manuel"


def test_an_english_reader_sees_the_size_of_an_upload_with_its_unit(server, page):
    """It read “139.2undefined”: where nothing was to be told, the unit was looked up all the same."""
    page.goto(server.url("models"))
    settled(page)
    file: Any = {"name": "a.zip", "mimeType": "application/zip", "buffer": bytes(2000)}
    page.locator("input[type=file]").set_input_files([file])
    see(page, r"^2(\.0)?KB$")


def test_the_language_follows_the_browser_and_the_choice_stays(server, chromium):
    """A French browser sees French at first; who chooses English sees it at the next visit too."""
    visitor = chromium.new_context(locale="fr-FR", viewport={"width": 1280, "height": 1000})
    page = visitor.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(server.url("dataset"))
    page.get_by_role("heading", name="Jeu de données", level=1).wait_for()
    speak(page, "English")
    page.get_by_role("heading", name="Dataset", level=1).wait_for()
    page.goto(server.url("models"))
    page.get_by_role("heading", name="Models", level=1).wait_for()
    see(page, "^Upload$")
    speak(page, "Français")
    see(page, "^Parcourir$")  # one of Streamlit's own words
    page.reload()
    page.get_by_role("heading", name="Modèles", level=1).wait_for()
    visitor.close()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_killed_run_is_shown_as_interrupted_and_goes_on(server, page):
    environment = os.environ | {"XRAI_HOME": str(server.home)}
    call = [sys.executable, "-m", "xrai"]
    subprocess.run([*call, "build", "phantoms", str(server.home / "data" / "practice.hdf5"), "--size", "64"],
                   cwd=PROJECT_DIR, env=environment, check=True, capture_output=True)  # fmt: skip
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
    click(page, "Go on training")
    see(page, r"images a second")
    click(page, "Stop")
    see(page, r"is ready: on")
