"""The manual's sixth chapter: five questions answered by doing, in two languages."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.languages import find_untranslated, open_in_french, visible_texts
from xrai.core.language import use_language
from xrai.core.paths import PROJECT_DIR

MANUAL = "pages/learn/manual/page.py"


def chapter(app: AppTest) -> AppTest:
    app.session_state["manual_chapter"] = "exercises"
    app.run()
    app.switch_page(MANUAL).run()
    assert not app.exception
    return app


@pytest.fixture
def app(home):
    return chapter(AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600))


def solved(app: AppTest) -> int:
    return sum("Solved" in item.value for item in app.success)


def test_at_first_nothing_is_solved_and_each_question_says_what_to_try(app):
    assert solved(app) == 0
    assert len(app.info) == 5
    assert "becomes 100" in app.info[0].value


def test_an_edit_is_answered_at_once(app):
    app.number_input(key="manual_try_filter_1_1").set_value(0.0).run()
    assert "All zeros" in app.info[0].value
    app.number_input(key="manual_try_filter_1_1").set_value(8.0)
    for row in range(3):
        for column in range(3):
            if (row, column) != (1, 1):
                app.number_input(key=f"manual_try_filter_{row}_{column}").set_value(-1.0)
    app.run()
    assert solved(app) == 1
    assert "sum to 0" in app.success[0].value


def test_all_five_can_be_solved_and_that_is_said(app):
    app.number_input(key="manual_try_filter_0_0").set_value(-1.0)
    app.number_input(key="manual_try_window_0_0").set_value(0.0)
    app.number_input(key="manual_try_window_0_1").set_value(1.5)
    app.number_input(key="manual_try_window_1_0").set_value(5.0)
    app.number_input(key="manual_try_window_1_1").set_value(1.5)
    app.slider(key="manual_try_threshold").set_value(33)
    app.slider(key="manual_try_epoch").set_value(11)
    app.button_group(key="manual_try_stride").set_value(2)
    app.button_group(key="manual_try_padding").set_value(1)
    app.run()
    assert not app.exception
    assert solved(app) == 5
    assert "All 5 solved" in app.success[0].value


def test_what_was_solved_once_counts_after_another_try(app):
    app.slider(key="manual_try_threshold").set_value(33).run()
    app.slider(key="manual_try_threshold").set_value(80).run()
    assert solved(app) == 0
    assert "missed" in app.info[3].value
    assert app.session_state["manual_solved"] == {4}


def test_in_french_no_english_is_left(home):
    app = chapter(open_in_french())
    assert find_untranslated(visible_texts(app)) == []
    with use_language("fr"):  # the test runner formats options outside the page
        app.slider(key="manual_try_threshold").set_value(33).run()
    assert find_untranslated(visible_texts(app)) == []
    assert any("Résolu" in item.value for item in app.success)
