"""The page Evaluate before and while something is measured."""

import shutil

import h5py
import pytest

from tests.pages.evaluate.page import EVALUATE, box, buttons, is_on, make_model, note_look, opened, plainly, warned
from xrai.core.paths import data_dir
from xrai.data.dataset import open_dataset
from xrai.evaluation.store import evaluation_folder


class TestBefore:
    def test_without_a_dataset_says_what_to_do_next(self, home):
        assert is_on(opened(), "There is no dataset yet")

    def test_without_a_model_says_what_to_do_next(self, dataset_here):
        assert is_on(opened(), "There is no model yet")

    def test_classes_that_do_not_fit_are_named_instead_of_a_button(self, home, dataset_here):
        make_model("three", ("Normal", "Covid", "Viral Pneumonia"))
        app = opened()
        assert is_on(
            app,
            "The model “three” distinguishes Normal, Covid and Viral Pneumonia, but the dataset practice has "
            "Clear and Opacity",
        )
        assert not buttons(app)

    def test_classes_in_another_spelling_and_order_fit(self, home, dataset_here):
        make_model("other", ("Opacity", "Clear"))
        assert buttons(opened()) == ["Measure"]

    def test_an_empty_split_has_no_button(self, model, dataset_here):
        with h5py.File(dataset_here, "r+") as file:
            file["split"][...] = 0
        app = opened()
        assert is_on(app, "has no scans in its test split")
        assert not buttons(app)

    def test_the_test_split_comes_first_with_why_looks_are_to_be_rare(self, model, dataset_here):
        app = opened()
        assert box(app, "Split").value == "test"
        assert is_on(app, "has not been measured yet on the")
        assert is_on(app, "Measure on the test scans only once the model is final")
        box(app, "Split").select("val").run()
        assert not is_on(app, "Measure on the test scans only")

    def test_looks_at_this_split_are_counted_and_the_last_is_told(self, model, dataset_here):
        note_look(model, dataset_here, accuracy=0.5)
        note_look(model, dataset_here)
        note_look(model, dataset_here, split="val")
        note_look(model, dataset_here, fingerprint="another dataset's")
        app = opened()
        assert is_on(app, "has been measured 2 times on the")
        assert is_on(app, "Result of 2026-02-03 from the model card: accuracy 61.0 %")
        box(app, "Split").select("val").run()
        assert is_on(app, "has been measured once on the")

    def test_a_look_with_another_threshold_says_with_which(self, model, dataset_here):
        note_look(model, dataset_here, threshold=0.5)
        assert not is_on(opened(), "no longer in use")
        note_look(model, dataset_here, threshold=0.3)
        assert is_on(opened(), "(with Opacity from 30.0 %, no longer in use)")

    def test_measure_starts_a_job(self, model, dataset_here, started):
        app = opened()
        box(app, "Split").select("val").run()
        app.button[0].click().run()
        assert not app.exception
        arguments, folder, more = started[0]
        assert arguments == ["evaluate", "chance", str(dataset_here), "--split", "val"]
        assert folder == evaluation_folder(model, dataset_here, "val")
        assert more["title"] == "Measuring chance on practice, validation"

    @pytest.mark.parametrize("is_renamed", [True, False])
    def test_a_model_that_is_gone_when_it_is_to_be_measured_is_one_sentence(
        self, model, dataset_here, started, monkeypatch, is_renamed
    ):
        """A folder without a model was once left behind, which nobody saw and whose name nobody could use."""
        app = opened()

        def meanwhile(folder):
            model.folder.rename(model.folder.with_name("renamed")) if is_renamed else shutil.rmtree(model.folder)

        monkeypatch.setattr("xrai.evaluation.store.load_evaluation", meanwhile)
        app.button[0].click().run()
        assert not app.exception
        assert "There is no model or run “chance” any more" in plainly(app.error[0].value)
        assert not started
        assert not model.folder.exists()

    def test_a_click_on_the_button_of_a_model_that_is_gone_measures_no_other(self, model, dataset_here, started):
        """The page of a stale tab once spent a look at the test split of whatever model came next."""
        another = make_model("another")
        app = opened()
        box(app, "Model").select("another").run()
        shutil.rmtree(another.folder)
        app.button[0].click().run()
        assert not app.exception
        assert box(app, "Model").value == "chance"
        assert not started

    def test_a_look_whose_figures_are_of_earlier_weights_is_counted_without_them(self, model, dataset_here):
        note_look(model, dataset_here, is_outdated=True)
        app = opened()
        assert is_on(app, "has been measured once on the")
        assert not is_on(app, "61.0 %")
        note_look(model, dataset_here, accuracy=0.5)
        note_look(model, dataset_here, is_outdated=True)
        app = opened()
        assert is_on(app, "has been measured 3 times on the")
        assert is_on(app, "Result of 2026-02-03 from the model card: accuracy 50.0 %")

    @pytest.mark.parametrize(
        ("split", "words"),
        [
            ("train", "started from one that was **trained on these scans**"),
            ("val", "started from one that was **selected on these scans**"),
        ],
    )
    @pytest.mark.parametrize("is_older", [True, False])
    def test_that_an_ancestor_learned_from_these_scans_is_told(self, model, dataset_here, split, words, is_older):
        with open_dataset(dataset_here) as dataset:
            start = {"model": "before", "dataset": {"fingerprint": dataset.fingerprint}}
        if not is_older:
            start = {
                "model": "before",
                "dataset": {"fingerprint": "f"},
                "training_fingerprints": ["f", start["dataset"]["fingerprint"]],
            }
        model.write_card(model.read_card().replace(training={"best_epoch": 1, "source_model": start}))
        app = opened()
        assert "started from one" not in warned(app)
        box(app, "Split").select(split).run()
        assert words in warned(app)

    def test_a_start_that_is_refused_is_one_sentence(self, model, dataset_here):
        folder = evaluation_folder(model, dataset_here, "test")
        app = opened()
        folder.parent.write_text("in the way")
        app.button[0].click().run()
        assert not app.exception
        assert "cannot be written to" in app.error[0].value

    def test_drawings_warn_that_figures_say_nothing_of_patients(self, model, dataset_here):
        with h5py.File(dataset_here, "r+") as file:
            file.attrs["drawings"] = True
        assert "These figures say nothing about patients" in warned(opened())

    @pytest.mark.parametrize(
        ("population", "is_warned"),
        [
            ("COVID: adults, so that no accuracy on it has a clinical meaning", True),
            ("Made up. It has NO CLINICAL MEANING.", True),
            ("adults of one hospital", False),
            ("", False),
        ],
    )
    def test_a_population_that_takes_the_meaning_away_is_a_warning(self, model, dataset_here, population, is_warned):
        with h5py.File(dataset_here, "r+") as file:
            file.attrs["population"], file.attrs["drawings"] = population, False
        app = opened()
        assert ("These figures say nothing" in warned(app)) == is_warned
        assert is_on(app, population or "nobody described them")

    @pytest.mark.parametrize(
        ("split", "words"), [("train", "trained on these scans"), ("val", "selected on these scans")]
    )
    def test_a_models_own_scans_are_told(self, home, dataset_here, split, words):
        with open_dataset(dataset_here) as dataset:
            make_model("own", fingerprint=dataset.fingerprint)
        app = opened()
        assert words not in warned(app)
        box(app, "Split").select(split).run()
        assert words in warned(app)

    def test_a_dataset_built_anew_since_the_training_is_told(self, home, dataset_here):
        make_model("own", name="practice", fingerprint="of an earlier build")
        assert "an earlier build" in warned(opened())

    def test_a_model_starts_with_the_dataset_that_it_learned_from(self, home, dataset_here):
        newer = data_dir() / "newer.hdf5"
        newer.write_bytes(dataset_here.read_bytes())
        with h5py.File(newer, "r+") as file:
            file["split"][0] = (file["split"][0] + 1) % 3
        with open_dataset(dataset_here) as dataset:
            make_model("own", fingerprint=dataset.fingerprint)
        assert box(opened(), "Dataset").value == str(dataset_here)

    def test_what_was_chosen_stays_when_the_reader_visits_another_page(self, model, dataset_here):
        make_model("another")
        app = opened()
        box(app, "Model").select("another").run()
        box(app, "Split").select("val").run()
        app.switch_page("pages/lab/dataset/page.py").run()
        app.switch_page(EVALUATE).run()
        assert (box(app, "Model").value, box(app, "Split").value) == ("another", "val")

    def test_a_choice_that_was_deleted_meanwhile_is_made_anew(self, model, dataset_here):
        another = make_model("another")
        app = opened()
        box(app, "Model").select("another").run()
        shutil.rmtree(another.folder)
        app.run()
        assert not app.exception
        assert box(app, "Model").value == "chance"

    def test_a_damaged_dataset_beside_a_good_one_is_not_the_first(self, model, dataset_here):
        (data_dir() / "broken.hdf5").write_bytes(b"no HDF5")
        app = opened()
        assert box(app, "Dataset").value == str(dataset_here)
        box(app, "Dataset").select(str(data_dir() / "broken.hdf5")).run()
        assert len(app.error) == 1

    def test_notes_on_model_and_dataset_are_shown(self, model, dataset_here):
        app = opened()
        assert is_on(app, "A note on the model.")
        assert is_on(app, "drawn at random by patient")
