"""Temperature scaling and prevalence."""

import json

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from tests.xrai.calibration.made_up import Margin, calibrated, honest, softmax
from xrai.calibration import Calibration, adjust_prevalence, fit_calibration, fit_cross_validated_calibration
from xrai.metrics import expected_calibration_error


class TestCalibration:
    def test_is_a_softmax_of_stretched_and_shifted_logits(self):
        logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
        p = Calibration(slope=0.5, offsets=(0.1, 0.2, -0.3))(logits)
        assert p.dtype == np.float64
        assert p == pytest.approx(softmax(0.5 * logits.astype(float) + [0.1, 0.2, -0.3]))

    def test_takes_huge_logits(self):
        assert Calibration(slope=1.0, offsets=(0.0, 0.0))([[1e4, -1e4]]).tolist() == [[1.0, 0.0]]

    def test_survives_json(self):
        for shares in (None, (0.25, 0.75)):
            one = Calibration(slope=0.7, offsets=(0.25, -0.25), prevalence=shares)
            assert Calibration.from_dict(json.loads(json.dumps(one.to_dict()))) == one

    @pytest.mark.parametrize(
        "change",
        [
            {"slope": 0},
            {"slope": -1},
            {"slope": float("nan")},
            {"slope": float("inf")},
            {"offsets": [0.1, 0.1]},
            {"offsets": [0.0]},
            {"offsets": [float("nan"), 0]},
            {"prevalence": [0.5, 0.6]},
            {"prevalence": [1.0]},
            {"prevalence": [1.5, -0.5]},
            {"prevalence": [float("nan"), 1.0]},
            {"slope": "steep"},
        ],
    )
    def test_refuses_what_is_none(self, change):
        with pytest.raises((TypeError, ValueError)):
            Calibration.from_dict({"slope": 1.0, "offsets": [0.0, 0.0], "prevalence": None} | change)

    def test_refuses_other_classes(self):
        with pytest.raises(ValueError, match="3 classes"):
            Calibration(slope=1.0, offsets=(0.0, 0.0))(np.zeros((2, 3)))


class TestFitCalibration:
    @pytest.mark.parametrize("offsets", [True, False])
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_leaves_what_is_calibrated_as_it_is(self, offsets, n_classes):
        found = fit_calibration(*calibrated(n_classes=n_classes), with_offsets=offsets)
        assert found.slope == pytest.approx(1, abs=0.05)
        assert found.offsets == pytest.approx((0,) * n_classes, abs=0.05)

    def test_undoes_a_stretch_and_a_shift(self):
        logits, labels = calibrated()
        found = fit_calibration((logits - [0.5, 0, -0.5]) * 4, labels, with_offsets=True)
        assert found.slope == pytest.approx(0.25, abs=0.01)
        assert found.offsets == pytest.approx((0.5, 0, -0.5), abs=0.06)
        assert expected_calibration_error(found((logits - [0.5, 0, -0.5]) * 4), labels) < 0.015

    def test_of_two_classes_is_platt_s_as_scikit_learn_has_it(self):
        rng = np.random.default_rng(1)
        margin = rng.normal(size=80) * 3
        labels = (margin + rng.normal(size=80) * 2 > 1).astype(int)
        x = margin[:, None]
        platt = CalibratedClassifierCV(FrozenEstimator(Margin().fit(x, labels)), method="sigmoid", ensemble=False)
        expected = platt.fit(x, labels).predict_proba(x)
        found = fit_calibration(np.stack([np.zeros(80), margin], axis=1), labels, with_offsets=True)
        assert found(np.stack([np.zeros(80), margin], axis=1)) == pytest.approx(expected, abs=1e-4)

    def test_of_many_scans_is_logistic_regression(self):
        logits, labels = calibrated(5000, 2, seed=2)
        margin = logits[:, 1:] - logits[:, :1]
        reference = LogisticRegression(C=np.inf, tol=1e-8).fit(margin, labels)
        found = fit_calibration(logits, labels, with_offsets=True)
        assert found(logits) == pytest.approx(reference.predict_proba(margin), abs=2e-3)

    def test_of_many_scans_is_scikit_learn_s_temperature(self):
        logits, labels = calibrated(5000, 3, seed=3)
        model = CalibratedClassifierCV(FrozenEstimator(Margin().fit(3 * logits, labels)), method="temperature")
        expected = model.fit(3 * logits, labels).predict_proba(3 * logits)
        found = fit_calibration(3 * logits, labels, with_offsets=False)
        assert found.offsets == (0, 0, 0)
        assert found(3 * logits) == pytest.approx(expected, abs=5e-3)

    @pytest.mark.parametrize("offsets", [True, False])
    @pytest.mark.parametrize("scale", [0.01, 1, 100])
    def test_separable_scans_do_not_make_it_certain(self, offsets, scale):
        labels = np.repeat([0, 1], 20)
        logits = scale * np.stack([-(2.0 * labels - 1), 2.0 * labels - 1], axis=1)
        p = fit_calibration(logits, labels, with_offsets=offsets)(logits)
        assert p.max() == pytest.approx(21 / 22, abs=1e-4)  # Laplace's rule of succession, at any scale

    def test_a_class_without_scans_stays_possible(self):
        logits, labels = calibrated(300, seed=4)
        logits, labels = logits[labels < 2], labels[labels < 2]
        found = fit_calibration(logits, labels, with_offsets=True)
        assert found.prevalence[2] == 0
        assert 0 < found(logits)[:, 2].mean() < 0.02

    def test_one_scan_will_do(self):
        assert 0.5 < fit_calibration([[0.0, 1.0]], [1], with_offsets=True)([[0.0, 1.0]])[0, 1] < 0.7

    def test_answers_that_say_nothing_or_the_opposite_become_all_but_equal(self):
        logits, labels = calibrated(2000, 2, seed=5)
        p = fit_calibration(-logits, labels, with_offsets=True)(logits)
        assert np.ptp(p) < 0.03
        constant = fit_calibration(np.zeros((50, 2)), [0] * 10 + [1] * 40, with_offsets=True)
        assert constant([[0.0, 0.0]])[0, 1] == pytest.approx(0.8, abs=0.03)

    def test_of_other_shares_holds_for_those(self):
        rng = np.random.default_rng(6)
        labels = (rng.random(15_000) < 0.9).astype(int)
        x = rng.normal(2.0 * labels - 1, 1)
        logits = np.stack([-x, x], axis=1)  # right where both classes are as frequent
        even = fit_calibration(logits, labels, with_offsets=True, prevalence=(0.5, 0.5))
        assert even.prevalence == (0.5, 0.5)
        assert even(logits) == pytest.approx(softmax(logits), abs=0.03)
        seen = fit_calibration(logits, labels, with_offsets=True)
        assert seen.prevalence == pytest.approx((0.1, 0.9), abs=0.01)
        assert seen(logits) == pytest.approx(adjust_prevalence(softmax(logits), (0.5, 0.5), (0.1, 0.9)), abs=0.03)

    def test_weights_count_as_scans_and_their_unit_does_not_matter(self):
        logits, labels = calibrated(200, 2, seed=7)
        weights = np.where(np.arange(200) < 100, 1.0, 0.0)
        half = fit_calibration(logits[:100], labels[:100], with_offsets=True)
        for unit in (1, 0.01, 1000):
            found = fit_calibration(logits, labels, with_offsets=True, weights=unit * weights)
            assert found(logits) == pytest.approx(half(logits), abs=1e-5)

    @pytest.mark.parametrize(
        ("labels", "options"),
        [
            ([0, 1, 1], {}),
            ([0, 2], {}),
            ([0, 1], {"weights": [1, -1]}),
            ([0, 1], {"weights": [0, 0]}),
            ([0, 1], {"weights": [1]}),
            ([0, 0], {"prevalence": (0.5, 0.5)}),
            ([0, 1], {"prevalence": (0.5, 0.4)}),
        ],
    )
    def test_refuses_what_does_not_fit(self, labels, options):
        with pytest.raises(ValueError):
            fit_calibration([[0.0, 1.0], [1.0, 0.0]], labels, with_offsets=True, **options)

    def test_refuses_no_scans(self):
        with pytest.raises(ValueError, match="needs scans"):
            fit_calibration(np.zeros((0, 2)), [], with_offsets=True)


class TestPrevalence:
    def test_is_bayes_rule(self):
        """Of 1,000 at 10 %: a finding twice as frequent in the sick takes 1 : 9 to 2 : 9."""
        assert adjust_prevalence([[1 / 3, 2 / 3]], (0.5, 0.5), (0.9, 0.1))[0] == pytest.approx([9 / 11, 2 / 11])

    def test_there_and_back_is_where_it_was(self):
        p, shares = softmax(calibrated(50)[0]), ((0.2, 0.3, 0.5), (0.6, 0.3, 0.1))
        moved = adjust_prevalence(p, *shares)
        assert moved.sum(axis=1) == pytest.approx(1)
        assert adjust_prevalence(moved, *shares[::-1]) == pytest.approx(p)
        assert adjust_prevalence(p, shares[0], shares[0]) == pytest.approx(p)

    @pytest.mark.parametrize("shares", [(1.0, 0.0), (0.5, 0.4), (0.2, 0.3, 0.5)])
    def test_refuses_what_are_no_shares(self, shares):
        with pytest.raises(ValueError):
            adjust_prevalence([[0.5, 0.5]], (0.5, 0.5), shares)


def test_a_slope_is_kept_where_it_foretells_held_out_patients_better():
    logits, labels = honest(600, 0, times=4)
    fitted = fit_cross_validated_calibration(logits, labels, range(600), prevalence=(0.5, 0.5))
    assert fitted.slope == pytest.approx(0.25, rel=0.25)
    assert fitted == fit_calibration(logits, labels, with_offsets=False, prevalence=(0.5, 0.5))


def test_few_scans_of_a_network_that_is_right_leave_it_as_it_is():
    """A fit from few scans is so cautious that it makes good probabilities too mild."""
    labels = np.tile([0, 1, 2], 12)
    logits = 4 * np.eye(3)[labels] + np.random.default_rng(1).normal(0, 0.8, (36, 3))
    shares = (1 / 3, 1 / 3, 1 / 3)
    assert fit_calibration(logits, labels, with_offsets=False, prevalence=shares).slope < 1
    assert fit_cross_validated_calibration(logits, labels, range(36), prevalence=shares) == Calibration(
        slope=1.0, offsets=(0.0,) * 3, prevalence=shares
    )


@pytest.mark.parametrize("n", [2, 3])
def test_a_patient_or_two_a_class_tell_nothing(n):
    labels = np.arange(n) % 2
    found = fit_cross_validated_calibration(np.eye(2)[labels], labels, range(n), prevalence=(0.5, 0.5))
    assert found.slope == 1.0


def test_scans_of_one_patient_are_never_told_apart_by_the_folds():
    logits, labels = honest(200, 2, times=3)
    once = fit_cross_validated_calibration(logits, labels, range(200), prevalence=(0.5, 0.5))
    twice = fit_cross_validated_calibration(
        np.repeat(logits, 2, axis=0), np.repeat(labels, 2), np.repeat(np.arange(200), 2), prevalence=(0.5, 0.5)
    )
    assert once.slope == pytest.approx(twice.slope, rel=0.1)
