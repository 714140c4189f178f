"""Patient-wise splits, and leaks between them."""

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.xrai.data.dataset.datasets import built
from xrai.data.dataset import MIN_VALIDATION, assign_splits, build, open_dataset
from xrai.data.dataset.splitting import count_leaks
from xrai.data.description import Leakage
from xrai.data.sources import SPLITS, Entry, open_source, parse_patient_id


class TestSplitting:
    def made(self, n, classes=2, films=3):
        """Labels and patients of `n` patients with `films` films each."""
        return np.repeat(np.arange(n) % classes, films), np.repeat([f"p{i:05}" for i in range(n)], films)

    @pytest.mark.parametrize("n", [4, 20, 301])
    def test_nothing_given(self, n):
        labels, patients = self.made(n)
        splits, notes = assign_splits([None] * len(labels), labels, patients, seed=0)
        assert splits.dtype == np.uint8
        assert len(notes) == 1
        assert "Train, validation and test were drawn at random by patient" in notes[0]
        assert "the folders do not give them" in notes[0]
        for label in (0, 1):
            shares = [len(set(patients[(splits == split) & (labels == label)])) for split in range(3)]
            total = sum(shares)
            assert shares[2] == max(1, round(0.15 * total)) or total < 3
            assert shares[0] >= 1
            assert shares[0] >= shares[1]

    @pytest.mark.parametrize("given", [None, "train"])
    @pytest.mark.parametrize("seed", range(5))
    def test_no_patient_is_in_two_drawn_splits(self, given, seed):
        rng = np.random.default_rng(seed)
        patients = np.array([f"p{i}" for i in rng.integers(0, 60, 500)])
        labels = rng.integers(0, 3, 500)  # patients have films of several classes
        splits, _ = assign_splits([given] * 500, labels, patients, seed=seed)
        assert max(len(set(splits[patients == name])) for name in patients) == 1
        assert {(split, label) for split, label in zip(splits, labels, strict=True)} == {
            (s, c) for s in range(3) for c in range(3)
        }

    def test_the_last_patient_of_a_class_stays_in_train(self):
        """Also where that patient has films of another class, from which patients are drawn."""
        for seed in range(30):
            labels = [0, 1, 1, 1, 1, 1]
            patients = ["both", "both", "a", "b", "c", "d"]
            splits, _ = assign_splits([None] * 6, labels, patients, seed=seed)
            assert splits[0] == splits[1] == 0
            assert set(splits) == {0, 1, 2}

    def test_the_given_test_is_kept(self):
        labels, patients = self.made(100)
        given = np.where(np.arange(300) < 90, "test", "train").tolist()
        splits, notes = assign_splits(given, labels, patients, seed=3)
        assert np.flatnonzero(splits == 2).tolist() == list(range(90))
        assert len(set(splits[90:])) == 2
        assert len(notes) == 1
        assert notes[0].startswith("The validation split was drawn")
        assert "the folders have none" in notes[0]

    @pytest.mark.parametrize("n", [1, 16, MIN_VALIDATION - 1])
    def test_a_given_validation_that_is_too_small_is_drawn_anew(self, n):
        labels, patients = self.made(300)
        given = ["test"] * 60 + ["val"] * n + ["train"] * (900 - 60 - n)
        splits, notes = assign_splits(given, labels, patients, seed=0)
        assert f"the {n} scans given are too few to judge a model by" in notes[0]
        assert (splits[:60] == 2).all()
        assert (splits == 1).sum() > 100
        assert set(patients[splits == 1]).isdisjoint(patients[splits == 0])
        assert (splits[60 : 60 + n] == 0).any() or n < 10  # what was given went back to train

    def test_a_given_validation_that_is_large_enough_is_kept(self):
        labels, patients = self.made(300)
        given = ["test"] * 60 + ["val"] * MIN_VALIDATION + ["train"] * (900 - 60 - MIN_VALIDATION)
        splits, notes = assign_splits(given, labels, patients, seed=0)
        assert notes == []
        assert [SPLITS[split] for split in splits] == given

    def test_only_the_test_is_missing(self):
        labels, patients = self.made(300)
        splits, notes = assign_splits(["val"] * 150 + ["train"] * 750, labels, patients, seed=0)
        assert (splits[:150] == 1).all()
        assert set(splits[150:]) == {0, 2}
        assert notes == [notes[0]]
        assert "The test split was drawn" in notes[0]

    def test_a_set_of_test_scans_alone_stays_whole(self):
        labels, patients = self.made(100)
        splits, notes = assign_splits(["test"] * 300, labels, patients, seed=0)
        assert set(splits) == {2}
        assert "all scans stay in it" in notes[0]

    @pytest.mark.parametrize("given", [["val"] * 300, ["val"] * 150 + ["test"] * 150])
    def test_without_train_all_are_drawn(self, given):
        labels, patients = self.made(100)
        splits, notes = assign_splits(given, labels, patients, seed=0)
        assert set(splits) == {0, 1, 2}
        assert "the folders hold no training split" in notes[0]

    def test_a_class_with_one_patient_stays_in_train(self):
        labels, patients = self.made(40)
        labels[0:3] = 2
        splits, _ = assign_splits([None] * 120, labels, patients, seed=0)
        assert set(splits[labels == 2]) == {0}
        assert set(splits[labels == 1]) == {0, 1, 2}

    def test_repeatable_by_seed(self):
        labels, patients = self.made(200)
        draws = [assign_splits([None] * 600, labels, patients, seed=seed)[0].tolist() for seed in (7, 7, 8)]
        assert draws[0] == draws[1] != draws[2]

    @pytest.mark.real
    def test_the_real_sets(self, real_data, tmp_path):
        """By their names alone: chest_xray has no val, covid19 has only train and test."""
        for name, total in (("chest_xray", 5840), ("covid19", 317)):
            with open_source(real_data / "datasets" / name) as source:
                given = [entry.split for entry in source.entries]
                labels = [source.classes.index(entry.class_name) for entry in source.entries]
                patients = [entry.patient or entry.path for entry in source.entries]
            splits, notes = assign_splits(given, labels, patients, seed=0)
            assert len(splits) == total
            assert [SPLITS[s] == "test" for s in splits] == [item == "test" for item in given]
            for label in set(labels):
                share = np.mean(splits[(np.array(labels) == label) & (splits < 2)] == 1)
                assert 0.1 < share < 0.2
            assert len(notes) == 1


class TestPatients:
    def test_equal_files_are_one_patient(self, tmp_path, write_scan):
        """Also over a chain: a names the patient of b, whose copy is c."""
        first = write_scan(tmp_path / "in" / "A" / "patient1_1.png", 1)
        second = write_scan(tmp_path / "in" / "A" / "patient1_2.png", 2)
        shutil.copy(second, tmp_path / "in" / "A" / "copy.png")
        shutil.copy(first, tmp_path / "in" / "A" / "patient7_1.png")
        for i in range(4):
            write_scan(tmp_path / "in" / "B" / f"{i}.png", 10 + i)
        with open_dataset(built(tmp_path / "in", tmp_path / "x.hdf5")) as dataset:
            together = {name for name, label in zip(dataset.patients, dataset.labels, strict=True) if label == 0}
            assert len(together) == 1
            assert len(set(dataset.patients)) == 5

    def test_a_whole_hospital_under_one_name(self):
        """Anonymised files often all carry the same Patient ID: without care this takes minutes."""
        row = build._Row(Entry("", "A", None), np.empty(0), "", "dicom/ANONYMOUS", "DICOM", "MONOCHROME2", 64, 64, 9)
        rows = [replace(row, sha256=f"{i}") for i in range(100_000)]
        assert set(build._assign_pseudonyms(rows)) == {"p000001"}
        copies = [replace(row, patient=None, sha256="same", entry=Entry(f"{i}", "A", None)) for i in range(1000)]
        assert set(build._assign_pseudonyms(copies)) == {"p000001"}

    def test_a_class_that_a_split_lacks_is_said(self, tmp_path, write_scan):
        for i in range(3):
            write_scan(tmp_path / "in" / "A" / f"patient1_{i}.png", i)
            write_scan(tmp_path / "in" / "B" / f"{i}.png", 10 + i)
        with open_dataset(built(tmp_path / "in", tmp_path / "x.hdf5")) as dataset:
            lacking = [note for note in dataset.notes if "holds no scans of" in note]
            assert [note.split()[1] for note in lacking] == ["validation", "test"]
            assert all("“A”" in note and "“B”" not in note for note in lacking)

    def test_nothing_is_said_where_nothing_lacks(self, dataset):
        assert not any("holds no scans" in note for note in dataset.notes)

    def test_given_splits_and_kermanys_names(self, tmp_path, write_scan):
        names = [
            "train/P/person1_virus_1.png",
            "train/P/person1_virus_2.png",
            "val/P/person1_virus_3.png",
            "train/P/person1_bacteria_4.png",
            "test/P/person1_virus_5.png",
            "train/N/IM-0001-0001.png",
            "train/N/NORMAL2-IM-0001-0001.png",
            "test/N/IM-0002-0001.png",
        ]
        for i, name in enumerate(names):
            write_scan(tmp_path / "in" / name, i)
        with open_dataset(built(tmp_path / "in", tmp_path / "x.hdf5")) as dataset:
            of = dict(zip(dataset.files, dataset.patients, strict=True))
            assert of[names[0]] == of[names[1]] == of[names[2]]
            assert len(set(of.values())) == 6
            assert {SPLITS[s] for f, s in zip(dataset.files, dataset.splits, strict=True) if f[:4] == "test"} == {
                "test"
            }
            assert any("the 1 scans given are too few" in note for note in dataset.notes)


class TestLeaks:
    """Given splits are kept, also where patients or equal files stand on both sides; but that is said."""

    def folder(self, tmp_path, write_scan):
        """Of 6 test scans, 5 patients: two are copies of training scans, one patient's other films are in training."""
        for i in range(30):
            write_scan(tmp_path / "in" / "train" / "AB"[i % 2] / f"patient{i}_1.png", i)
        for i in range(3):
            write_scan(tmp_path / "in" / "test" / "A" / f"patient{100 + i}_1.png", 100 + i)
        write_scan(tmp_path / "in" / "test" / "B" / "patient1_9.png", 200)
        for i in (1, 3):
            shutil.copy(tmp_path / "in" / "train" / "B" / f"patient{i}_1.png", tmp_path / "in" / "test" / "B")
        shutil.move(tmp_path / "in" / "test" / "B" / "patient3_1.png", tmp_path / "in" / "test" / "B" / "other.png")
        return tmp_path / "in"

    def test_they_are_counted_and_said(self, tmp_path, write_scan):
        """And equal contents make one patient across given splits too: `other.png` is patient 3's."""
        path = built(self.folder(tmp_path, write_scan), tmp_path / "x.hdf5")
        with open_dataset(path) as dataset:
            assert dataset.leaks() == {"val": Leakage(patients=0, scans=0), "test": Leakage(patients=2, scans=2)}
            assert dataset.describe().leaks == dataset.leaks()
            of = dict(zip(dataset.files, dataset.patients, strict=True))
            assert of["test/B/other.png"] == of["train/B/patient3_1.png"]
            assert [note for note in dataset.notes if "flatter" in note] == [
                "2 of 6 scans of the test split are the same files as scans of training or validation: "
                "figures measured on it flatter the model.",
                "2 of 5 patients of the test split also have scans in training or validation: "
                "figures measured on it flatter the model.",
            ]

    def test_a_validation_split_that_is_kept(self, tmp_path, write_scan):
        for i in range(MIN_VALIDATION):
            write_scan(tmp_path / "in" / "val" / "AB"[i % 2] / f"patient{i}_1.png", i)
        for i in range(90, 120):
            write_scan(tmp_path / "in" / "train" / "AB"[i % 2] / f"patient{i}_2.png", 1000 + i)
        with open_dataset(built(tmp_path / "in", tmp_path / "x.hdf5")) as dataset:
            leaks, n_test = dataset.leaks(), len(dataset.rows("test"))
            assert leaks["val"].patients + leaks["test"].patients == 10  # the test split is drawn from train
            assert leaks["val"].scans == leaks["test"].scans == 0
            assert n_test > 0
            assert any(
                f"{leaks['val'].patients} of 100 patients of the validation split also have scans in training" in note
                for note in dataset.notes
            )

    def test_what_is_drawn_does_not_leak(self, practice):
        with open_dataset(practice) as dataset:
            assert dataset.leaks() == {split: Leakage(patients=0, scans=0) for split in ("val", "test")}
            assert not any("flatter" in note for note in dataset.notes)

    def test_what_is_equal_stays_within_its_split(self):
        splits, nobody = np.array([0, 0, 1, 1, 2, 2], np.uint8), Leakage(patients=0, scans=0)
        assert count_leaks(splits, list("aabbcc"), list("xxyyzz")) == {"val": nobody, "test": nobody}
        assert count_leaks(splits, list("abacbb"), list("123456"))["val"] == Leakage(patients=1, scans=0)
        assert count_leaks(splits, list("abacbb"), list("123412"))["test"] == Leakage(patients=1, scans=2)

    @pytest.mark.real
    def test_the_set_of_three_classes_is_contaminated(self, real_data, tmp_path):
        """As counted in shared/README.md, by SHA-256: six files of its test split stand in train as well."""
        with open_dataset(built(real_data / "datasets" / "covid19", tmp_path / "x.hdf5")) as dataset:
            assert dataset.leaks()["test"] == Leakage(patients=6, scans=6)
            assert any(note.startswith("6 of 66 scans of the test split are the same files") for note in dataset.notes)

    @pytest.mark.real
    def test_kermanys_official_split_keeps_patients_apart(self, real_data):
        with open_source(real_data / "datasets" / "chest_xray") as source:
            blank = build._Row(source.entries[0], np.empty(0), "", None, "JPEG", "L", 224, 224, 0)
            rows = [
                replace(
                    blank,
                    entry=entry,
                    sha256=hashlib.sha256(source.read(entry)).hexdigest(),
                    patient=parse_patient_id(entry.path, entry.split),
                )
                for entry in source.entries
            ]
            patients, labels = (
                build._assign_pseudonyms(rows),
                [source.classes.index(row.entry.class_name) for row in rows],
            )
            splits, _ = assign_splits([row.entry.split for row in rows], labels, patients, seed=0)
        assert build._describe_leaks(splits, patients, [row.sha256 for row in rows]) == []
