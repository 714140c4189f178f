"""Choosing the operating point on the page Evaluate."""

import json
from dataclasses import replace

import h5py
import pytest

from pages.lab.evaluate import decision_effects, exports
from tests.pages.evaluate.page import (
    BACK,
    USE,
    box,
    button,
    effects,
    goal_of,
    is_on,
    make_model,
    make_ready,
    opened,
    plainly,
    prevalence,
    shown_figures,
    slider,
    warned,
)
from xrai.calibration import ThresholdGoal, threshold_points
from xrai.data.dataset import open_dataset
from xrai.evaluation.store import evaluation_folder, load_evaluation, save_evaluation
from xrai.metrics import predict
from xrai.models.checkpoint import Checkpoint
from xrai.models.operating_point import update_operating_point


@pytest.mark.usefixtures("no_cells")
class TestChoosing:
    """Threshold, doubt and prevalence: tried on the page, then put in force."""

    def test_what_is_in_force_is_told_and_the_controls_stand_at_it(self, ready, measured_ready):
        app = opened()
        assert is_on(app, "In use**: positive for Opacity at 50.0 % or above, chosen to call")
        assert goal_of(app).value == "argmax"
        assert (button(app, USE).disabled, button(app, BACK).disabled) == (True, True)
        assert is_on(app, "Set beforehand, and tried on 160 scans that the model did not learn from")
        assert is_on(app, "Of 100 children with the answer Opacity, about")

    @pytest.mark.parametrize(
        ("kind", "limit", "words"),
        [
            ("max_fnr", 12.5, "to miss at most 12.5 in 100 scans of Opacity"),
            ("max_fpr", 20.0, "to take at most 20 in 100 scans of Clear for Opacity"),
            ("fixed", 31.0, "to call Opacity from a probability of 31 % on"),
        ],
    )
    def test_a_goal_shows_at_once_what_comes_out_and_then_decides(self, ready, measured_ready, kind, limit, words):
        app, before = opened(), ready.read_card()
        goal_of(app).set_value(kind).run()
        slider(app, 0).set_value(limit).run()
        assert not app.exception
        assert is_on(app, words)
        assert ready.read_card() == before, "so far it is only tried"
        figures = shown_figures(app)
        button(app, USE).click().run()
        assert not app.exception
        card = ready.read_card()
        assert card.threshold.goal == ThresholdGoal(kind=kind, limit=limit / 100)
        assert card.abstention == before.abstention
        assert "New rule: positive for Opacity at" in plainly(app.success[0].value)
        assert button(app, USE).disabled
        said = load_evaluation(measured_ready).predictions
        accuracy = (predict(said.probabilities, card.threshold_value) == said.labels).mean()
        assert shown_figures(app)["Accuracy"] == f"{100 * accuracy:.1f} %" != figures["Accuracy"]

    def test_the_first_choice_can_be_taken_back_to(self, ready, measured_ready):
        update_operating_point(ready, goal=ThresholdGoal(kind="max_fnr", limit=0.1))
        app = opened()
        assert (goal_of(app).value, slider(app, 0).value) == ("max_fnr", 10.0)
        goal_of(app).set_value("argmax").run()
        button(app, USE).click().run()
        assert ready.read_card().threshold.value == 0.5

    def test_fewer_wrong_answers_mean_fewer_answers(self, ready, measured_ready):
        app, before = opened(), ready.read_card()
        many = shown_figures(app)["Uncertain"]
        slider(app, -1).set_value(19.5).run()
        assert shown_figures(app)["Uncertain"] == many, "what was measured stays as it is in force"
        assert is_on(app, "at most 19.5 in 100 scans of each class get a wrong one")
        button(app, USE).click().run()
        assert ready.read_card().abstention.alpha == pytest.approx(0.195)
        assert ready.read_card().threshold == before.threshold
        assert int(shown_figures(app)["Uncertain"]) < int(many)

    def test_fewer_than_the_patients_allow_cannot_be_asked_for(self, ready, dataset_here):
        app = opened()
        assert slider(app, -1).min == pytest.approx(2.4), "of 40 patients 1 in 41"
        assert is_on(app, "Below 2.4 is not possible with so few patients")

    def test_a_prevalence_moves_the_1000_at_once_and_is_kept(self, ready, measured_ready):
        app = opened()
        assert is_on(app, "Not set: 50 in 100 is assumed")
        prevalence(app).set_value(20.0).run()
        assert is_on(app, "1,000 children, of whom 20 in 100 have opacity")
        assert ready.read_card().local_prevalence is None
        before = ready.read_card()
        button(app, USE).click().run()
        card = ready.read_card()
        assert (card.local_prevalence, card.abstention) == (0.2, before.abstention)
        assert card.to_local_prevalence(card.threshold_value) == pytest.approx(0.5), (
            "likelier among the team's own patients"
        )
        assert is_on(app, "Probabilities are adjusted to your prevalence: 20 in 100 children have opacity.")

    def test_back_takes_the_controls_to_what_is_in_force(self, ready, dataset_here):
        app, before = opened(), ready.read_card()
        goal_of(app).set_value("fixed").run()
        slider(app, 0).set_value(80.0).run()
        slider(app, -1).set_value(15.0).run()
        prevalence(app).set_value(3.0).run()
        button(app, BACK).click().run()
        assert not app.exception
        assert (goal_of(app).value, prevalence(app).value) == ("argmax", 50.0)
        assert button(app, USE).disabled
        assert ready.read_card() == before

    def test_limits_that_were_set_elsewhere_fit_the_controls(self, ready, dataset_here):
        update_operating_point(ready, goal=ThresholdGoal(kind="max_fnr", limit=0.4444), alpha=0.5)
        app, before = opened(), ready.read_card()
        assert (slider(app, 0).value, slider(app, -1).value) == (44.4, 50.0)
        assert button(app, USE).disabled
        prevalence(app).set_value(7.0).run()
        button(app, USE).click().run()
        assert ready.read_card() == before.replace(local_prevalence=0.07), (
            "to the last digit"
        )  # a limit on errors stays

    def test_a_tab_that_tries_nothing_shows_what_another_put_in_force(self, ready, measured_ready):
        app = opened()
        update_operating_point(ready, goal=ThresholdGoal(kind="fixed", limit=0.31))
        app.run()
        assert not app.exception
        assert is_on(app, "positive for Opacity at 31.0 % or above")
        assert (goal_of(app).value, slider(app, 0).value) == ("fixed", 31.0)

    def test_of_two_who_choose_at_once_the_last_one_wins_and_is_told(self, ready, measured_ready):
        app = opened()
        goal_of(app).set_value("max_fnr").run()
        update_operating_point(ready, goal=ThresholdGoal(kind="fixed", limit=0.31))
        app.run()
        assert "somebody else changed these settings" in warned(app)
        assert is_on(app, "positive for Opacity at 31.0 % or above")
        assert is_on(app, "to miss at most 5 in 100 scans of Opacity"), "what was tried stays"
        button(app, USE).click().run()
        assert ready.read_card().threshold.goal == ThresholdGoal(kind="max_fnr", limit=0.05)
        assert "somebody else" not in warned(app)

    def test_a_click_counts_also_when_another_was_quicker(self, ready, measured_ready):
        app = opened()
        goal_of(app).set_value("max_fnr").run()
        update_operating_point(ready, alpha=0.3)
        button(app, USE).click().run()
        card = ready.read_card()
        assert (card.threshold.goal.kind, card.abstention.alpha) == ("max_fnr", 0.3)

    def test_looking_at_the_test_scans_is_warned_of(self, ready, measured_ready):
        app = opened()
        assert is_on(app, "never on the test scans")
        assert "Test scans of practice" in effects(app).columns
        assert is_on(app, "If they are like the test scans instead")

    def test_the_scans_that_it_is_chosen_on_are_shown_once(self, ready, dataset_here, made_up_ready):
        with open_dataset(dataset_here) as dataset:
            ready.write_card(
                ready.read_card().replace(dataset=ready.read_card().dataset.replace(fingerprint=dataset.fingerprint))
            )
        found = replace(made_up_ready, report=made_up_ready.report | {"split": "val"})
        save_evaluation(evaluation_folder(ready, dataset_here, "val"), found)
        app = opened()
        box(app, "Split").select("val").run()
        assert not is_on(app, "never on the test scans")
        assert len(effects(app).columns) == 2

    def test_it_can_be_chosen_before_anything_is_measured(self, ready, dataset_here):
        app = opened()
        goal_of(app).set_value("max_fnr").run()
        assert len(effects(app).columns) == 2
        button(app, USE).click().run()
        assert not app.exception
        assert ready.read_card().threshold.goal.kind == "max_fnr"

    def test_several_classes_have_only_a_doubt(self, home, dataset_here):
        classes = ("Normal", "Covid", "Viral Pneumonia")
        checkpoint = make_model("three", classes)
        make_ready(checkpoint)
        with h5py.File(dataset_here, "r+") as file:
            file.attrs["classes"] = json.dumps(classes)
        app = opened()
        assert not app.exception
        assert is_on(app, "Uncertain answers")
        assert not app.radio
        slider(app, 0).set_value(19.0).run()
        button(app, USE).click().run()
        assert not app.exception
        assert checkpoint.read_card().abstention.alpha == pytest.approx(0.19)
        assert checkpoint.read_card().threshold is None
        assert "At most 19 in 100 scans of each class" in app.success[0].value

    def test_without_scans_of_a_class_nothing_can_be_chosen(self, model, dataset_here):
        make_ready(model, only=1)
        assert is_on(opened(), "a class has no validation scans")

    def test_threshold_and_zone_are_told_among_the_teams_patients_like_on_diagnose(self, ready, measured_ready):
        """One page once told them for the scans that the model was fitted on, the other for the team's patients."""
        update_operating_point(ready, goal=ThresholdGoal(kind="max_fnr", limit=0.1), prevalence=0.1)
        card = ready.read_card()
        value, (low, high) = (
            card.to_local_prevalence(card.threshold_value),
            map(card.to_local_prevalence, card.abstention.reject_zone(card.threshold_value)),
        )
        assert abs(value - card.threshold_value) > 0.05
        app = opened()
        assert is_on(app, f"positive for Opacity at {100 * value:.1f} % or above, chosen to miss at most 10")
        assert is_on(app, f"Between {100 * low:.1f} % and {100 * high:.1f} % the answer is “uncertain")
        first, last = (card.to_local_prevalence(end) for end in card.threshold.fit.interval)
        assert is_on(app, f"might have come out between {100 * first:.1f} % and {100 * last:.1f} %")
        layout = json.loads(app.get("plotly_chart")[0].proto.spec)["layout"]
        drawn = {shape["name"]: (shape["x0"], shape["x1"]) for shape in layout["shapes"]}
        assert drawn["chosen"] == pytest.approx((value, value))
        assert drawn["zone"] == pytest.approx((low, high))
        assert drawn["interval"] == pytest.approx((first, last))
        assert layout["title"]["subtitle"]["text"].replace("<br>", " ").endswith("10 in 100 children have opacity.")

    def test_the_curves_of_the_threshold_are_drawn_over_told_probabilities(self, ready, measured_ready, monkeypatch):
        update_operating_point(ready, prevalence=0.1)
        card, drawn, draw = ready.read_card(), [], decision_effects.threshold_figure

        def watched(points, *args, **more):
            drawn.append(points)
            return draw(points, *args, **more)

        monkeypatch.setattr(decision_effects, "threshold_figure", watched)
        decision_effects.operating_point_figures(ready, card, ["x"])
        validation = decision_effects.load_validation(ready, decision_effects.artifacts_key(ready))
        fitted = threshold_points(card.to_probabilities(validation.logits)[:, 1], validation.labels)
        assert drawn[0]["threshold"] == pytest.approx(
            [card.to_local_prevalence(share) for share in fitted["threshold"]]
        )
        assert drawn[0]["sensitivity"] == fitted["sensitivity"]

    def test_a_probability_that_is_set_is_one_among_the_teams_patients(self, ready, measured_ready):
        update_operating_point(ready, prevalence=0.1)
        app = opened()
        goal_of(app).set_value("fixed").run()
        slider(app, 0).set_value(31.0).run()
        button(app, USE).click().run()
        card = ready.read_card()
        assert card.threshold_value == pytest.approx(card.from_local_prevalence(0.31)) != 0.31
        assert is_on(app, "positive for Opacity at 31.0 % or above")
        assert button(app, USE).disabled

    def test_another_prevalence_shows_at_once_that_other_scans_are_called(self, ready, measured_ready):
        """Whichever class is likelier among the team's patients: the page once said that what is called stays."""
        app = opened()
        before = effects(app)
        prevalence(app).set_value(10.0).run()
        assert effects(app).iloc[0, 1] != before.iloc[0, 1], "fewer are found where the disease is rare"
        assert is_on(app, "Between") and ready.read_card().local_prevalence is None
        assert "What is called and when it is not sure stays" not in prevalence(app).help
        assert "the answers change with it" in prevalence(app).help

    def test_a_full_disk_is_one_sentence(self, ready, measured_ready, monkeypatch):
        app = opened()
        goal_of(app).set_value("max_fnr").run()

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Checkpoint, "write_card", full)
        button(app, USE).click().run()
        assert not app.exception
        assert "No space left" in plainly(app.error[0].value)

    def test_what_is_chosen_goes_along(self, ready, measured_ready, monkeypatch):
        taken = {}
        monkeypatch.setattr(exports, "charts_html", lambda name, facts, measured, figures: taken.update(figures) or b"")
        about = {}
        monkeypatch.setattr(exports, "report_json", lambda measured, more: about.update(more) or b"")
        monkeypatch.setattr(exports.st, "download_button", lambda label, make, *_, **__: make())
        update_operating_point(ready, goal=ThresholdGoal(kind="max_fnr", limit=0.1), prevalence=0.2)
        opened()
        assert {"confusion", "threshold", "reliability-1"} <= taken.keys()
        assert (about["chosen"]["goal"]["kind"], about["prevalence"]) == ("max_fnr", 0.2)
