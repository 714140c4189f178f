"""The third journey, on real scans: audit and clean, refuse and correct, abstain, move the threshold."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tests.browser.actions import choose, click, see, see_verdict, settled, until
from xrai.core.paths import PROJECT_DIR
from xrai.data.dataset import open_dataset
from xrai.models.checkpoint import Checkpoint
from xrai.reading.reader import Reader
from xrai.scans import read_scan

pytestmark = pytest.mark.browser


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
    subprocess.run(
        [sys.executable, "-m", "xrai", "build", str(folder), out],
        cwd=PROJECT_DIR,
        env=environment,
        check=True,
        capture_output=True,
    )


def check_and_clean_it(server, page):
    page.goto(server.url("dataset"))
    see(page, "Not checked yet")
    settled(page)
    page.get_by_text("Check", exact=True).first.click()
    click(page, "Check this dataset")
    see(page, "Identical files across splits")
    see(page, "Near duplicates across splits")
    settled(page)
    click(page, "Make the cleaned copy")
    until((server.home / "data" / "contaminated-clean.hdf5").is_file)
    see(page, "contaminated-clean")
    with open_dataset(server.home / "data" / "contaminated-clean.hdf5") as cleaned:
        assert len(cleaned) == 60
        assert cleaned.leaks()["test"].scans == 0


def refuse_and_mend(server, page, real_data, films):
    photo = next((real_data / "samples" / "not_frontal_chest" / "photos").glob("kodim*.png"))
    film = sorted((films / "test" / "PNEUMONIA").iterdir())[5]
    turned = server.home / "turned.png"
    with Image.open(film) as opened:
        opened.transpose(Image.Transpose.ROTATE_90).save(turned)
    page.goto(server.url(""))
    see(page, "Frontal chest X-rays")
    settled(page)
    page.locator("input[type=file]").set_input_files([str(photo), str(turned)])
    see(page, f"{photo.name}.* was not read|was not read. The picture is in colour")
    see(page, r"was not read\. The picture looks like a chest X-ray that is not upright")
    click(page, "Correct and read: turned 90° right")
    see(page, "Correction applied before reading, as you chose: turned 90° right")
    see_verdict(page)


def doubt_and_move_the_threshold(server, page, films):
    reader = Reader.open(Checkpoint(server.home / "checkpoints" / "pneumonia"))
    normal = sorted((films / "test" / "NORMAL").iterdir())
    readings = {file: reader.read(read_scan(file)) for file in normal[:60]}
    doubtful = next(file for file, reading in readings.items() if not reading.is_confident)
    page.goto(server.url(""))
    see(page, "Frontal chest X-rays")
    settled(page)
    page.locator("input[type=file]").set_input_files(str(doubtful))
    page.get_by_role("heading", name="Uncertain: radiologist review needed").wait_for()
    see(page, r"Positive at 50 % or above")
    page.goto(server.url("evaluate"))
    settled(page)
    choose(page, "Dataset", "contaminated-clean")
    click(page, "Measure")
    see(page, "Choice of the decision threshold")
    settled(page)
    page.get_by_text("Fixed threshold").click()
    settled(page)
    slider = page.get_by_role("slider", name=re.compile("Decision threshold for"))
    slider.focus()
    for _ in range(10):
        slider.press("ArrowLeft")
    settled(page)
    click(page, "Use this to read scans")
    see(page, "In use")
    until(lambda: Checkpoint(server.home / "checkpoints" / "pneumonia").read_card().threshold_value == 0.4)
    page.get_by_role("link", name="Diagnose").click()
    see(page, "Frontal chest X-rays")
    settled(page)
    page.locator("input[type=file]").set_input_files(str(doubtful))
    see(page, r"Positive at 40 % or above")
