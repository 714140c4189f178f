"""How fast the manual answers, in a real Chromium: from the key or click to the changed page.

    python benchmarks/manual.py [--turns 15] [--json]

The baseline, in the same run, is the least that Streamlit can do: a fragment with one slider and one line of text. What
a chapter takes beyond that is its own; what is aimed at is 200 ms. Chapter 4 looks into the shipped pneumonia model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from playwright.sync_api import Locator, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.serving import PROJECT, run_server

BASELINE_SCRIPT = """
import streamlit as st

@st.fragment
def part():
    st.markdown(f"Value {st.slider('Value', 0, 100, 50)}")

st.title("Least")
part()
"""

WATCH_SCRIPT = """([selector, event]) => {
  const read = () => [...document.querySelectorAll(selector)].map(e => e.src || e.innerText).join("|")
  const before = read()
  window.took = null
  document.addEventListener(event, () => { window.began = performance.now() }, { once: true, capture: true })
  const look = () => {
    if (read() !== before && window.began) window.took = performance.now() - window.began
    else requestAnimationFrame(look)
  }
  window.began = null
  requestAnimationFrame(look)
}"""

PICTURES, TEXTS, ALERTS, FORMULAS = (
    "[data-testid=stImage] img",
    "[data-testid=stMarkdown] p",
    "[data-testid=stAlert]",
    ".katex",
)


@dataclass(frozen=True)
class Interaction:
    """Something that a reader does.

    Attributes:
        what: in words.
        chapter: of the manual; none for the baseline.
        act: does it, given the page and the number of the turn.
        changes: a selector of what the server changes.
        event: the browser's, from which time runs.
    """

    what: str
    chapter: str
    act: Callable[[Page, int], None]
    changes: str
    event: str = "keydown"

    @property
    def path(self) -> str:
        """Of the page."""
        return f"manual?chapter={self.chapter}" if self.chapter else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = measure(Path(scratch), options.quarter_turns)
    if options.json:
        print(json.dumps(results, indent=1))
        return
    for row in results:
        print(f"{row['what']:58} {row['median']:5.0f} ms  (slowest {row['slowest']:5.0f})  {row['ratio']:5.2f} ×")


def measure(scratch: Path, turns: int) -> list[dict[str, object]]:
    """A row for each interaction, the baseline first."""
    (scratch / "least.py").write_text(BASELINE_SCRIPT)
    shutil.copytree(PROJECT / "checkpoints" / "pneumonia", scratch / "home" / "checkpoints" / "pneumonia")
    rows: list[dict[str, object]] = []
    with (
        sync_playwright() as playwright,
        run_server(scratch / "least.py", scratch) as baseline_url,
        run_server(PROJECT / "streamlit_app.py", scratch / "home") as app_url,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1600}, locale="en-GB")
        page.set_default_timeout(60_000)
        for number, interaction in enumerate(INTERACTIONS):
            page.goto((baseline_url if number == 0 else app_url) + interaction.path)
            page.locator("h1").wait_for()
            times = sorted(_time_turns(page, interaction, turns))
            row = {"what": interaction.what, "median": median(times), "slowest": times[-1]}
            rows.append(row | {"ratio": row["median"] / (rows[0]["median"] if rows else row["median"])})  # type: ignore[operator]
            print(".", end="", file=sys.stderr, flush=True)
        browser.close()
    return rows


def _time_turns(page: Page, interaction: Interaction, turns: int) -> Iterator[float]:
    """Milliseconds of each turn; two before them warm everything up."""
    for turn in range(turns + 2):
        _settle(page)
        page.evaluate(WATCH_SCRIPT, [interaction.changes, interaction.event])
        interaction.act(page, turn)
        page.wait_for_function("window.took !== null")
        if turn >= 2:
            yield page.evaluate("window.took")


def _settle(page: Page) -> None:
    page.wait_for_timeout(400)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.wait_for_timeout(300)


# ---------------------------------------------------------------- what readers do


def _press_key(find: Callable[[Page], Locator], *keys: str) -> Callable[[Page, int], None]:
    """Press one key after another, a turn each."""

    def act(page: Page, turn: int) -> None:
        element = find(page)
        element.focus()
        element.press(keys[turn % len(keys)])

    return act


def _move_slider(name: str, *keys: str) -> Callable[[Page, int], None]:
    return _press_key(lambda page: page.get_by_role("slider", name=name).first, *(keys or ("ArrowRight", "ArrowLeft")))


def _choose_option(*names: str) -> Callable[[Page, int], None]:
    return lambda page, turn: page.get_by_role("radio", name=names[turn % len(names)], exact=True).click()


CLICK = "pointerdown"

INTERACTIONS = (
    Interaction("a slider and a line of text: the baseline", "", _move_slider("Value"), TEXTS),
    Interaction(
        "1 Convolution: a number of the filter, the scan filtered",
        "convolution",
        _press_key(lambda page: page.get_by_label("Row 2, column 2"), "ArrowUp"),
        PICTURES,
    ),
    Interaction(
        "1 Convolution: the next step",
        "convolution",
        lambda page, turn: page.get_by_role("button", name="Next step").click(),
        TEXTS,
        CLICK,
    ),
    Interaction("2 Pooling: once more", "pooling", _choose_option("2 ×", "3 ×"), PICTURES, CLICK),
    Interaction("3 Layers: a value through the activation", "layers", _move_slider("Value"), FORMULAS),
    Interaction("3 Layers: a weight", "layers", _move_slider("Weight of the lung on the left"), FORMULAS),
    Interaction("4 Your model: another first filter", "model", _move_slider("Filter"), PICTURES),
    Interaction("4 Your model: the sum of more maps", "model", _move_slider("Sum of the first k maps"), PICTURES),
    Interaction("5 Your run: another textbook run", "run", _choose_option("Underfits", "Overfits"), TEXTS, CLICK),
    Interaction(
        "6 Try yourself: the threshold", "exercises", _move_slider("Called pneumonia from", "Home", "End"), ALERTS
    ),
)


if __name__ == "__main__":
    main()
