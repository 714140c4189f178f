"""Duplicate and near-duplicate scans."""

import numpy as np
import pytest
from PIL import Image

from tests.xrai.data.audit.audits import SIDE, findings, named, set_of, unheard
from xrai.data.audit import duplicates, run_audit
from xrai.data.audit.dataset_pass import run_dataset_pass
from xrai.data.audit.duplicates import normalise_local_contrast
from xrai.data.audit.image_quality import check_image_quality
from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.sources import open_source
from xrai.scans.phantoms import draw_thorax


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
