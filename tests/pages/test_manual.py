"""The manual's chapters on convolution and pooling through Streamlit's test runner."""

import re

import numpy as np
import pytest
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from xrai.core.language import use_language
from xrai.core.paths import PROJECT_DIR, data_dir
from xrai.data.dataset import open_dataset
from xrai.manual.convolution import get_preset

MANUAL = "pages/learn/manual/page.py"


def opened(chapter="convolution", language=None):
    app = AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600)
    if language:
        app.session_state["language"] = language
    app.run()
    app.session_state["manual_chapter"] = chapter
    app.switch_page(MANUAL).run()
    assert not app.exception
    return app


def texts(app):
    kinds = (app.markdown, app.caption, app.info, app.error, app.subheader)
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def captions(app):
    """Of the pictures."""
    return [image.caption for item in app.get("image") for image in item.proto.imgs]


def cells(app, size=3):
    return np.array(
        [[app.number_input(key=f"manual_cell_{size}_{r}_{c}").value for c in range(size)] for r in range(size)]
    )


def button(app, key):
    return app.button(key=key)


@pytest.fixture
def drawn(monkeypatch):
    """The pictures that are put into columns and grids, oldest first."""
    pictures, image = [], DeltaGenerator.image
    monkeypatch.setattr(
        DeltaGenerator, "image", lambda place, picture, **how: pictures.append(picture) or image(place, picture, **how)
    )
    return pictures


@pytest.fixture
def dataset_here(home, practice):
    (data_dir()).mkdir(parents=True, exist_ok=True)
    (data_dir() / "practice.hdf5").write_bytes(practice.read_bytes())
    return data_dir() / "practice.hdf5"


@pytest.mark.usefixtures("home")
class TestFilter:
    def test_a_preset_fills_the_cells_and_changes_the_picture(self):
        app = opened()
        before = captions(app)[1]
        app.pills(key="manual_filter_preset").set_value("edges").run()
        np.testing.assert_array_equal(cells(app), get_preset("edges"))
        assert captions(app)[1] != before
        assert "All edges" in captions(app)[1]
        assert "add up to 0" in texts(app)

    def test_an_edited_cell_makes_it_the_readers_own(self):
        app = opened()
        app.number_input(key="manual_cell_3_1_1").set_value(3.0).run()
        assert "Your own filter" in texts(app)
        assert "add up to 3: where the scan is even, it gets 3 times as bright" in texts(app)
        assert not app.pills(key="manual_filter_preset").value

    def test_cells_that_make_a_preset_are_called_so(self):
        app = opened()
        app.pills(key="manual_filter_preset").set_value("edges").run()
        app.number_input(key="manual_cell_3_1_1").set_value(9.0).run()
        assert "Your own filter" in texts(app)
        app.number_input(key="manual_cell_3_1_1").set_value(8.0).run()
        assert "All edges" in captions(app)[1]

    def test_a_larger_filter_keeps_the_name_or_the_numbers(self):
        app = opened()
        app.segmented_control(key="manual_filter_size").set_value(5).run()
        np.testing.assert_array_equal(cells(app, 5), get_preset("sobel_x", 5))
        app.number_input(key="manual_cell_5_2_2").set_value(7.0).run()
        app.segmented_control(key="manual_filter_size").set_value(3).run()
        assert cells(app)[1, 1] == 7

    def test_stays_from_chapter_to_chapter_and_in_the_other_language(self):
        app = opened()
        app.number_input(key="manual_cell_3_1_1").set_value(3.0).run()
        app.segmented_control(key="manual_chapter").set_value("pooling").run()
        assert any("Your own filter" in caption for caption in captions(app))
        app.session_state["language"] = "fr"
        app.run()
        with use_language("fr"):
            app.segmented_control(key="manual_chapter").set_value("convolution").run()
        assert cells(app)[1, 1] == 3
        assert "Votre propre filtre" in texts(app)

    def test_an_emptied_cell_becomes_0_and_shows_so(self):
        app = opened()
        app.number_input(key="manual_cell_3_1_2").set_value(None).run()
        assert cells(app).tolist() == [[-1, 0, 1], [-2, 0, 0], [-1, 0, 1]]
        assert "add up to -2" in texts(app).replace("−", "-")

    def test_zero_can_be_drawn_grey(self):
        app = opened()
        app.segmented_control(key="manual_negative").set_value("grey").run()
        assert "Darker than grey is below 0" in captions(app)[1]

    def test_stride_and_padding_change_the_size(self):
        app = opened()
        assert "222 × 222" in captions(app)[1]
        app.segmented_control(key="manual_padding").set_value(1).run()
        assert "224 × 224" in captions(app)[1]
        app.segmented_control(key="manual_stride").set_value(2).run()
        assert "112 × 112" in captions(app)[1]


@pytest.mark.usefixtures("home")
class TestSteps:
    def test_the_sum_is_written_out_and_right(self):
        app = opened()
        said = next(str(item.value) for item in app.markdown if "= **" in str(item.value))
        products = re.findall(r"([\d,]+) × \(?(−?\d+)\)?", said)
        assert len(products) == 9
        total = sum(int(value) * int(weight.replace("−", "-")) for value, weight in products)
        assert said.replace("−", "-").replace(",", "").endswith(f"= **{total}**")

    def test_go_on_back_and_to_the_start(self):
        app = opened()
        assert button(app, "manual_walk_back").disabled
        for _ in range(6):
            button(app, "manual_walk_next").click().run()
        assert "Step 7 of 25: row 2, column 2" in texts(app)
        button(app, "manual_walk_back").click().run()
        assert "Step 6 of 25: row 2, column 1" in texts(app)
        button(app, "manual_walk_first").click().run()
        assert "Step 1 of 25" in texts(app)

    def test_playing_ends_at_the_last_step(self):
        app = opened()
        app.session_state["manual_walk"] = 23
        app.run()
        button(app, "manual_walk_play").click().run()
        assert "Step 25 of 25" in texts(app)
        assert button(app, "manual_walk_pause").label == "Pause"
        app.run()  # what the next tick does
        assert button(app, "manual_walk_play").label == "Play"
        assert "Step 25 of 25" in texts(app)
        button(app, "manual_walk_play").click().run()
        assert "Step 2 of 25" in texts(app)

    def test_what_played_does_not_play_by_itself_when_the_reader_is_back(self):
        app = opened()
        button(app, "manual_walk_play").click().run()
        app.run()
        assert "Step 3 of 25" in texts(app)
        app.segmented_control(key="manual_chapter").set_value("pooling").run()
        app.segmented_control(key="manual_chapter").set_value("convolution").run()
        assert button(app, "manual_walk_play").label == "Play"
        assert "Step 3 of 25" in texts(app)

    def test_fewer_steps_after_another_stride_do_no_harm(self):
        app = opened()
        app.session_state["manual_walk"] = 24
        app.run()
        app.segmented_control(key="manual_stride").set_value(3).run()
        assert not app.exception
        assert "Step 4 of 4" in texts(app)

    @pytest.mark.parametrize("top", [0, 217])
    @pytest.mark.parametrize("left", [0, 217])
    def test_the_frame_can_stand_in_every_corner(self, drawn, left, top):
        app = opened()
        app.slider(key="manual_patch_left").set_value(left).run()
        app.slider(key="manual_patch_top").set_value(top).run()
        assert not app.exception
        rows, columns = np.nonzero((drawn[-1] == (217, 130, 43)).all(axis=2))
        assert (rows.min(), rows.max()) == (max(top - 2, 0), min(top + 8, 223))
        assert (columns.min(), columns.max()) == (max(left - 2, 0), min(left + 8, 223))


@pytest.mark.usefixtures("home")
class TestSizes:
    def test_the_formula_is_filled_in(self):
        app = opened()
        app.number_input(key="manual_size_stride").set_value(2).run()
        assert r"\frac{224 + 2 \cdot 1 - 3}{2}" in app.latex[0].value
        assert app.latex[0].value.strip("$\n").endswith("= 112")
        assert {item.label: item.value for item in app.metric} == {
            "Size of each result": "112 × 112",
            "Values, all filters": "200,704",
            "Numbers to learn": "160",
            "Multiplications a scan": "1,806,336",
        }

    def test_an_emptied_field_goes_back_to_its_first_number(self):
        app = opened()
        app.number_input(key="manual_size_kernel").set_value(5).run()
        app.number_input(key="manual_size_kernel").set_value(None).run()
        assert app.number_input(key="manual_size_kernel").value == 3
        app.number_input(key="manual_size_padding").set_value(0).run()
        assert app.number_input(key="manual_size_padding").value == 0

    def test_what_does_not_fit_is_said_in_a_sentence(self):
        app = opened(language="fr")
        with use_language("fr"):
            app.number_input(key="manual_size_side").set_value(2).run()
            app.number_input(key="manual_size_padding").set_value(0).run()
        assert "n'entre pas dans un côté de 2" in texts(app).replace("’", "'")


class TestScans:
    def test_a_drawing_needs_no_data(self, home):
        app = opened()
        assert app.selectbox(key="manual_scan_source").options == ["A drawn chest"]
        assert "A drawing, no patient" in captions(app)[0]

    def test_a_scan_of_a_dataset_stays_in_the_next_chapter(self, dataset_here):
        app = opened()
        app.selectbox(key="manual_scan_source").select(str(dataset_here)).run()
        app.number_input(key="manual_scan_number").set_value(2).run()
        assert re.search(r"Opacity: scan 2 of \d+ in practice", captions(app)[0])
        app.segmented_control(key="manual_chapter").set_value("pooling").run()
        assert app.selectbox(key="manual_scan_source").value == str(dataset_here)
        app.segmented_control(key="manual_pool_source").set_value("scan").run()
        assert re.search(r"Opacity: scan 2 of \d+ in practice\\?\. 64 × 64", captions(app)[0])

    def test_a_number_that_another_class_has_not_is_brought_down(self, dataset_here):
        app = opened()
        app.number_input(key="manual_scan_number").set_value(100).run()
        app.selectbox(key="manual_scan_source").select(str(dataset_here)).run()
        assert not app.exception
        assert f"scan {app.number_input(key='manual_scan_number').value} of" in captions(app)[0]

    def test_scans_kept_for_testing_are_left_alone(self, dataset_here, drawn):
        with open_dataset(dataset_here) as dataset:
            rows = {split: len(dataset.rows(split, 1)) for split in ("train", "val", "test")}
            first = dataset.images(dataset.rows("val", 1)[:1])[0]
        app = opened()
        app.selectbox(key="manual_scan_source").select(str(dataset_here)).run()
        app.number_input(key="manual_scan_number").set_value(1).run()
        assert rows["test"]
        assert f"scan 1 of {rows['val'] + rows['train']} in practice" in captions(app)[0]
        app.segmented_control(key="manual_chapter").set_value("pooling").run()
        app.segmented_control(key="manual_pool_source").set_value("scan").run()
        np.testing.assert_array_equal(drawn[-3], first)

    def test_a_damaged_dataset_is_said_and_the_drawing_shown(self, dataset_here):
        dataset_here.write_bytes(b"\x89HDF no more")
        app = opened()
        app.selectbox(key="manual_scan_source").select(str(dataset_here)).run()
        assert "damaged or cut short" in texts(app)
        assert "A drawing, no patient" in captions(app)[0]


@pytest.mark.usefixtures("home")
class TestPooling:
    def test_the_example_gives_3_2(self):
        said = texts(opened("pooling"))
        assert "the largest of 0; 1.9; 3.2; 1.6 is **3.2**" in said
        assert "(0 + 1.9 + 3.2 + 1.6) / 4 = **1.675**" in said

    def test_an_edited_example_is_worked_out_anew(self):
        app = opened("pooling")
        app.number_input(key="manual_pool_0_0").set_value(-5.0).run()
        app.number_input(key="manual_pool_0_1").set_value(7.5).run()
        assert "the largest of −5; 7.5; 3.2; 1.6 is **7.5**" in texts(app)
        assert "= **1.825**" in texts(app)

    @pytest.mark.parametrize(("times", "side", "saved"), [(1, 112, "75.0 %"), (4, 14, "99.6 %")])
    def test_says_what_it_saves(self, times, side, saved):
        app = opened("pooling")
        app.segmented_control(key="manual_pool_times").set_value(times).run()
        metrics = {item.label: (item.value, item.delta) for item in app.metric}
        assert metrics["Values"] == (f"{side**2:,}", "of 50,176")
        assert metrics["Multiplications of the next filter"] == (f"{9 * side**2:,}", "of 451,584")
        assert metrics["Work saved"][0] == saved
        assert f"Max pooling: {side} × {side}." in captions(app)

    def test_in_french(self):
        app = opened("pooling", "fr")
        said = texts(app)
        assert "le plus grand de 0; 1,9; 3,2; 1,6 est **3,2**" in said
        assert "What is" not in said
