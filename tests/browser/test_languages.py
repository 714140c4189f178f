"""The dashboard in two languages in a real browser."""

from typing import Any

import pytest

from tests.browser.actions import PATIENCE, see, settled, speak, until

pytestmark = pytest.mark.browser


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
