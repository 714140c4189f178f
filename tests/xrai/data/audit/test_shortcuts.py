"""Shortcuts, split shift and outliers."""

import numpy as np
import pytest

from tests.xrai.data.audit.audits import SIDE, coded, findings, framed, named, set_of, unheard
from xrai.data.audit import run_audit
from xrai.data.audit.image_quality import count_letters_in_line, measure_uniform_border
from xrai.data.audit.linear_probe import MAX_SCANS, run_linear_probe, sample_rows
from xrai.data.dataset import open_dataset


def test_a_bright_border_of_one_class_is_a_shortcut(build, films):
    def change(split, label, pixels):
        return framed(pixels, 90 if label == "A" else 200)

    found, _ = findings(build(set_of(films, change=change)))
    border = found["shortcut-border"]
    assert border.severity == "serious"
    assert border.numbers["auc"] > 0.95
    assert "chance would be 0.50" in border.sentence


def test_without_a_shortcut_the_border_is_no_better_than_chance(build, films):
    found, _ = findings(build(set_of(films)))
    low, high = found["shortcut-border"].numbers["interval"]
    assert found["shortcut-border"].severity == "fine"
    assert low <= 0.5 <= high or high < 0.5


def test_a_class_in_a_format_of_its_own_is_a_shortcut(build, films):
    files = {}
    for place, pixels in set_of(films).items():
        jpeg = "/B/" in place
        files[place.replace(".png", ".jpg") if jpeg else place] = coded(pixels, format="JPEG") if jpeg else pixels
    found, _ = findings(build(files))
    assert found["shortcut-file-facts"].severity == "serious"
    assert found["shortcut-file-facts"].numbers["auc"] > 0.95


def test_a_test_split_from_elsewhere_has_shifted(build, films):
    def change(split, label, pixels):
        return framed(pixels, 200) if (split, label) == ("test", "A") else pixels

    with open_dataset(build(set_of(films, n_test=20, change=change))) as dataset:
        shifted, steady = (
            next(item for item in run_audit(dataset).findings if item.kind == "shift" and item.classes == (name,))
            for name in "AB"
        )
    assert shifted.severity == "serious"
    assert shifted.numbers["auc"] > 0.9
    assert "threshold" in shifted.advice
    assert steady.severity == "fine"


def test_a_guess_needs_two_patients_of_each_class():
    features = np.random.default_rng(0).normal(size=(20, 3))
    labels = np.arange(20) % 2
    assert run_linear_probe(features, labels, np.where(labels, "one", np.arange(20).astype(str)), unheard) is None
    assert run_linear_probe(features, np.zeros(20, int), np.arange(20), unheard) is None
    assert run_linear_probe(features, labels, np.arange(20), unheard).patients == 20


def test_a_guess_of_nothing_is_chance():
    found = run_linear_probe(np.zeros((40, 100)), np.arange(40) % 2, np.arange(40), unheard)
    assert found.low <= 0.5 <= found.high


def test_some_are_always_the_same():
    rows = np.arange(2 * MAX_SCANS)
    assert len(sample_rows(rows)) == MAX_SCANS
    assert (sample_rows(rows) == sample_rows(rows)).all()
    assert sample_rows(rows[:7]).tolist() == list(range(7))


# --- films ------------------------------------------------------------------------------------------------------------


def test_blank_and_framed_films_are_found(build, films):
    wide = films[30].copy()
    wide[:, :20], wide[:, -20:] = 0, 0
    wide[10, :20], wide[10, -20:] = 25, 25  # not quite plain, else the bands would be cropped
    blank = np.full((SIDE, SIDE), 17, np.uint8)
    found, files = findings(build(set_of(films) | {"train/A/blank.png": blank, "train/A/wide.png": wide}))
    assert named(found["blank-films"].suggestion, files) == {"train/A/blank.png"}
    assert found["blank-films"].severity == "serious"
    assert named(found["bordered-films"].rows, files) == {"train/A/wide.png"}


def test_inverted_and_turned_films_are_odd(build, films):
    changed = {"train/A/inverted.png": 255 - films[31], "train/A/turned.png": np.rot90(films[33]).copy()}
    found, files = findings(build(set_of(films) | changed))
    assert named(found["odd-films"].rows, files) >= set(changed)


def test_plain_bands_are_measured():
    scan = np.random.default_rng(0).integers(0, 256, (100, 100), dtype=np.uint8)
    assert measure_uniform_border(scan) == 0
    scan[:10], scan[-20:] = 0, 255
    assert measure_uniform_border(scan) == pytest.approx(0.3)
    assert measure_uniform_border(np.zeros((10, 10), np.uint8)) == 1


def test_a_line_of_letters_is_told_from_a_side_marker():
    cv2 = pytest.importorskip("cv2")
    scan = np.full((224, 224), 40, np.uint8)
    marked = cv2.putText(scan.copy(), "R", (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
    written = cv2.putText(scan.copy(), "18:41:03 KV55", (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
    assert count_letters_in_line(scan) == 0
    assert count_letters_in_line(marked) <= 1
    assert count_letters_in_line(written) >= 5
