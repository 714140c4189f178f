"""The second journey, on the COVID set: train, train again, compare, evaluate."""

import shutil

import pytest

from tests.browser.actions import choose, click, name_the_model, see, set_number, settled
from xrai.core.paths import PROJECT_DIR

pytestmark = pytest.mark.browser


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
    see(page, "Preset")
    settled(page)
    page.get_by_text("Fine-tune one of your models").click()
    see(page, "Starts from the weights of")
    set_number(page, "Image size", 64)
    set_number(page, "Epochs", 2)
    page.get_by_text("All settings").click()
    set_number(page, "Freeze epochs", 1)
    set_number(page, "Dropout", 0.1)
    name_the_model(page, "first")
    click(page, "Start training")
    see(page, r"is ready: accuracy|may be no better")
    see(page, "only the last layer learns")


def train_again_with_other_settings(page):
    click(page, "Run again with other settings")
    see(page, "Settings of")
    settled(page)
    page.get_by_text("All settings").click()
    set_number(page, "Dropout", 0.5)
    name_the_model(page, "second")
    click(page, "Start training")
    page.get_by_role("heading", name="second").wait_for()
    see(page, r"is ready: accuracy|may be no better")


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
    see(page, "has the highest validation AUC|have the same highest validation AUC")
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 1280, "height": 3200})  # tables draw their cells when they come into view
    page.get_by_text("Dropout", exact=True).first.wait_for(state="attached")


def measure_one_and_open_a_cell(server, page):
    page.goto(server.url("evaluate"))
    settled(page)
    choose(page, "Model", "first")
    see(page, "has not been measured yet")
    click(page, "Measure")
    see(page, "Confusion matrix")
    settled(page)
    matrix = page.locator(".js-plotly-plot", has_text="Predicted class").first
    matrix.scroll_into_view_if_needed()
    cell = page.get_by_role("combobox", name="Cell")
    before = cell.input_value()
    area = matrix.locator(".bglayer, .plot").first.bounding_box()
    for column, row in ((0, 0), (1, 1), (2, 2)):  # right answers: one of them is not the cell that is open
        page.mouse.click(area["x"] + area["width"] * (column + 0.5) / 3, area["y"] + area["height"] * (row + 0.5) / 3)
        settled(page)
        if cell.input_value() != before:
            break
    assert "correct" in cell.input_value()
    assert page.locator("[data-testid=stImage] img").count() >= 2
    see(page, "true class|true and predicted class")
