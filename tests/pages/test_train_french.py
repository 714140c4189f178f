"""The pages Train and Models for somebody who reads French: nothing on them is English, and nothing chosen is lost."""

import time
from typing import Any

import pytest
from pyarrow.ipc import open_stream
from streamlit.testing.v1 import AppTest

from pages.shared.settings import GROUPS, MAIN_SETTINGS, setting_label, settings_text, value_text
from tests.languages import find_untranslated, open_in_french, visible_texts
from tests.pages import test_pages
from tests.pages.test_models import MODELS, TINY, measures, three, write_model  # noqa: F401 -- one is a fixture
from tests.pages.test_pages import TRAIN, dataset_here, model, started  # noqa: F401 -- the fixtures are used by name
from xrai.core import jobs
from xrai.core.errors import SettingsError, XraiError
from xrai.core.jobs import Job
from xrai.core.json_files import append_record, write_json
from xrai.core.language import ENGLISH, say, tr, translate, use_language
from xrai.core.paths import checkpoints_dir
from xrai.figures import accuracy_curves, interval_dots, loss_curves, network_diagram, overlaid_curves
from xrai.models import set_note
from xrai.models.checkpoint import open_checkpoint
from xrai.models.naming import check_name_free
from xrai.networks.config import NETWORKS, settings_of
from xrai.networks.summary import group_stages, list_layers
from xrai.training.config import PRESETS, TrainConfig, default_settings
from xrai.training.sweep import CombinationError, create_sweep, expand_grid, parse_values

GIVEN = ("chance", "practice", "children of one hospital", "slow", "fast", "deep")
"""What people wrote or named: it stays as it is."""


@pytest.fixture(autouse=True)
def _spoken():
    """The tests read options as the page shows them."""
    with use_language("fr"):
        yield


def opened(page: str, **state) -> AppTest:
    app = open_in_french(state).run()
    app.switch_page(page).run()
    assert not app.exception
    return app


def left(app: AppTest, *names: str) -> list[str]:
    """What is still English; a layer's path in the network is no English, nor is the log."""
    given = (*GIVEN, *names)
    paths = {layer.name for layer in list_layers(TrainConfig(network="convnet", image_size=96, blocks=5), 2)}
    return find_untranslated([text for text in visible_texts(app) if text not in {*given, *paths}], given)


def keyed(kind, part: str):
    return next(item for item in kind if part in (item.key or ""))


def said(app: AppTest) -> str:
    return "\n".join(visible_texts(app)).replace("\\", "")


def write_run(name: str, status: str, **options) -> None:
    test_pages.write_run(name, status, **options)


class TestTrain:
    def test_without_a_dataset(self, home):
        app = opened(TRAIN)
        assert not left(app)
        assert "pas encore de jeu de données" in said(app)

    @pytest.mark.parametrize("preset", [*PRESETS, "Fine-tune one of your models"])
    def test_the_form(self, dataset_here, model, preset):  # noqa: F811
        app = opened(TRAIN)
        app.radio[0].set_value(tr(preset)).run()
        assert not app.exception
        assert not left(app)

    def test_the_network_and_a_preview(self, dataset_here, monkeypatch):  # noqa: F811
        app = opened(TRAIN)
        app.session_state["layers_Quick look_0"] = True
        keyed(app.button, "preview_").click().run()
        assert not app.exception
        assert not left(app)
        assert "Bloc de convolution 1" in "\n".join(translate(stage.name) for stage in _french_stages())

    def test_a_run_too_large(self, dataset_here, started, monkeypatch):  # noqa: F811
        from xrai.training import memory

        monkeypatch.setattr(memory, "read_machine_memory", lambda: memory.MachineMemory(10**9, 10**9, "cpu"))
        app = opened(TRAIN)
        keyed(app.button, "start_").click().run()
        assert not left(app)
        assert "plus que les 1,0 Go libres sur cette machine" in said(app)

    def test_what_cannot_go_together(self, dataset_here, started):  # noqa: F811
        app = opened(TRAIN)
        keyed(app.selectbox, "weights_").set_value("imagenet")
        keyed(app.button, "start_").click().run()
        assert "poids ImageNet" in app.error[0].value
        assert not left(app)

    def test_several_values_are_typed_the_french_way(self, dataset_here, started):  # noqa: F811
        app = opened(TRAIN)
        keyed(app.multiselect, "varied_").set_value(["learning_rate", "hflip"]).run()
        assert keyed(app.text_input, "values_learning_rate").value == "0,001"
        keyed(app.text_input, "values_learning_rate").set_value("0,001; 0,0003, 0.01").run()
        keyed(app.text_input, "values_hflip").set_value("oui; non").run()
        assert not app.error
        assert not left(app)
        assert "6 essais, l'un après l'autre" in said(app)
        keyed(app.text_input, "values_learning_rate").set_value("beaucoup; 20").run()
        assert "« beaucoup » n'est pas un nombre" in said(app).replace("\u202f", " ")
        assert not left(app)
        keyed(app.text_input, "values_learning_rate").set_value("20").run()
        assert "taux d'apprentissage : 20, symétrie horizontale : non" in said(app).replace("\u00a0", " ")
        assert not left(app)

    def test_values_typed_the_french_way_stay_so_in_english(self, dataset_here, started):  # noqa: F811
        app = opened(TRAIN)
        keyed(app.multiselect, "varied_").set_value(["learning_rate"]).run()
        keyed(app.text_input, "values_learning_rate").set_value("0,001; 0,0003").run()
        app.button_group("language").set_value("en").run()
        assert keyed(app.text_input, "values_learning_rate").value == "0,001; 0,0003"
        assert not app.error
        assert "2 runs, one after another" in said(app)

    def test_another_run_is_going_on(self, dataset_here, monkeypatch):  # noqa: F811
        write_run("premier", "done")
        monkeypatch.setattr(jobs, "list_active", lambda folder: [Job(checkpoints_dir() / "premier")])
        app = opened(TRAIN, train_view="Start a run")
        assert "est en cours d'entraînement" in said(app)
        assert not left(app, "premier")

    @pytest.mark.parametrize("freeze_epochs", [0, 1, 3])
    @pytest.mark.parametrize("epochs", [0, 2])
    def test_a_run_under_way(self, dataset_here, monkeypatch, freeze_epochs, epochs):  # noqa: F811
        write_run("essai", "running", epochs=5, freeze_epochs=freeze_epochs)
        history = checkpoints_dir() / "essai" / "history.jsonl"
        kept = history.read_text().splitlines(keepends=True)[: 2 + epochs]
        history.write_text("".join(kept))
        monkeypatch.setattr(Job, "status", "running")
        app = opened(TRAIN)
        assert not left(app, "essai")
        assert "9 images par seconde" in said(app)

    @pytest.mark.parametrize(
        "what",
        [
            "learning what such scans look like",
            "reading the validation scans, as they are and changed",
            "remembering the training scans",
        ],
    )
    def test_a_run_that_is_got_ready(self, dataset_here, monkeypatch, what):  # noqa: F811
        write_run("essai", "running", epochs=2)
        append_record(
            checkpoints_dir() / "essai" / "history.jsonl", {"kind": "finalize", "stage": what, "done": 0, "total": 1}
        )
        monkeypatch.setattr(Job, "status", "running")
        assert not left(opened(TRAIN), "essai")

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            ("done", ""),
            ("stopped", ""),
            ("interrupted", ""),
            (
                "failed",
                say(
                    "The training does not fit into this machine's memory: choose a smaller batch size, image size or "
                    "network, and run it again."
                ),
            ),
            (
                "failed",
                say(
                    "The loss is not finite in epoch {epoch}, probably because the learning rate {learning_rate:g} is "
                    "too high: run it again with a tenth of that; {weights}.",
                    epoch=2,
                    learning_rate=0.1,
                    weights=say("the best weights so far are kept"),
                ),
            ),
        ],
    )
    def test_a_run_that_ended(self, dataset_here, status, error):  # noqa: F811
        write_run("essai", status, error=error)
        app = opened(TRAIN)
        if app.get("button_group"):
            app.get("button_group")[0].set_value("Watch a run").run()  # type: ignore[attr-defined] -- Streamlit's own lack
        assert not app.exception
        assert not left(app, "essai")
        assert error[:10] not in said(app) or not error

    def test_a_model_that_is_ready(self, dataset_here, three):  # noqa: F811
        write_model("weak", validation=measures(0.5, (0.3, 0.7)))
        app = opened(TRAIN, train_view="Watch a run", train_shown="weak")
        assert not left(app, "weak")
        assert "sur 40 clichés de validation" in said(app)

    def test_a_sweep(self, dataset_here, monkeypatch):  # noqa: F811
        sweep = create_sweep("série", dataset_here, {"epochs": 2}, {"dropout": [0.0, 0.2], "schedule": ["cosine"]})
        first, second = names = [run.name for run in sweep.runs]
        base = {"kind": "run", "number": 1, "runs": 2, "settings": {"dropout": 0.2, "schedule": "cosine"}}
        found = {"epoch": 1, "accuracy": 0.8, "accuracy_interval": [0.6, 0.9], "auc": 0.9, "auc_interval": [0.8, 1.0]}
        history = sweep.folder / "history.jsonl"
        append_record(history, base | {"name": first, "status": "done", "val": found, "error": ""})
        append_record(history, base | {"name": second, "status": "running", "val": None, "error": ""})
        write_json(sweep.folder / jobs.JOB_FILE, {"status": "running", "title": "série", "time": time.time()})
        with monkeypatch.context() as patch:
            patch.setattr(Job, "status", "running")
            app = opened(TRAIN, train_view="Watch a run")
            assert not left(app, *names)
            assert "1 essai sur 2 est terminé" in said(app)
        broke = say(
            "Another model or run has the name “{name}” by now: rename it and go on with the sweep.", name="série-2"
        )
        append_record(history, base | {"name": second, "status": "failed", "val": None, "error": broke})
        for status in ("stopped", "interrupted", "failed", "done"):
            error = (
                say(
                    "No run of the sweep “{name}” could be trained; “{run}”: {error}",
                    name="série",
                    run="série-1",
                    error=broke,
                )
                if status == "failed"
                else ""
            )
            write_json(
                sweep.folder / jobs.JOB_FILE, {"status": status, "title": "série", "error": error, "time": time.time()}
            )
            app = opened(TRAIN, train_view="Watch a run", train_shown="sweep: série")
            assert not left(app, *names)

    def test_a_switch_of_language_keeps_what_was_chosen(self, dataset_here, model):  # noqa: F811
        """The browser knows a choice by the words that stood there: it is handed to its widget anew."""
        app = opened(TRAIN)
        app.radio[0].set_value("Équilibré").run()
        keyed(app.selectbox, "network_").set_value("densenet121").run()
        keyed(app.selectbox, "balance_").set_value("loss")
        keyed(app.number_input, "epochs_").set_value(7)
        keyed(app.checkbox, "flip_").check()
        keyed(app.multiselect, "varied_").set_value(["dropout"]).run()
        keyed(app.text_input, "values_dropout").set_value("0,1; 0,3")
        keyed(app.text_input, "train_name").set_value("mien").run()
        for before, code in (("fr", "en"), ("en", "fr"), ("fr", "en")):
            with use_language(before):
                app.sidebar.get("button_group")[0].set_value(code).run()  # type: ignore[attr-defined] -- as above
            assert not app.exception
            assert app.radio[0].value == "Balanced"
            assert keyed(app.selectbox, "network_").value == "densenet121"
            assert keyed(app.selectbox, "balance_").value == "loss"
            assert keyed(app.number_input, "epochs_").value == 7
            assert keyed(app.checkbox, "flip_").value
            assert keyed(app.multiselect, "varied_").value == ["dropout"]
            assert keyed(app.text_input, "values_dropout").value == "0,1; 0,3"
            assert keyed(app.text_input, "train_name").value == "mien"
            words = keyed(app.selectbox, "network_").proto
            assert words.set_value
            assert words.raw_value in words.options


class TestModels:
    def test_without_a_model(self, home):
        app = opened(MODELS)
        keyed(app.button, "models_zip_import").click().run()
        assert not left(app)
        assert "archive zip" in app.warning[0].value

    def test_the_table(self, three):  # noqa: F811
        app = opened(MODELS)
        assert not left(app)
        assert {"Nom", "État", "Réseau", "Taux d'apprentissage"} <= set(app.dataframe[0].value.columns)

    def test_numbers_in_the_table_are_written_the_french_way(self, three):  # noqa: F811
        shown = opened(MODELS).dataframe[0].proto.arrow_data.styler.display_values
        words = open_stream(shown).read_pandas().astype(str).to_numpy().ravel().tolist()
        assert {"0,800", "75,0\u202f%", "3 h 20 min", "1,0 Mo", "0,001", "0,1"} <= set(words)

    def test_a_run_under_way_and_a_damaged_model(self, three, monkeypatch):  # noqa: F811
        (checkpoints_dir() / "slow" / "card.json").write_text("{")
        assert not left(opened(MODELS))
        monkeypatch.setattr(Job, "status", "running")
        assert not left(opened(MODELS))

    def test_one_model(self, three):  # noqa: F811
        app = opened(MODELS, models_chosen=["slow"])
        assert not left(app)
        keyed(app.text_input, "models_name").set_value("fast")
        keyed(app.button, "_rename").click().run()
        assert "Le nom « fast » est déjà pris" in said(app).replace("\u202f", " ")
        assert not left(app)
        keyed(app.text_area, "models_note").set_value("À revoir.")
        keyed(app.button, "_save").click().run()
        assert "est enregistrée" in app.success[0].value
        keyed(app.button, "models_delete").click().run()
        asked = [item.value for item in app.markdown if "définitivement supprimé" in item.value]
        assert asked
        assert not find_untranslated([*asked, *(item.label for item in app.button)], GIVEN)

    @pytest.mark.parametrize("chosen", [["slow", "fast"], ["slow", "deep"], ["slow", "fast", "deep"]])
    def test_several_models(self, three, chosen):  # noqa: F811
        write_model("elsewhere", TINY.replace(learning_rate=0.2), dataset={"name": "autre"})
        app = opened(MODELS, models_chosen=chosen, models_training=True, models_only=False)
        assert not left(app)
        assert "AUC de validation" in said(app)

    def test_models_of_different_scans(self, three):  # noqa: F811
        write_model("other", validation=measures() | {"n": 99})
        write_model("blank", validation=measures(interval=None))
        for chosen in (["slow", "other"], ["slow", "blank"]):
            assert not left(opened(MODELS, models_chosen=chosen), "other", "blank")


class TestWords:
    def test_every_setting_has_a_name(self):
        assert {*MAIN_SETTINGS, *(name for names in GROUPS.values() for name in names)} == set(default_settings())
        for name in default_settings():
            with use_language(ENGLISH):
                english = setting_label(name)
            assert setting_label(name) != english or name in ("dropout", "patience")

    def test_help_texts_and_networks_are_told(self):
        texts = [item.help for item in settings_of(TrainConfig).values()]
        assert not find_untranslated([translate(text) for text in [*texts, *NETWORKS.values()]])

    def test_values_in_words(self):
        settings = {
            "learning_rate": 0.001,
            "hflip": True,
            "class_balance": "none",
            "network": "convnet",
            "weights": "scratch",
        }
        with use_language(ENGLISH):
            assert settings_text({"learning_rate": 0.001, "dropout": 0.2}) == "learning rate 0.001, dropout 0.2"
        words = [value_text(name, value) for name, value in settings.items()]
        assert words == ["0,001", "oui", "aucun", "Réseau convolutif simple", "zéro (scratch)"]

    def test_a_model_called_like_a_choice_keeps_its_name(self):
        assert value_text("weights", "none") == "none"

    @pytest.mark.parametrize(
        "settings",
        [
            {"batch_size": 10, "devices": 3},
            {"batch_size": 2, "devices": 2},
            {"weights": " "},
            {"freeze_epochs": 2},
            {"weights": "imagenet", "freeze_epochs": 20},
            {"patience": 2, "select_by": "last"},
            {"epochs": 0},
            {"network": "convnet", "weights": "imagenet"},
            {"network": "convnet", "image_size": 32, "blocks": 7},
            {"network": "convnet", "image_size": 512, "blocks": 1, "filters": 128, "dense_units": 2048},
            {"schedule": "x"},
            {"learning_rate": 20.0},
            {"select_by": 3},
        ],
    )
    def test_errors_of_settings(self, settings):
        with pytest.raises(SettingsError) as caught:
            TrainConfig(**settings)
        _is_french(caught.value)

    @pytest.mark.parametrize(
        ("name", "text"),
        [("hflip", "maybe"), ("epochs", "1.5"), ("learning_rate", "fast"), ("learning_rate", "0,1"), ("epochs", ",")],
    )
    def test_errors_of_typed_values(self, name, text):
        with pytest.raises(SettingsError) as caught:
            parse_values(name, text)
        _is_french(caught.value, text)

    def test_errors_of_sweeps_and_models(self, three, practice):  # noqa: F811
        with pytest.raises(SettingsError) as caught:
            expand_grid({}, {})
        _is_french(caught.value)
        with pytest.raises(CombinationError) as caught:
            expand_grid({}, {"learning_rate": [20.0]})
        _is_french(caught.value, "learning rate")
        with pytest.raises(XraiError) as caught:
            create_sweep("slow", practice, {"weights": "deep"}, {"network": ["resnet50"]})
        _is_french(caught.value)
        with pytest.raises(XraiError) as caught:
            check_name_free("SLOW")
        _is_french(caught.value, "SLOW")
        with pytest.raises(XraiError) as caught:
            set_note(open_checkpoint("slow"), "x" * 3000)
        _is_french(caught.value)

    @pytest.mark.parametrize("name", NETWORKS)
    def test_layers_and_stages(self, name):
        found = list_layers(TrainConfig(network=name, image_size=64), 2)
        words = [translate(text) for stage in group_stages(found) for text in (stage.name, stage.explanation)]
        assert not find_untranslated([*words, *(translate(layer.kind) for layer in found)])
        assert '"separators":",\u202f"' in str(network_diagram(group_stages(found)).to_json()).replace(
            "\\u202f", "\u202f"
        )

    def test_charts(self):
        measured = {"loss": 0.6, "accuracy": 0.7, "auc": 0.8}
        validation = measured | {"accuracy_interval": (0.5, 0.9), "auc_interval": (0.6, 0.9)}
        records = [
            {"kind": "start", "freeze_epochs": 1},
            {"kind": "step", "progress": 0.5, "loss": 0.7, "accuracy": 0.5},
            {"kind": "epoch", "epoch": 1, "train": measured, "val": validation, "best": True},
        ]
        figures: list[Any] = [loss_curves(records), accuracy_curves(records), overlaid_curves({"a": records}, "loss")]
        dots: Any = interval_dots([("a", 0.812, (0.7, 0.9))], "AUC")
        for figure in figures:
            assert figure.layout.separators == ",\u202f"
            assert not find_untranslated(str(trace.name) for trace in figure.data)
            assert not find_untranslated([figure.layout.title.text, figure.layout.xaxis.title.text])
        assert "0,812 (0,700 à 0,900)" in dots.data[0].hovertemplate

    def test_a_page_of_charts_speaks_its_reader_s_language(self):
        from pages.lab.train import run_view as runs

        page = runs._charts_page([], "a", "fr")
        assert "Perte" in page
        assert "Perte" not in runs._charts_page([], "a", ENGLISH)


def _french_stages():
    return group_stages(list_layers(TrainConfig(network="convnet", image_size=96), 2))


def _is_french(error: Exception, *given: str) -> None:
    text = translate(error.message)
    assert text != str(error)
    assert not find_untranslated([text], given)
