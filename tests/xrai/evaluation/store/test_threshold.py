"""Evaluation results under the threshold of a card."""

import json

import pytest

from tests.xrai.evaluation.store.results import DOUBT, LATER, TWO, Decides, change, make, same
from xrai.calibration import Calibration, ConformalAbstention
from xrai.evaluation.store import load_evaluation, save_evaluation, with_threshold


class TestAsDecided:
    @pytest.mark.parametrize(
        "doubt", [None, ConformalAbstention(alpha=0.1, thresholds=(0.3, 0.4), n_patients=(40, 40))]
    )
    @pytest.mark.parametrize("threshold", [0.2, 0.7])
    def test_it_is_what_measuring_anew_would_give(self, threshold, doubt):
        kept = make(60, classes=TWO, threshold=0.5)
        again = with_threshold(kept, Decides(threshold, doubt))
        same(again, make(60, classes=TWO, threshold=threshold, doubt=doubt))
        assert again.report["confusion_matrix"] != kept.report["confusion_matrix"]
        assert kept.report["threshold"] == 0.5, "the kept one stays as it is"

    def test_of_what_is_decided_alike_nothing_is_worked_out_anew(self, folder):
        doubt = ConformalAbstention(alpha=0.1, thresholds=(0.3, 0.4), n_patients=(40, 40))
        save_evaluation(folder, make(classes=TWO, threshold=0.5, doubt=doubt))
        kept = load_evaluation(folder)
        assert with_threshold(kept, Decides(0.5, doubt)) is kept

    def test_what_comes_out_can_be_kept_and_read_back(self, folder):
        again = with_threshold(
            make(classes=TWO, threshold=0.5),
            Decides(0.3, ConformalAbstention(alpha=0.1, thresholds=(0.3, 0.4), n_patients=(40, 40))),
        )
        save_evaluation(folder, again)
        same(load_evaluation(folder), again)

    def test_more_classes_follow_the_doubt(self):
        again = with_threshold(make(), Decides(doubt=DOUBT))
        same(again, make(doubt=DOUBT))
        assert 0 < again.report["answered"]["n_answered"] < 30

    def test_of_the_unseen_what_depends_on_the_threshold_is_not_known_any_more(self):
        unseen = {
            "n": 9,
            "n_patients": 5,
            "accuracy": 0.6,
            "accuracy_interval": [0.3, 0.8],
            "auc": 0.7,
            "auc_interval": [0.5, 0.9],
            "per_class": {"CLEAR": {}},
        }
        kept = make(classes=TWO, threshold=0.5, seen=21, unseen=unseen)
        assert (
            with_threshold(
                kept, Decides(0.5, ConformalAbstention(alpha=0.1, thresholds=(0.3, 0.4), n_patients=(40, 40)))
            ).report["unseen"]
            == unseen
        )
        moved = with_threshold(kept, Decides(0.4)).report["unseen"]
        assert (moved["accuracy"], moved["accuracy_interval"], moved["auc"], moved["n"]) == (None, None, 0.7, 9)

    @pytest.mark.parametrize("lacking", [LATER, LATER[:1], LATER[1:3]])
    def test_a_report_of_an_earlier_version_opens_and_gets_what_it_lacks(self, folder, lacking):
        save_evaluation(folder, make(classes=TWO, threshold=0.5))
        change(folder, lambda values: [values.pop(name) for name in lacking])
        kept = load_evaluation(folder)
        assert kept.abstention is None
        assert kept.is_confident.all()
        again = with_threshold(kept, Decides(0.5)).report
        whole = json.loads(json.dumps(make(classes=TWO, threshold=0.5).report))
        del whole["calibration"]
        assert {name: json.loads(json.dumps(again[name])) for name in whole} == whole


@pytest.mark.parametrize(
    ("kept", "now", "is_same"),
    [
        (None, None, True),
        (None, Calibration(slope=1.0, offsets=(0.0, 0.0)), False),
        (Calibration(slope=1.5, offsets=(0.0, 0.0)), None, False),
        (
            Calibration(slope=1.5, offsets=(0.0, 0.0)),
            Calibration(slope=1.5 + 1e-9, offsets=(0.0, 0.0), prevalence=(0.5, 0.5)),
            True,
        ),
        (Calibration(slope=1.5, offsets=(0.0, 0.0)), Calibration(slope=1.51, offsets=(0.0, 0.0)), False),
        (Calibration(slope=1.5, offsets=(0.0, 0.0)), Calibration(slope=1.5, offsets=(0.1, -0.1)), False),
    ],
)
def test_probabilities_are_those_of_a_card_with_the_same_calibration(kept, now, is_same):
    """Another processor fits the same calibration but for a rounding."""
    found = make(classes=TWO, threshold=0.5, calibration=kept.to_dict() if kept else None)
    assert found.has_calibration_of(Decides(calibration=now)) == is_same


def test_a_scan_is_sure_where_the_doubt_of_its_measurement_says_so():
    doubt = ConformalAbstention(alpha=0.1, thresholds=(0.3, 0.4), n_patients=(40, 40))
    found = make(60, classes=TWO, threshold=0.5, doubt=doubt)
    assert found.is_confident.sum() == found.report["answered"]["n_answered"]
    assert (
        found.is_confident.tolist()
        == doubt.is_confident(found.predictions.probabilities, found.predictions.predicted).tolist()
    )
