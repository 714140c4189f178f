"""The manual's chapters on layers and on the reader's own model, through Streamlit's own test runner."""

import json
import re

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages.learn.manual.chapters import layers as chapter
from pages.learn.manual.chapters.formulas import tex, tex_in_brackets
from tests.languages import find_untranslated, visible_texts
from xrai.core.errors import CheckpointError
from xrai.core.language import use_language
from xrai.core.paths import PROJECT_DIR, checkpoints_dir
from xrai.figures.layers import filter_figure, shares_figure
from xrai.manual import dense_layer as dense
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.networks.build import build_network
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig


def opened(name, language="en"):
    app = AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600)
    app.session_state["language"] = language
    app.session_state["manual_chapter"] = name
    app.run()
    app.switch_page("pages/learn/manual/page.py").run()
    assert not app.exception
    return app


def texts(app):
    kinds = (app.markdown, app.caption, app.info, app.error, app.warning, app.subheader, app.latex)
    return "\n".join(str(item.value) for kind in kinds for item in kind).replace("\\,", " ")


def chart(app, n):
    return json.loads(app.get("plotly_chart")[n].proto.spec)


def key(app, name):
    """Of the one widget of that name: it ends in what stands for the model's files."""
    keys = {item.key or "" for kind in (app.slider, app.selectbox, app.button_group) for item in kind}
    (found,) = (key for key in keys if re.fullmatch(rf"{name}_[0-9a-f]{{12}}", key))
    return found


def write_model(name="tiny", network="resnet18", classes=("NORMAL", "PNEUMONIA"), **options):
    torch.manual_seed(1)
    config = TrainConfig(network=network, **{"image_size": 64, "blocks": 2, "filters": 4, "dense_units": 4, **options})
    methods = ("Fused CAM", "CAM", "Grad-CAM") if network != "convnet" else ("HiResCAM", "Grad-CAM")
    card = Card(
        name=name,
        created="2026-01-01T00:00:00+00:00",
        classes=classes,
        network=config.network_config,
        preprocessing=Preprocessing(64, 64, 0.5, 0.25),
        dataset={"name": "d", "is_phantom": False},
        threshold=None,
        training={"settings": config.to_dict()},
        validation={
            "n": 20,
            "accuracy": 0.5,
            "accuracy_interval": (0.3, 0.7),
            "auc": 0.5,
            "auc_interval": (0.3, 0.7),
            "loss": 0.7,
        },
        heatmap_scale={method: dict.fromkeys(classes, 1.0) for method in methods},
        versions={},
    )
    checkpoint = Checkpoint(checkpoints_dir() / name)
    checkpoint.folder.mkdir(parents=True, exist_ok=True)
    checkpoint.write_card(card)
    checkpoint.save_network(build_network(config, len(classes)))
    return checkpoint


class TestLayers:
    def test_the_value_is_told_as_the_function_gives_it(self, home):
        app = opened("layers")
        assert "f(-2.0) = 0.000" in texts(app)
        app.button_group(key="manual_activation").set_value("tanh").run()
        app.slider(key="manual_value").set_value(1.0).run()
        assert not app.exception
        assert f"f(1.0) = {np.tanh(1):.3f}" in texts(app)

    @pytest.mark.parametrize("name", dense.ACTIVATIONS)
    def test_every_function_has_its_words_and_picture(self, home, name):
        app = opened("layers")
        app.button_group(key="manual_activation").set_value(name).run()
        assert not app.exception
        assert chapter.ACTIVATION_NOTES[name] in texts(app)
        assert chart(app, 0)["layout"]["title"]["text"] == dense.ACTIVATIONS[name].name

    def test_relu_leaves_nothing_below_zero(self, home):
        assert re.search(r"\d+ % of its values lie below 0; afterwards, 0 %", texts(opened("layers")))

    def test_two_filters_are_one_until_relu_stands_between(self, home):
        app = opened("layers")
        assert "Largest difference: **0.00**" in texts(app)
        app.toggle(key="manual_between").set_value(True).run()
        assert not app.exception
        assert "They differ by up to" in texts(app)

    def test_the_dense_layer_writes_out_its_sum(self, home):
        app = opened("layers")
        app.slider(key="manual_w1").set_value(0.0).run()
        app.slider(key="manual_w2").set_value(0.0).run()
        app.slider(key="manual_bias").set_value(2.0).run()
        assert r"\approx 2.000" in texts(app)
        assert app.metric[0].value == f"{100 / (1 + np.exp(-2)):.1f} %"

    def test_probabilities_of_several_classes(self, home):
        app = opened("layers")
        for number in (1, 2, 3):
            app.slider(key=f"manual_logit{number}").set_value(0.0).run()
        assert r"\approx 0.333" in texts(app)

    def test_one_step_moves_the_weights_as_it_was_written_out(self, home):
        app = opened("layers")
        first, second = dense.train_layer(*dense.make_examples(), 0.3, 1)
        assert f"{second.weights[0]:.3f}" in texts(app)
        assert f"loss **{first.loss:.3f}**" in texts(app)
        app.button(key="manual_one_step").click().run()
        assert not app.exception
        assert f"After 1 of 40 steps: loss **{second.loss:.3f}**" in texts(app)

    @pytest.mark.parametrize(
        ("rate", "words"),
        [(0.003, "It is too low"), (0.03, "has not come to rest"), (0.3, "fits"), (30.0, "is too high")],
    )
    def test_the_curve_of_each_learning_rate_is_read(self, home, rate, words):
        app = opened("layers")
        app.select_slider(key="manual_rate").set_value(rate).run()
        app.slider(key="manual_training_step").set_value(40).run()
        assert not app.exception
        assert words in texts(app)

    def test_another_rate_starts_again(self, home):
        app = opened("layers")
        app.slider(key="manual_training_step").set_value(40).run()
        app.select_slider(key="manual_rate").set_value(3.0).run()
        assert app.slider(key="manual_training_step").value == 0

    def test_playing_goes_on_step_by_step_and_stops_at_the_end(self, home):
        app = opened("layers")
        app.toggle(key="manual_play").set_value(True).run()
        assert app.slider(key="manual_training_step").value == 1
        app.run()
        assert app.slider(key="manual_training_step").value == 2
        app.slider(key="manual_training_step").set_value(39).run()
        assert not app.exception
        assert app.slider(key="manual_training_step").value == 40
        assert app.toggle(key="manual_play").value is False

    @pytest.mark.parametrize(
        ("slider", "value"),
        [("manual_w1", -3.0), ("manual_bias", 1.5), ("manual_logit2", 4.0), ("manual_training_step", 7)],
    )
    def test_what_was_set_is_there_after_another_chapter(self, home, slider, value):
        app = opened("layers")
        app.slider(key=slider).set_value(value).run()
        app.button_group(key="manual_chapter").set_value("pooling").run()
        app.button_group(key="manual_chapter").set_value("layers").run()
        assert app.slider(key=slider).value == value

    def test_in_french_with_its_commas(self, home):
        app = opened("layers", "fr")
        assert "f(-2{,}0) = 0{,}000" in texts(app)
        assert "Activation functions" not in texts(app)


class TestFigures:
    def test_shares_have_a_space_before_their_sign(self):
        english = json.loads(shares_figure(["a", "b"], [0.25, 0.75]).to_json() or "")
        assert english["data"][0]["text"] == ["25.0 %", "75.0 %"]
        assert english["layout"]["xaxis"]["ticksuffix"] == " %"
        with use_language("fr"):
            french = json.loads(shares_figure(["a"], [0.25]).to_json() or "")
        assert french["data"][0]["text"] == ["25,0\u202f%"]

    def test_numbers_of_a_filter_have_a_minus_sign_and_in_french_a_comma(self):
        kernel = np.array([[-0.081, 0.5], [-0.001, 1]])
        english = json.loads(filter_figure(kernel).to_json() or "")
        assert english["data"][0]["text"] == [["−0.08", "0.50"], ["0.00", "1.00"]]
        with use_language("fr"):
            french = json.loads(filter_figure(kernel).to_json() or "")
        assert french["data"][0]["text"][0] == ["−0,08", "0,50"]

    def test_a_formula_has_no_minus_zero(self):
        assert (tex(-0.001), tex_in_brackets(-0.001), tex_in_brackets(-0.5)) == ("0.00", "0.00", "(-0.50)")
        with use_language("fr"):
            assert tex_in_brackets(-0.5, 1) == "(-0{,}5)"


class TestOwnModel:
    def test_without_a_model_leads_to_what_comes_first(self, home):
        app = opened("model")
        assert "no model to look into" in texts(app)
        assert [link.proto.label for link in app.get("page_link")] == ["Build a dataset", "Import a model"]

    def test_shows_filters_layers_and_the_sum(self, home):
        write_model()
        app = opened("model")
        said = texts(app)
        assert "64 filters of 7 × 7 numbers" in said
        assert "64 maps of 16 × 16" in said
        assert "512 maps of 2 × 2" in said
        assert "was not calibrated" in said
        assert "Fused CAM" in said

    def test_all_maps_together_are_the_answer(self, home):
        write_model()
        app = opened("model")
        assert "Move the slider to its end" in texts(app)
        app.slider(key=key(app, "manual_k")).set_value(512).run()
        assert not app.exception
        said = texts(app)
        assert "the sum **is** the network's answer" in said
        total = re.search(
            r"\\\\ &\\approx (-?[\d.]+) \\\\", next(i.value for i in app.latex if "overline{M_" in i.value)
        )
        assert total
        assert rf"z &\approx {total[1]}" in said

    def test_against_the_other_classes(self, home):
        write_model(classes=("A", "B", "C"))
        app = opened("model")
        app.toggle(key="manual_against").set_value(True).run()
        app.button_group(key=key(app, "manual_class")).set_value("A").run()
        app.slider(key=key(app, "manual_k")).set_value(512).run()
        assert not app.exception
        assert "less the mean of the other classes" in texts(app)
        assert "the sum **is** the network's answer" in texts(app)

    def test_a_map_is_laid_over_the_scan(self, home):
        write_model()
        app = opened("model")
        buttons = [item for item in app.button if (item.key or "").startswith("manual_map_")]
        assert len(buttons) == 16
        buttons[3].click().run()
        assert not app.exception
        assert f"Map {buttons[3].label} over the scan" in texts(app)

    def test_every_stage_and_the_row_of_numbers_at_the_end(self, home):
        write_model()
        app = opened("model")
        stages = app.selectbox(key=key(app, "manual_stage")).options
        for number in range(1, len(stages) + 1):
            app.selectbox(key=key(app, "manual_stage")).set_value(number).run()
            assert not app.exception
            in_blocks = stages[number - 1].split(". ", 1)[1].startswith("Residual")
            assert ("is added to what leaves it" in texts(app)) == in_blocks
        assert "2 numbers" in texts(app)

    def test_a_network_with_dense_layers_has_no_exact_sum(self, home):
        write_model(network="convnet")
        app = opened("model")
        said = texts(app)
        assert "4 filters of 3 × 3 numbers" in said
        assert "Grad-CAM" in said
        assert "They need not agree" in said
        assert "The last convolution gives" not in said
        assert "HiResCAM" in said
        for number in range(1, len(app.selectbox(key=key(app, "manual_stage")).options) + 1):
            app.selectbox(key=key(app, "manual_stage")).set_value(number).run()
            assert not app.exception

    def test_a_damaged_model_is_one_sentence(self, home):
        write_model().folder.joinpath("model.safetensors").write_bytes(b"no weights")
        app = opened("model")
        assert len(app.error) == 1

    def test_a_model_trained_again_under_its_name_with_less_in_it(self, home):
        write_model(network="convnet", filters=8)
        app = opened("model")
        app.slider(key=key(app, "manual_first_filter")).set_value(8).run()
        app.slider(key=key(app, "manual_k")).set_value(16).run()
        app.button_group(key=key(app, "manual_class")).set_value("NORMAL").run()
        next(item for item in app.button if (item.key or "").startswith("manual_map_")).click().run()
        write_model(network="convnet", filters=4, classes=("A", "B"))
        app.run()
        assert not app.exception
        assert not app.error
        assert app.slider(key=key(app, "manual_first_filter")).max == 4
        assert app.slider(key=key(app, "manual_k")).max == 8

    def test_a_part_that_fails_is_a_sentence_and_leaves_the_others(self, home, monkeypatch):
        from pages.learn.manual.chapters import own_model

        def fail(*_):
            raise CheckpointError("The model is gone.")

        monkeypatch.setattr(own_model, "load_first_filters", fail)
        write_model()
        app = opened("model")
        assert len(app.error) == 1
        assert "The model is gone" in app.error[0].value
        assert key(app, "manual_stage")

    def test_only_what_is_looked_at_is_kept(self, home, monkeypatch):
        from xrai.explain import feature_maps

        asked, real = [], feature_maps.compute_feature_maps
        monkeypatch.setattr(feature_maps, "compute_feature_maps", lambda *given: asked.append(given[3]) or real(*given))
        write_model()
        app = opened("model")
        app.selectbox(key=key(app, "manual_stage")).set_value(3).run()
        assert not app.exception
        assert "128 maps of 8 × 8" in texts(app)
        assert asked[0] == [1]
        assert all(len(numbers) == 1 for numbers in asked)
        before = len(asked)
        app.slider(key=key(app, "manual_first_filter")).set_value(9).run()
        assert len(asked) == before

    def test_nothing_is_lost_when_the_language_changes(self, home):
        write_model()
        app = opened("model")
        app.slider(key=key(app, "manual_k")).set_value(100).run()
        app.selectbox(key=key(app, "manual_stage")).set_value(3).run()
        app.session_state["language"] = "fr"
        app.run()
        assert not app.exception
        assert app.slider(key=key(app, "manual_k")).value == 100
        assert app.selectbox(key=key(app, "manual_stage")).value == 3
        assert "Every layer" not in texts(app)

    @pytest.mark.parametrize("network", ["resnet18", "convnet"])
    def test_in_french_methods_have_their_french_names(self, home, network):
        write_model(network=network)
        app = opened("model", "fr")
        assert "Fused" not in texts(app)
        assert ("CAM fusionnée" if network == "resnet18" else "HiResCAM") in texts(app)
        assert not find_untranslated(visible_texts(app), ["tiny"])
