"""Make the README's pictures from the real app: build the practice set, train on it, compare, measure, read a drawing.

python docs/screenshots.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.serving import PROJECT, run_server
from xrai.scans.phantoms import draw_thorax
from xrai.training.config import PRESETS, TrainConfig


def main() -> None:
    """Write `docs/images/*.png`."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"XRAI_HOME": home}
        for command in (
            "build phantoms data/practice.hdf5",
            "audit practice",
            f"train practice --name small --learning-rate 0.003 {_quick_arguments(blocks=3, epochs=15)}",
            f"train practice --name practice {_quick_arguments()}",
            "evaluate practice practice",
        ):
            arguments = command.replace("data/", f"{home}/data/").split()
            subprocess.run([sys.executable, "-m", "xrai", *arguments], cwd=PROJECT, env=environment, check=True)
        with run_server(PROJECT / "streamlit_app.py", Path(home)) as address:
            _take_screenshots(Path(home), address)


def _quick_arguments(**overrides: Any) -> str:
    return " ".join(TrainConfig(**PRESETS["Quick look"] | overrides).to_arguments())


def _take_screenshots(home: Path, address: str) -> None:
    phantom_file = home / "drawing.png"
    Image.fromarray(draw_thorax(np.random.default_rng(9), opacity=True, size=512)).save(phantom_file)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1420})
        _open(page, address)
        page.locator("input[type=file]").set_input_files(str(phantom_file))
        page.get_by_text("Evidence for Opacity", exact=True).first.wait_for()
        _save(page, "diagnose")
        _open(page, address + "dataset")
        _save(page, "dataset")
        page.get_by_text("Check", exact=True).first.click()
        page.get_by_text("A cleaned copy").wait_for()
        _save(page, "check")
        _open(page, address + "train")
        page.get_by_text("Watch a run").click()
        page.locator(".js-plotly-plot").nth(2).wait_for()
        _save(page, "train")
        page.set_viewport_size({"width": 1280, "height": 2000})
        _open(page, address + "evaluate")
        page.locator(".js-plotly-plot").nth(2).wait_for()
        page.wait_for_timeout(8000)  # the heatmaps of the open cell
        _save(page, "evaluate")
        page.set_viewport_size({"width": 1280, "height": 1420})
        _open(page, address + "models")
        for name in ("small", "practice"):
            page.get_by_role("combobox", name="Chosen").fill(name)
            page.get_by_role("option", name=name).first.click()
            page.wait_for_timeout(1500)
        page.keyboard.press("Escape")
        page.locator(".js-plotly-plot").nth(3).wait_for()
        _save(page, "models")
        _open(page, address + "manual")
        page.get_by_text("Your filter on the scan").wait_for()
        _save(page, "manual")
        french = browser.new_page(viewport={"width": 1280, "height": 1420}, locale="fr-FR")
        _open(french, address + "manual?chapter=model")
        french.locator("img").nth(5).wait_for()
        _save(french, "manual-fr")
        browser.close()


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("h1").wait_for()
    page.wait_for_timeout(2000)


def _save(page: Page, name: str) -> None:
    page.wait_for_timeout(2500)
    folder = PROJECT / "docs" / "images"
    folder.mkdir(exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


if __name__ == "__main__":
    main()
