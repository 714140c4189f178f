import io
import json

import numpy as np
import pytest
from PIL import Image

from xrai.core.errors import DatasetError
from xrai.data.audit import (
    SEVERITIES,
    Audit,
    AuditFinding,
    audit_file,
    duplicates,
    load_audit,
    run_audit,
    save_audit,
    summarise_for_card,
)
from xrai.data.audit.dataset_pass import AuditStoppedError, run_dataset_pass
from xrai.data.audit.distribution_shift import check_split_shift
from xrai.data.audit.duplicates import normalise_local_contrast
from xrai.data.audit.image_quality import check_image_quality, count_letters_in_line, measure_uniform_border
from xrai.data.audit.linear_probe import MAX_SCANS, run_linear_probe, sample_rows
from xrai.data.audit.outliers import find_outliers
from xrai.data.audit.patient_leakage import find_patient_leaks
from xrai.data.audit.shortcuts import check_shortcuts
from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.sources import open_source
from xrai.scans.phantoms import draw_thorax

SIDE = 96
CHECKED = {
    "conflicting-labels", "exact-duplicates", "near-duplicates", "leaking-patients", "shortcut-border",
    "shortcut-file-facts", "shortcut-thumbnail", "shift", "blank-films", "bordered-films", "burned-in-text",
    "odd-films", "class-balance", "small-val", "small-test", "unread-files",
}  # fmt: skip


@pytest.fixture(scope="module")
def films():
    """48 drawn films of as many patients, half of them with opacities, uint8 (96, 96)."""
    return [draw_thorax(np.random.default_rng(seed), opacity=seed % 2 == 1, size=SIDE) for seed in range(48)]


@pytest.fixture
def build(tmp_path):
    """Builds a dataset of `{path in the source: pixels or bytes}` and gives its path."""

    def make(files, name="set"):
        for place, content in files.items():
            file = tmp_path / name / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else coded(content))
        out = tmp_path / f"{name}.hdf5"
        with open_source(tmp_path / name) as source:
            assert build_dataset(source, out, BuildConfig(size=SIDE))
        return out

    return make


def coded(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **{"format": "PNG"} | options)
    return buffer.getvalue()


def set_of(films, *, n_test=12, change=lambda split, label, pixels: pixels):
    """Files of a dataset of two classes with a train and a test split, a patient a film."""
    files = {}
    for number, pixels in enumerate(films):
        split, label = "test" if number < n_test else "train", "AB"[number % 2]
        files[f"{split}/{label}/patient{number:04}_1.png"] = change(split, label, pixels)
    return files


def findings(path, **options):
    """The findings of an audit by their kind, the gravest of each; and what the rows are called."""
    with open_dataset(path) as dataset:
        found = run_audit(dataset, **options)
        return {finding.kind: finding for finding in reversed(found.findings)}, dataset.files


def named(rows, files):
    return {files[row] for row in rows}


def unheard(share):
    """Takes what a check tells of its progress, and never stops it."""


# --- the whole --------------------------------------------------------------------------------------------------------


def test_everything_that_was_looked_at_is_told_the_gravest_first(build, films):
    heard = []
    with open_dataset(build(set_of(films))) as dataset:
        found = run_audit(dataset, progress=lambda *step: heard.append(step))
        assert (found.dataset, found.fingerprint, found.n) == ("set", dataset.fingerprint, 48)
    assert {finding.kind for finding in found.findings} == CHECKED
    order = [SEVERITIES.index(finding.severity) for finding in found.findings]
    assert order == sorted(order)
    assert sum(found.counts().values()) == len(found.findings)
    assert all(finding.sentence.endswith(".") and finding.title for finding in found.findings)
    assert all(finding.advice for finding in found.findings if finding.severity != "fine")
    assert heard[-1] == (100, 100, "done")
    assert [done for done, _, _ in heard] == sorted(done for done, _, _ in heard)


def test_the_same_dataset_gives_the_same_findings(build, films):
    path = build(set_of(films))
    with open_dataset(path) as dataset:
        assert run_audit(dataset).findings == run_audit(dataset).findings


@pytest.mark.parametrize("asks", [1, 2, 5])
def test_it_stops_when_told(build, films, asks):
    left = iter([False] * (asks - 1))
    with open_dataset(build(set_of(films))) as dataset:
        assert run_audit(dataset, should_stop=lambda: next(left, True)) is None


LONG = (duplicates.find_duplicates, check_shortcuts, check_split_shift, find_outliers)


def test_stop_is_heard_within_the_checks_and_not_only_between_them(build, films):
    """Where all films are alike a check may take long, and Stop was dead meanwhile."""
    heard = []
    with open_dataset(build(set_of(films))) as dataset:
        assert run_audit(dataset, progress=lambda *step: heard.append(step[0]), should_stop=lambda: 48 in heard) is None
        assert heard[-1] == 48  # in the midst of looking for copies
        look = run_dataset_pass(dataset, unheard)
        for check in LONG:
            asked = []

            def stop_at_the_second(share, asked=asked):
                asked.append(share)
                if len(asked) > 1:
                    raise AuditStoppedError

            with pytest.raises(AuditStoppedError):
                check(look, stop_at_the_second)


def test_progress_goes_on_within_the_checks(build, films):
    with open_dataset(build(set_of(films))) as dataset:
        look = run_dataset_pass(dataset, unheard)
        for check in LONG:
            heard = []
            check(look, heard.append)
            assert heard == sorted(heard)
            assert len(set(heard)) > 1
            assert 0 <= heard[0] < heard[-1] < 1


def test_three_classes_without_a_test_split_of_their_own(build, films):
    files = {f"{'ABC'[number % 3]}/patient{number:04}_1.png": pixels for number, pixels in enumerate(films)}
    found, _ = findings(build(files))
    assert found.keys() == CHECKED
    assert 0 < found["shortcut-thumbnail"].numbers["auc"] < 1


def test_one_scan_a_class(build, films):
    found, _ = findings(build({"A/x.png": films[0], "B/y.png": films[1]}))
    assert found["shortcut-border"].title == "Not measured: the border"
    assert found["odd-films"].title == "Odd films not sought"
    assert found["shift"].title == "No test split"
    assert found["small-test"].severity == "serious"


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(build, films):
    """A set in which the test holds a file of training, a smaller JPEG of another, and training a darker third."""
    files = set_of(films)
    smaller = Image.fromarray(films[21]).resize((72, 72))
    darker = (255 * (films[22] / 255.0) ** 1.7).astype(np.uint8)
    files["test/A/equal.png"] = coded(films[20])
    files["test/B/smaller.jpg"] = coded(np.asarray(smaller), format="JPEG", quality=85)
    files["train/A/darker.png"] = darker
    return build(files)


def test_equal_files_across_splits_are_taken_out_of_training(copied):
    found, files = findings(copied)
    exact = found["exact-duplicates"]
    assert exact.severity == "serious"
    assert [named(group, files) for group in exact.groups] == [{"test/A/equal.png", "train/A/patient0020_1.png"}]
    assert named(exact.suggestion, files) == {"train/A/patient0020_1.png"}
    assert exact.splits[-1] == "test"
    assert exact.classes == ("A",)


def test_resized_reencoded_and_darker_copies_are_found(copied):
    found, files = findings(copied)
    near = found["near-duplicates"]
    assert [named(group, files) for group in near.groups] == [
        {"test/B/smaller.jpg", "train/B/patient0021_1.png"},
        {"train/A/darker.png", "train/A/patient0022_1.png"},
    ]
    assert near.severity == "serious"
    assert "train/B/patient0021_1.png" in named(near.suggestion, files)
    assert len(near.suggestion) == 2


def test_a_patient_with_another_scan_in_the_test_stands_in_two_splits(build, films):
    other = draw_thorax(np.random.default_rng(99), opacity=False, size=SIDE)
    found, files = findings(build(set_of(films) | {"test/A/patient0020_2.png": other}))
    leak = found["leaking-patients"]
    assert leak.severity == "serious"
    assert named(leak.suggestion, files) == {"train/A/patient0020_1.png"}


def test_equal_files_across_splits_are_not_told_as_patients_once_more(copied):
    """Six copied files of a public set, whose patients nobody knows, were once six patients in two splits too."""
    found, _ = findings(copied)
    assert found["exact-duplicates"].severity == "serious"
    assert found["leaking-patients"].severity != "serious"


def test_drawings_which_are_all_labelled_as_such_are_not_said_to_bear_text(tmp_path):
    with open_source("phantoms") as source:
        assert build_dataset(source, tmp_path / "drawn.hdf5", BuildConfig(size=64))
    with open_dataset(tmp_path / "drawn.hdf5") as dataset:
        look = run_dataset_pass(dataset, unheard)
        assert {finding.kind for finding in check_image_quality(look.quality, is_phantom=look.dataset.is_phantom)} == {
            "blank-films",
            "bordered-films",
        }


def test_different_films_are_no_copies(build, films):
    found, _ = findings(build(set_of(films)))
    assert {found[kind].severity for kind in ("conflicting-labels", "exact-duplicates", "near-duplicates")} == {"fine"}


def test_one_picture_with_two_labels_is_taken_out_wherever_it_stands(build, films):
    files = set_of(films) | {"train/B/other.png": films[4]}
    found, names = findings(build(files))
    conflict = found["conflicting-labels"]
    assert conflict.severity == "serious"
    assert named(conflict.suggestion, names) == {"test/A/patient0004_1.png", "train/B/other.png"}
    assert found["exact-duplicates"].severity == "fine"  # it is told once


def test_of_copies_in_the_test_the_largest_stays(build, films):
    small = np.asarray(Image.fromarray(films[2]).resize((80, 80)))
    found, files = findings(build(set_of(films) | {"test/A/small.png": small}))
    assert named(found["near-duplicates"].suggestion, files) == {"test/A/small.png"}
    assert found["near-duplicates"].severity == "notable"


@pytest.fixture
def alike(build):
    """56 films that are alike as thumbnails; in detail but for one copy, that is darker, each is another."""
    rng = np.random.default_rng(3)
    plan = np.kron(rng.integers(0, 256, (24, 24)), np.ones((4, 4)))
    drawn = [np.clip(plan + rng.normal(0, 40, plan.shape), 0, 255).astype(np.uint8) for _ in range(56)]
    drawn[10] = (255 * (drawn[40] / 255.0) ** 1.2).astype(np.uint8)
    return build(set_of(drawn))


@pytest.mark.parametrize(("at_once", "kept"), [(256, 32), (8, 8), (8, 3)])
def test_films_that_are_all_alike_are_not_read_for_every_pair(alike, monkeypatch, at_once, kept):
    """700 of them were once read 114,597 times, for every pair anew."""
    monkeypatch.setattr(duplicates, "_BLOCK_SIZE", at_once)
    monkeypatch.setattr(duplicates, "_N_CACHED_BLOCKS", kept)
    monkeypatch.setattr(duplicates, "_N_SAMPLED", 20)
    with open_dataset(alike) as dataset:
        look, read, images = run_dataset_pass(dataset, unheard), [], dataset.images
        monkeypatch.setattr(dataset, "images", lambda rows: read.extend(rows) or images(rows))
        coarse = duplicates._thumbnail_patterns(look, np.arange(56), unheard)
        assert duplicates._has_match(coarse, unheard).all()
        near = duplicates.find_duplicates(look, unheard)[2]
        files = dataset.files
    assert len(read) <= 20 + 56 * (1 if kept * at_once >= 56 else 3)
    copies = {"test/A/patient0010_1.png", "train/A/patient0040_1.png"}
    assert [named(group, files) for group in near.groups] == [copies]


def test_every_two_blocks_are_compared_once(monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK_SIZE", 2)
    monkeypatch.setattr(duplicates, "_N_CACHED_BLOCKS", 3)
    found = duplicates._block_pairs(13)
    assert sorted(found) == [(one, other) for one in range(0, 13, 2) for other in range(one, 13, 2)]


def test_many_copies_of_one_picture_are_one_group_across_blocks(build, films, monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK_SIZE", 4)
    monkeypatch.setattr(duplicates, "_N_CACHED_BLOCKS", 2)
    copies = {f"train/A/copy{grade}.png": (films[20] * (1 - grade / 50)).astype(np.uint8) for grade in range(1, 10)}
    found, files = findings(build(set_of(films) | copies))
    near = found["near-duplicates"]
    assert [named(group, files) for group in near.groups] == [{"train/A/patient0020_1.png", *copies}]
    assert len(near.suggestion) == 9


def test_of_many_copies_the_facts_are_read_once(build, films, monkeypatch):
    """They were read from the file anew for each picture that has a copy."""
    files = set_of(films)
    copies = {f"train/{place[-18]}/twin{place[-10:]}": pixels for place, pixels in list(files.items())[12:30]}
    copies = {place.replace("train//", "train/A/"): pixels for place, pixels in copies.items()}
    with open_dataset(build(files | copies)) as dataset:
        read, column = [], dataset._column
        monkeypatch.setattr(dataset, "_column", lambda name: read.append(name) or column(name))
        assert run_audit(dataset).rows_to_remove()
    assert read.count("n_bytes") == 1
    assert read.count("format") == 1


def test_a_blank_picture_has_no_pattern():
    assert not normalise_local_contrast(np.full((32, 32), 90, np.uint8), 3).any()


# --- shortcuts and shift ----------------------------------------------------------------------------------------------


def framed(pixels, grey):
    out = pixels.copy()
    out[:6], out[-6:], out[:, :6], out[:, -6:] = grey, grey, grey, grey
    return out


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


def test_unread_files_are_told(build, films):
    found, _ = findings(build(set_of(films) | {"train/A/broken.png": b"no picture"}))
    assert found["unread-files"].numbers == {"files": ("train/A/broken.png",), "n": 1}


def test_no_words_name_a_file_for_they_leave_with_a_model(build, films):
    """A file may be called by its patient; “such as train/A/Mueller_Anna.png” once stood in the cards of models."""
    wide, text = framed(films[30], 0), films[31].copy()
    wide[:, :30] = 0
    files = {place.replace("patient", "Mueller_Anna"): pixels for place, pixels in set_of(films).items()}
    files |= {
        "train/A/Mueller_equal.png": films[20], "train/B/Mueller_other.png": films[22],
        "train/A/Mueller_dark.png": (255 * (films[24] / 255.0) ** 1.7).astype(np.uint8),
        "train/A/Mueller_blank.png": np.full((SIDE, SIDE), 17, np.uint8), "train/A/Mueller_wide.png": wide,
        "train/A/Mueller_turned.png": np.rot90(text).copy(), "train/A/Mueller_broken.png": b"no picture",
    }  # fmt: skip
    with open_dataset(build(files)) as dataset:
        found = run_audit(dataset)
    words = [(finding.title, finding.sentence, finding.advice) for finding in found.findings]
    kinds = {finding.kind for finding in found.findings if finding.severity != "fine"}
    assert kinds >= {"unread-files", "exact-duplicates", "near-duplicates", "conflicting-labels", "blank-films"}
    assert "Mueller" not in json.dumps([words, [item.to_dict() for item in summarise_for_card(found)]])


# --- patients ---------------------------------------------------------------------------------------------------------


def test_patients_who_are_all_known_and_have_one_scan_are_not_said_to_be_unknown(build, films):
    found, _ = findings(build(set_of(films)))
    assert found["leaking-patients"].severity == "fine"
    assert found["leaking-patients"].sentence == "Each of the 48 patients stands in one split only."


def test_patients_whom_no_file_names_are_not_known(build, films):
    files = {place.replace("patient", "scan"): pixels for place, pixels in set_of(films).items()}
    found, _ = findings(build(files))
    assert found["leaking-patients"].title == "Patients are not known"
    assert found["leaking-patients"].sentence.startswith("Nothing tells which scans are of one patient: each of the 48")


def test_where_it_cannot_be_told_whether_patients_are_known_the_words_hold_either_way(build, films, monkeypatch):
    """A DICOM file may name its patient or not; the dataset holds a pseudonym either way."""
    files = {place.replace("patient", "scan"): pixels for place, pixels in set_of(films).items()}
    some_named = files | {"train/A/patient0099_1.png": draw_thorax(np.random.default_rng(99), opacity=False, size=SIDE)}
    found, _ = findings(build(some_named, "some"))
    assert found["leaking-patients"].sentence.startswith("Not every file is sure to tell whose it is: each of the 49")
    with open_dataset(build(files, "none")) as dataset:
        dataset.file_metadata()["format"][:] = "DICOM"
        look = run_dataset_pass(dataset, unheard)
        assert find_patient_leaks(look)[0].title == "Patients may not be known"


# --- keeping ----------------------------------------------------------------------------------------------------------


def load(path):
    with open_dataset(path) as dataset:
        return load_audit(dataset)


@pytest.fixture
def kept(practice, tmp_path):
    """A dataset's copy with an audit of two findings beside it; gives its path and the audit."""
    path = tmp_path / "copy.hdf5"
    path.write_bytes(practice.read_bytes())
    with open_dataset(path) as dataset:
        serious = AuditFinding(
            kind="exact-duplicates",
            severity="serious",
            title="Twice",
            sentence="Two.",
            advice="Clean.",
            numbers={"groups": 1},
            groups=((0, 1),),
            suggestion=(1,),
        )
        fine = AuditFinding(kind="blank-films", severity="fine", title="None", sentence="No blank films.")
        found = Audit(
            dataset="copy",
            fingerprint=dataset.fingerprint,
            n=len(dataset),
            when="2026-11-21T10:00:00+00:00",
            seconds=1.5,
            versions={"xrai": "1"},
            findings=(serious, fine),
        )
    save_audit(found, path)
    return path, found


def test_an_audit_is_kept_beside_its_dataset(kept):
    path, found = kept
    assert audit_file(path).name == "copy.audit.json"
    with open_dataset(path) as dataset:
        assert load_audit(dataset) == found
    assert found.rows_to_remove() == [1]
    assert found.rows_to_remove(["blank-films"]) == []
    assert found.findings[0].rows == (0, 1)
    quoted = [dict(item) for item in summarise_for_card(found)]
    assert quoted == [{"severity": "serious", "title": "Twice", "sentence": "Two."}]


def test_an_audit_of_another_dataset_is_none(kept):
    path, found = kept
    save_audit(found.model_copy(update={"fingerprint": "0" * 64}), path)
    assert load(path) is None
    audit_file(path).unlink()
    assert load(path) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 0), ("n", "82"), ("n", True), ("seconds", float("nan")), ("seconds", -1), ("when", "yesterday"),
        ("when", 5), ("versions", []), ("versions", {"xrai": 1}), ("findings", {}), ("findings", [3]),
        ("findings", [{}]), ("dataset", None), ("fingerprint", 1), ("seconds", 10**400), ("n", 10**400),
    ],
)  # fmt: skip
def test_a_damaged_audit_is_stated(kept, name, value):
    path, found = kept
    audit_file(path).write_text(json.dumps(found.to_dict() | {name: value}))
    with pytest.raises(DatasetError, match="is damaged: audit the dataset again"):
        load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("severity", "dire"), ("severity", []), ("kind", 3), ("groups", [[82]]), ("groups", [[-1]]), ("groups", [1]),
        ("suggestion", [0.5]), ("suggestion", "12"), ("numbers", [1]), ("numbers", {"auc": float("inf")}),
        ("numbers", {"n": 10**400}), ("numbers", {"interval": [0.5, -(10**400)]}), ("numbers", {"a": {"b": 1e300}}),
        ("classes", [None]), ("splits", "train"), ("advice", None),
    ],
)  # fmt: skip
def test_a_damaged_finding_is_stated(kept, name, value):
    path, found = kept
    values = found.to_dict()
    values["findings"][0][name] = value
    audit_file(path).write_text(json.dumps(values))
    with pytest.raises(DatasetError, match="is damaged"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"n": 1e999}'])
def test_what_is_no_audit_is_stated(kept, content):
    path, _ = kept
    audit_file(path).write_bytes(content)
    with pytest.raises(DatasetError, match="is damaged"):
        load(path)


def test_numbers_too_large_for_a_float_are_damage_and_no_overflow():
    values = Audit(
        dataset="set", fingerprint="0", n=2, when="2026-11-21T10:00:00+00:00", seconds=1.0, versions={}, findings=()
    ).to_dict()
    assert Audit.from_dict(json.loads(json.dumps(values))).seconds == 1
    for name in ("n", "seconds"):
        with pytest.raises(ValueError, match=name):
            Audit.from_dict(values | {"findings": [], name: 10**400})


def test_an_audit_that_cannot_be_kept_is_stated(kept, monkeypatch):
    path, found = kept

    def full(file, values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xrai.data.audit.store.write_json", full)
    with pytest.raises(DatasetError, match="No space left"):
        save_audit(found, path)


# --- real scans -------------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_the_known_copies_among_real_scans_are_found(real_data, tmp_path):
    out = tmp_path / "covid19.hdf5"
    with open_source(real_data / "datasets" / "covid19") as source:
        build_dataset(source, out, BuildConfig(size=224))
    found, files = findings(out)
    exact = [named(group, files) for group in found["exact-duplicates"].groups]
    groups = [{name.split("/")[-1].split(".")[0] for name in group} for group in exact]
    assert len(groups) == 10
    assert {"COVID-00003b"} in groups
    assert {"019", "020"} in groups
    near = [named(group, files) for group in found["near-duplicates"].groups]
    assert any({"test/Covid/0112.jpg", "train/Covid/090.jpeg"} <= group for group in near)
    assert len(near) == 6
