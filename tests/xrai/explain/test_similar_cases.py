import numpy as np
import pytest

from xrai.explain import similar_cases as neighbours
from xrai.explain.similar_cases import N_COMPONENTS, NeighbourIndex, fit_neighbour_index


def some(n=60, k=100, seed=0):
    """Features in two clouds, a class each, two scans a patient that lie close together."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], n // 2)
    patients = np.array([f"p{i // 2}" for i in range(n)])
    own = np.repeat(rng.normal(0, 1, (n // 2, k)), 2, axis=0)
    features = own + 0.05 * rng.normal(0, 1, (n, k)) + 3 * labels[:, None]
    return features.astype(np.float32), labels, np.arange(100, 100 + n), patients


def test_the_nearest_is_the_scan_itself_and_each_patient_stands_once():
    features, labels, rows, patients = some()
    known = fit_neighbour_index(features, labels, rows, patients)
    for i in (0, 7, 40, 59):
        found = known.find_nearest(features[i], 5)
        assert len(found) == 5
        assert patients[found[0].row - 100] == patients[i]
        assert found[0].similarity > 0.99
        assert len({patients[item.row - 100] for item in found}) == 5
        assert [item.similarity for item in found] == sorted((item.similarity for item in found), reverse=True)
        assert all(item.label == labels[item.row - 100] for item in found)


def test_the_nearest_are_of_the_same_kind():
    features, labels, rows, patients = some()
    known = fit_neighbour_index(features, labels, rows, patients)
    new, truth, _, _ = some(seed=1)
    hits = [item.label == truth[i] for i in range(len(new)) for item in known.find_nearest(new[i], 3)]
    assert np.mean(hits) > 0.95


def test_fewer_patients_than_asked_for_are_all_given():
    features, labels, rows, patients = some(n=4)
    assert len(fit_neighbour_index(features, labels, rows, patients).find_nearest(features[0], 6)) == 2


def test_a_single_scan_will_do():
    known = fit_neighbour_index(np.ones((1, 5), np.float32), [0], [3], ["p"])
    assert [item.row for item in known.find_nearest(np.ones(5, np.float32))] == [3]


def test_of_many_features_nearly_the_same_is_found(monkeypatch):
    features, labels, rows, patients = some()
    exact = fit_neighbour_index(features, labels, rows, patients)
    monkeypatch.setattr(neighbours, "MAX_EXACT_FEATURES", 10)
    quick = fit_neighbour_index(features, labels, rows, patients)
    assert quick.axes.shape == (min(60, N_COMPONENTS), features.shape[1])
    for feature in features[:5]:
        rows_of = [[item.row for item in found.find_nearest(feature, 3)] for found in (exact, quick)]
        assert rows_of[0] == rows_of[1]


def test_what_is_kept_finds_the_same():
    features, labels, rows, patients = some()
    known = fit_neighbour_index(features, labels, rows, patients)
    again = NeighbourIndex.from_tensors(known.to_tensors(), 2)
    for i in (0, 30):
        before, after = known.find_nearest(features[i], 4), again.find_nearest(features[i], 4)
        assert [patients[item.row - 100] for item in before] == [patients[item.row - 100] for item in after]
        assert np.allclose([item.similarity for item in before], [item.similarity for item in after], atol=0.01)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.full(60, 2)},
        {"labels": np.full(60, -1)},
        {"labels": np.zeros(59)},
        {"places": np.full((60, 60), np.nan)},
        {"axes": np.zeros((60, 7))},
        {"mean": np.zeros((2, 50))},
    ],
)
def test_foreign_or_damaged_tensors_are_refused(change):
    tensors = fit_neighbour_index(*some()).to_tensors()
    with pytest.raises(ValueError, match=r"\w"):
        NeighbourIndex.from_tensors(tensors | change, 2)
    with pytest.raises(LookupError):
        NeighbourIndex.from_tensors({name: value for name, value in tensors.items() if name not in change}, 2)
