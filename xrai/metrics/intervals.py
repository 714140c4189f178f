"""How far the measures of other patients might lie from those of these: intervals, resampled by patient."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Floats, Interval
from xrai.metrics.formulas import f1_interval, mean_recall_interval, newcombe_auc_interval, wilson_patient_interval
from xrai.metrics.measures import auc_classes, precision_recall_f1, safe_divide
from xrai.metrics.resampling import BootstrapSample, bootstrap, bootstrap_aucs, make_sample

_METRICS = ("accuracy", "balanced_accuracy", "auc")
_CLASS_METRICS = ("precision", "recall", "f1", "auc")


def bootstrap_intervals(
    probabilities: ArrayLike,
    labels: ArrayLike,
    groups: Iterable[Hashable],
    *,
    threshold: float | None = None,
    n_rounds: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval | None]:
    """Give the intervals of `accuracy`, `balanced_accuracy` and `auc` at `level`, resampling patients, not scans.

    `groups` (N,) names each scan's patient. Scans of one patient resemble each other, so patients are drawn with
    replacement, each with all its scans, and the percentiles taken (Field and Welsh, J R Stat Soc B 2007;69:369–390).
    Rounds in which a class of the sample went missing leave a measure undefined and are left out of it.

    A bootstrap cannot imagine an error that it never saw: when every scan is right it says [1, 1], for 30 scans as for
    3,000. So each interval is widened to hold also the one that a formula gives for as many *patients*, as if the
    scans of one patient were a single finding; that errs on the side of caution.

    - accuracy: Wilson's score interval (J Am Stat Assoc 1927;22:209–212), the bootstrap's remedy near 0 and 1;
    - balanced accuracy, the mean recall of the classes present: Wilson's for each class, their arms added as errors are
      (MOVER; Zou, Psychol Methods 2007;12:399–413), correlated by the share of patients with scans of both classes;
    - AUC: Newcombe's score interval with Hanley and McNeil's variance (method 5; Stat Med 2006;25:559–573); of more
      than two classes the mean of the limits, which is wide enough however the classes hang together.

    None for a measure that is itself undefined: the AUC of a single class, everything where there are no scans.
    """
    sample, z = make_sample(probabilities, labels, groups, threshold), z_score(n_rounds, level)
    if not len(sample.labels):
        return dict.fromkeys(_METRICS)
    replicates = bootstrap(sample, _bootstrap_metrics, n_rounds, seed)  # (3, R)
    return _widen_intervals(_analytic_intervals(sample, z), replicates, level)


def class_intervals(
    probabilities: ArrayLike,
    labels: ArrayLike,
    groups: Iterable[Hashable],
    *,
    threshold: float | None = None,
    n_rounds: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> list[dict[str, Interval | None]]:
    """Give for every class, in order, the intervals of its `precision`, `recall`, `f1` and `auc` against the rest.

    Patients are drawn as `bootstrap_intervals` draws them, the same ones for the same seed, and its reasons and sources
    hold here too. The formulas, with patients as cases:

    - precision and recall: Wilson's, of the patients with a scan taken for the class, and with a scan of it;
    - F1: it is 2J / (1 + J) of J, the scans of the class read right among all that are of it or were taken for it (Hand
      et al., Mach Learn 2021;110:451–456), and rises with it, so that Wilson's limits of J, of the patients with such a
      scan, become limits of F1 (the indirect method of Lam et al., arXiv:2309.14621, 2023);
    - AUC: Newcombe's, as above.

    None for a measure that is itself undefined: the precision of a class never predicted, the recall of one without
    scans, the F1 of one that is neither, the AUC where no scan is of the class or every one is.
    """
    sample, z = make_sample(probabilities, labels, groups, threshold), z_score(n_rounds, level)
    classes = range(sample.scores.shape[1])
    if not len(sample.labels):
        return [dict.fromkeys(_CLASS_METRICS) for _ in classes]
    replicates = bootstrap(sample, _bootstrap_class_metrics, n_rounds, seed)  # (4, C, R)
    return [_widen_intervals(_class_analytic_intervals(sample, k, z), replicates[:, k], level) for k in classes]


# --- what intervals of measures and of shares have in common ----------------------------------------------------------


def z_score(n_rounds: int, level: float) -> float:
    """How many standard deviations the level stands for; refuses settings that make no sense."""
    if n_rounds < 1 or not 0 < level < 1:
        raise ValueError(f"Intervals need a round and a level between 0 and 1, not {n_rounds} and {level}.")
    return NormalDist().inv_cdf((1 + level) / 2)


def widen_to_percentiles(analytic_interval: Interval, replicates: Floats, level: float) -> Interval:
    """Widen the formula's interval to hold also the percentiles of the replicates that are defined."""
    defined = replicates[~np.isnan(replicates)]
    if not len(defined):
        return analytic_interval
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return min(analytic_interval[0], float(low)), max(analytic_interval[1], float(high))


def _bootstrap_metrics(sample: BootstrapSample, draw_counts: Floats) -> Floats:
    """Accuracy, balanced accuracy and AUC in every round of `drawn` (P, r): (3, r), NaN where undefined."""
    has_scans = sample.support.any(axis=0)
    true_positives, support = (
        sample.true_positives[:, has_scans].T @ draw_counts,
        sample.support[:, has_scans].T @ draw_counts,
    )  # (K, r)
    accuracy = true_positives.sum(axis=0) / support.sum(axis=0)
    balanced_accuracy = safe_divide(true_positives, support, undefined=np.nan).mean(axis=0)
    classes = auc_classes(sample.scores, sample.labels)
    auc = bootstrap_aucs(sample, draw_counts, classes).mean(axis=0) if classes else np.full_like(accuracy, np.nan)
    return np.stack([accuracy, balanced_accuracy, auc])


def _bootstrap_class_metrics(sample: BootstrapSample, draw_counts: Floats) -> Floats:
    """Every class's precision, recall, F1 and AUC in every round of `drawn` (P, r): (4, C, r), NaN where undefined."""
    true_positives, support, predicted_positives = (
        counts.T @ draw_counts for counts in (sample.true_positives, sample.support, sample.predicted_positives)
    )  # (C, r)
    ratios = precision_recall_f1(true_positives, support, predicted_positives, undefined=np.nan)
    return np.stack([*ratios, bootstrap_aucs(sample, draw_counts, range(len(true_positives)))])


def _analytic_intervals(sample: BootstrapSample, z: float) -> dict[str, Interval | None]:
    """Give the intervals that take every patient for one case, in the order of `_measures`."""
    has_scans = sample.support.any(axis=0)
    limits = [_analytic_auc_interval(sample, k, z) for k in auc_classes(sample.scores, sample.labels)]
    return {
        "accuracy": wilson_patient_interval(sample.true_positives.sum(axis=1), sample.support.sum(axis=1), z),
        "balanced_accuracy": mean_recall_interval(sample.true_positives[:, has_scans], sample.support[:, has_scans], z),
        "auc": _mean_interval([interval for interval in limits if interval]),
    }


def _class_analytic_intervals(sample: BootstrapSample, k: int, z: float) -> dict[str, Interval | None]:
    """Give class k's intervals that take every patient for one case, in the order of `_class_measures`."""
    true_positives, support, predicted_positives = (
        sample.true_positives[:, k],
        sample.support[:, k],
        sample.predicted_positives[:, k],
    )
    return {
        "precision": wilson_patient_interval(true_positives, predicted_positives, z),
        "recall": wilson_patient_interval(true_positives, support, z),
        "f1": f1_interval(true_positives, support, predicted_positives, z),
        "auc": _analytic_auc_interval(sample, k, z),
    }


def _analytic_auc_interval(sample: BootstrapSample, k: int, z: float) -> Interval | None:
    return newcombe_auc_interval(sample.scores[:, k], sample.labels == k, sample.patient_codes, z)


def _mean_interval(intervals: Sequence[Interval]) -> Interval | None:
    if not intervals:
        return None
    low, high = np.mean(intervals, axis=0)
    return float(low), float(high)


def _widen_intervals(
    analytic_intervals: dict[str, Interval | None], replicates: Iterable[Floats], level: float
) -> dict[str, Interval | None]:
    """Widen each measure's formula interval to hold also the percentiles of its replicates, (R,) each."""
    return {
        name: analytic_interval and widen_to_percentiles(analytic_interval, metric_replicates, level)
        for (name, analytic_interval), metric_replicates in zip(analytic_intervals.items(), replicates, strict=True)
    }
