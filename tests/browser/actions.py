"""What the browser tests do on a page: wait, click, choose, type."""

import re
import time
from pathlib import Path

import numpy as np
from PIL import Image

from xrai.scans.phantoms import draw_thorax

PATIENCE = 600_000
"""Milliseconds that a busy machine may take for anything."""


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


def see_verdict(page) -> None:
    """The headline of a reading; the glossary and the table have its words too, where nobody sees them."""
    words = re.compile("No sign of|Probable|Probably|Suspicious|Uncertain|Positive by threshold")
    page.get_by_role("heading", name=words).wait_for()


def until(holds) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def drawing(file: Path, seed: int = 5) -> Path:
    Image.fromarray(draw_thorax(np.random.default_rng(seed), opacity=True, size=256)).save(file)
    return file


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
