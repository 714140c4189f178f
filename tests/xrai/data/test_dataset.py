"""The HDF5 dataset: what is in it, how it is split, and what becomes of it when something goes wrong."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
from collections import Counter, namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from xrai import __version__
from xrai.core.errors import DatasetError, SettingsError
from xrai.data.dataset import (
    MIN_VALIDATION,
    BuildConfig,
    Skipped,
    assign_splits,
    build,
    build_dataset,
    open_dataset,
    writing,
)
from xrai.data.dataset.build import MAX_IN_FLIGHT
from xrai.data.dataset.reading import COLUMNS, FORMAT, VERSION
from xrai.data.dataset.splitting import count_leaks
from xrai.data.description import Leakage
from xrai.data.sources import SPLITS, Entry, find_classes, open_source, parse_patient_id
from xrai.scans import read_scan
from xrai.scans.phantoms import draw_thorax
from xrai.scans.preprocessing import to_square

SIZE = 32


def built(folder, out, **options: Any):
    """Build a dataset of a folder; its path."""
    emit, stop = (options.pop(name, None) for name in ("emit", "should_stop"))
    hooks = {name: hook for name, hook in (("emit", emit), ("should_stop", stop)) if hook}
    settings: dict[str, Any] = {"size": SIZE} | options
    with open_source(folder) as source:
        assert build_dataset(source, out, BuildConfig(**settings), **hooks)
    return out


def refused(folder, out, **options):
    """The sentence with which building fails; nothing is left at `out` that was not there."""
    before = sorted(out.parent.iterdir()) if out.parent.is_dir() else None
    with pytest.raises(DatasetError) as error:
        built(folder, out, **options)
    assert before is None or sorted(out.parent.iterdir()) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def contents(path):
    """Everything that the columns of a dataset hold."""
    with open_dataset(path) as dataset:
        columns = {name: dataset._column(name).tolist() for name in COLUMNS}
        return columns | {"images": dataset.images(range(len(dataset))).tolist(), "notes": dataset.notes}


class Drawn:
    """A source of as many files as asked for, whose reading is watched; no disk is needed."""

    def __init__(self, n, tmp_path, *, bad=()):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(tmp_path / "x.png")
        self.content = (tmp_path / "x.png").read_bytes()
        self._names = [f"{'AB'[i % 2]}/{i:05}.png" for i in range(n)]
        self.bad, self.n_read, self.lock = bad, 0, threading.Lock()

    def names(self):
        return self._names

    def read(self, path):
        with self.lock:
            self.n_read += 1
        return b"no scan" if path in self.bad else self.content + path.encode()  # other bytes, the same picture

    @property
    def source(self):
        return find_classes(self, "drawn")


class TestSchema:
    """As docs/dataset-format.md describes it."""

    def test_columns(self, practice):
        with h5py.File(practice) as opened:
            file: Any = opened
            assert set(file) == {"images", *COLUMNS, "skipped"}
            n = len(file["images"])
            assert file["images"].shape == (n, 64, 64)
            assert file["images"].dtype == np.uint8
            assert file["images"].chunks == (1, 64, 64)
            assert all(file[name].shape == (n,) for name in COLUMNS)
            assert file["label"].dtype == np.uint16
            assert file["split"].dtype == np.uint8
            for name in ("patient", "file", "sha256", "format", "mode", "skipped/file", "skipped/reason"):
                assert h5py.check_string_dtype(file[name].dtype).encoding == "utf-8"

    def test_what_is_compressed_and_checked(self, practice, tmp_path, drawings):
        shutil.copytree(drawings, tmp_path / "in")
        (tmp_path / "in" / "CLEAR" / "empty.png").touch()
        skipped = ["skipped/file", "skipped/reason"]
        for path, empty in ((practice, skipped), (built(tmp_path / "in", tmp_path / "x.hdf5"), [])):
            with h5py.File(path) as opened:
                file: Any = opened
                assert (file["images"].compression, file["images"].fletcher32) == (None, True)
                for name in (*COLUMNS, *skipped):
                    kept = (None, False) if name in empty else ("gzip", True)
                    assert (file[name].compression, file[name].fletcher32) == kept, name
                    assert file[name].dtype.kind in "uiS"  # S: text of a fixed length
                assert {type(value) for value in file.attrs.values()} <= {np.bytes_, np.int64, np.bool_}

    def test_everything_in_it_is_documented(self, practice):
        told = (Path(__file__).parents[3] / "docs" / "dataset-format.md").read_text(encoding="utf-8")
        told = set(re.findall(r"`([\w/]+)`", told))
        with h5py.File(practice) as file:
            assert told >= {"images", *COLUMNS, "skipped/file", "skipped/reason", *file.attrs}

    def test_attributes(self, practice):
        with h5py.File(practice) as file:
            attributes = {
                name: value.decode() if isinstance(value, bytes) else value for name, value in file.attrs.items()
            }
        assert (attributes["format"], attributes["version"]) == (FORMAT, VERSION)
        assert json.loads(attributes["classes"]) == ["CLEAR", "OPACITY"]
        assert json.loads(attributes["splits"]) == list(SPLITS)
        assert (attributes["size"], attributes["seed"], attributes["drawings"]) == (64, 0, False)
        assert attributes["source"].startswith("drawings")
        versions = json.loads(attributes["versions"])
        assert (versions["xrai"], versions["h5py"]) == (__version__, h5py.__version__)
        assert set(attributes) == {
            "format", "version", "classes", "splits", "size", "source", "population", "licence", "drawings", "seed",
            "created", "messages", "notes", "versions",
        }  # fmt: skip

    def test_every_scan_is_in_it_as_it_was(self, drawings, practice):
        with open_dataset(practice) as dataset:
            assert dataset.files.tolist() == sorted(
                file.relative_to(drawings).as_posix() for file in drawings.rglob("*.png")
            )
            assert len(dataset) == len(dataset.files)
            images = dataset.images(range(len(dataset)))
            for i, name in enumerate(dataset.files):
                scan = read_scan(drawings / name)
                assert (images[i] == scan.pixels).all()
                assert dataset.hashes[i] == scan.sha256
                assert dataset.classes[dataset.labels[i]] == name.split("/")[0]
            assert {name: set(column) for name, column in dataset.file_metadata().items() if name != "n_bytes"} == {
                "format": {"PNG"}, "mode": {"L"}, "width": {64}, "height": {64},
            }  # fmt: skip
            assert dataset.file_metadata()["n_bytes"].tolist() == [
                (drawings / name).stat().st_size for name in dataset.files
            ]

    def test_patients_are_pseudonyms_that_keep_films_together(self, practice):
        with open_dataset(practice) as dataset:
            told = [Path(name).stem.split("_")[0] for name in dataset.files]
            assert not any("patient" in name for name in dataset.patients)
            pairs = set(zip(told, dataset.patients, strict=True))
            assert len(pairs) == len(set(told)) == len(set(dataset.patients)) == 40

    def test_films_are_squeezed_with_a_filter(self, tmp_path, write_scan):
        for name in "AB":
            Image.fromarray((np.indices((300, 500)).sum(0) % 2 * 255).astype(np.uint8)).save(
                write_scan(tmp_path / "in" / name / "1.png")
            )
        with open_dataset(built(tmp_path / "in", tmp_path / "x.hdf5")) as dataset:
            assert np.abs(dataset.images([0]).astype(int) - 127).max() <= 2  # a chessboard seen from afar is grey
            assert (dataset.file_metadata()["width"][0], dataset.file_metadata()["height"][0]) == (500, 300)

    def test_words_for_the_card(self, tmp_path, drawings):
        with open_source(drawings) as found:
            source = replace(
                found, population="from the source", licence="likewise", is_phantom=True, notes=("a note",)
            )
            words: dict[str, Any] = {"population": "Kinder bis fünf\n“1”", "licence": "CC BY"}
            for name, config in (("a", {}), ("b", words)):
                assert build_dataset(source, tmp_path / name, BuildConfig(size=SIZE, seed=5, **config))
        with open_dataset(tmp_path / "a") as dataset:
            assert (dataset.population, dataset.licence) == ("from the source", "likewise")
            assert (dataset.is_phantom, dataset.seed, dataset.notes[0]) == (True, 5, "a note")
        with open_dataset(tmp_path / "b") as dataset:
            assert (dataset.population, dataset.licence) == ("Kinder bis fünf\n“1”", "CC BY")
            assert dataset.describe().population == "Kinder bis fünf\n“1”"

    def test_names_of_every_kind(self, tmp_path, write_scan):
        names = [
            "Lungenentzündung/正常 1.png",
            "Lungenentzündung/a\\b'c\".png",
            "Normal/\udcfcber.png",
            "Normal/x\n.png",
        ]
        for i, name in enumerate(names):
            write_scan(tmp_path / "in" / name, i)
        with open_dataset(built(tmp_path / "in", tmp_path / "x.hdf5")) as dataset:
            assert dataset.classes == ("Normal", "Lungenentzündung")
            assert set(dataset.files) == {*names[:2], names[3], "Normal/\\udcfcber.png"}

    def test_many_classes(self, tmp_path):
        files = Drawn(600, tmp_path)
        files._names = [f"class number {i:03} {'x' * 150}/{i}.png" for i in range(600)]  # more than 64 KB of names
        assert build_dataset(files.source, tmp_path / "x.hdf5", BuildConfig(size=SIZE))
        with open_dataset(tmp_path / "x.hdf5") as dataset:
            assert len(dataset.classes) == 600
            assert dataset.labels.max() == 599

    @pytest.mark.parametrize("values", [{"size": 31}, {"size": 1025}, {"workers": 0}, {"workers": 65}, {"seed": -1}])
    def test_settings_out_of_range(self, values: Any):
        with pytest.raises(SettingsError, match=next(iter(values))):
            BuildConfig(**values)


class TestReading:
    def test_rows_and_counts_agree(self, dataset):
        counts = dataset.counts()
        assert set(counts) == {"CLEAR", "OPACITY"}
        for label, name in enumerate(dataset.classes):
            for split in SPLITS:
                rows = dataset.rows(split, label)
                assert counts[name][split] == len(rows) > 0
                assert set(dataset.labels[rows]) == {label}
        together = np.concatenate([dataset.rows(split) for split in SPLITS])
        assert sorted(together) == list(range(len(dataset)))

    def test_images_come_in_the_order_asked_for(self, dataset):
        whole = dataset.images(range(len(dataset)))
        rows = np.array([5, 0, 5, len(dataset) - 1])
        assert (dataset.images(rows) == whole[rows]).all()
        assert dataset.images([]).shape == (0, 64, 64)

    def test_several_threads_may_read(self, dataset):
        whole, wrong = dataset.images(range(len(dataset))), []

        def read(seed):
            rows = np.random.default_rng(seed).permutation(len(dataset))
            if not (dataset.images(rows) == whole[rows]).all():
                wrong.append(seed)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_columns_stay_when_it_is_closed(self, practice):
        with open_dataset(practice) as dataset:
            labels = dataset.labels
        assert dataset.labels is labels

    def test_describe_is_json(self, dataset):
        described = json.loads(json.dumps(dataset.describe().to_dict()))
        assert described["name"] == "practice"
        assert described["counts"] == dataset.counts()
        assert sum(described["patients"].values()) == 40

    def test_a_dataset_of_the_first_day_can_be_read(self, practice, tmp_path):
        """Texts of any length, no checksums: as the model in the box was trained on."""
        with open_dataset(practice) as new, h5py.File(tmp_path / "old.hdf5", "w") as old:
            old["images"] = new.images(range(len(new)))
            for name in (*COLUMNS, "skipped/file", "skipped/reason"):
                column = new._column(name)
                text = column.dtype.kind == "S"
                old.create_dataset(
                    name, data=[item.decode() for item in column] if text else column,
                    dtype=h5py.string_dtype() if text else None,
                )  # fmt: skip
            for name, value in new._file.attrs.items():
                old.attrs[name] = value.decode() if isinstance(value, bytes) else value
            expected = new.describe().replace(name="old")
        with open_dataset(tmp_path / "old.hdf5") as dataset:
            assert dataset.describe() == expected
            assert dataset.skipped == ()


class TestFingerprint:
    def test_equal_for_equal_contents(self, drawings, practice, tmp_path, dataset):
        shutil.make_archive(str(tmp_path / "films"), "zip", drawings)
        again = built(tmp_path / "films.zip", tmp_path / "another name.hdf5", size=64, workers=7, population="others")
        with open_dataset(again) as other:
            assert other.fingerprint == dataset.fingerprint

    @pytest.mark.parametrize("change", [{"seed": 1}, {"size": 48}])
    def test_different_for_another_split_or_size(self, drawings, tmp_path, dataset, change):
        with open_dataset(built(drawings, tmp_path / "x.hdf5", **{"size": 64} | change)) as other:
            assert other.fingerprint != dataset.fingerprint

    def test_different_for_another_film_or_class(self, drawings, tmp_path, dataset, write_scan):
        shutil.copytree(drawings, tmp_path / "one")
        write_scan(next((tmp_path / "one" / "CLEAR").iterdir()), 99)
        shutil.copytree(drawings, tmp_path / "two")
        (tmp_path / "two" / "CLEAR").rename(tmp_path / "two" / "NORMAL")
        prints = {dataset.fingerprint}
        for name in ("one", "two"):
            with open_dataset(built(tmp_path / name, tmp_path / f"{name}.hdf5", size=64)) as other:
                prints.add(other.fingerprint)
        assert len(prints) == 3


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

    @pytest.mark.parametrize("given", [["test"] * 300, ["val"] * 150 + ["test"] * 150])
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
                patients = [build.parse_patient_id(entry.path, entry.split) or entry.path for entry in source.entries]
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
        names = ["train/P/person1_virus_1.png", "train/P/person1_virus_2.png", "val/P/person1_virus_3.png",
                 "train/P/person1_bacteria_4.png", "test/P/person1_virus_5.png", "train/N/IM-0001-0001.png",
                 "train/N/NORMAL2-IM-0001-0001.png", "test/N/IM-0002-0001.png"]  # fmt: skip
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
                "2 of 6 scans of the test split are the same files as training or validation scans: "
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
            assert any(f"{leaks['val'].patients} of 100 patients of the validation split also have scans in training"
                       in note for note in dataset.notes)  # fmt: skip

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
                    blank, entry=entry, sha256=hashlib.sha256(source.read(entry)).hexdigest(),
                    patient=parse_patient_id(entry.path, entry.split),
                )
                for entry in source.entries
            ]  # fmt: skip
            patients, labels = (
                build._assign_pseudonyms(rows),
                [source.classes.index(row.entry.class_name) for row in rows],
            )
            splits, _ = assign_splits([row.entry.split for row in rows], labels, patients, seed=0)
        assert build._describe_leaks(splits, patients, [row.sha256 for row in rows]) == []


class TestSkipping:
    def test_what_cannot_be_read_is_listed_with_its_reason(self, drawings, tmp_path):
        folder = tmp_path / "in"
        shutil.copytree(drawings, folder)
        (folder / "CLEAR" / "text.jpg").write_text("no picture at all, " * 10)
        (folder / "CLEAR" / "empty.png").touch()
        whole = next((folder / "OPACITY").iterdir())
        (folder / "OPACITY" / "cut.png").write_bytes(whole.read_bytes()[:300])
        records = []
        with open_dataset(built(folder, tmp_path / "x.hdf5", emit=records.append)) as dataset:
            assert [item.file for item in dataset.skipped] == ["CLEAR/empty.png", "CLEAR/text.jpg", "OPACITY/cut.png"]
            assert all(isinstance(item, Skipped) and item.reason.endswith(".") for item in dataset.skipped)
            assert "empty" in dataset.skipped[0].reason
            assert len(dataset) == sum(1 for _ in drawings.rglob("*.png"))
        assert records[-1]["skipped"] == 3

    def test_a_file_that_vanishes_or_is_closed_to_us_is_skipped(self, tmp_path):
        files = Drawn(40, tmp_path)
        real = files.read

        def read(path):
            if path == "A/00004.png":
                raise PermissionError(errno.EACCES, "Permission denied")
            if path == "B/00007.png":
                raise OSError(errno.EIO, "Input/output error")
            return real(path)

        files.read = read
        assert build_dataset(files.source, tmp_path / "x.hdf5", BuildConfig(size=SIZE))
        with open_dataset(tmp_path / "x.hdf5") as dataset:
            assert [item.file for item in dataset.skipped] == ["A/00004.png", "B/00007.png"]
            assert "Permission denied" in dataset.skipped[0].reason

    def test_a_damaged_member_of_a_zip_is_skipped(self, drawings, tmp_path):
        archive = Path(shutil.make_archive(str(tmp_path / "films"), "zip", drawings))
        data = bytearray(archive.read_bytes())
        data[200:260] = bytes(60)
        archive.write_bytes(data)
        with open_dataset(built(archive, tmp_path / "x.hdf5")) as dataset:
            assert len(dataset.skipped) == 1
            assert "damaged inside the zip" in dataset.skipped[0].reason

    def test_a_class_left_empty_fails(self, drawings, tmp_path):
        shutil.copytree(drawings, tmp_path / "in")
        for file in (tmp_path / "in" / "OPACITY").iterdir():
            file.write_text("text, whatever the name says")
        message = refused(tmp_path / "in", tmp_path / "x.hdf5")
        assert "None of the files of the class “OPACITY” could be read" in message
        assert "text" in message

    def test_nothing_readable_fails(self, tmp_path):
        for name in ("A/1.png", "B/1.png"):
            (tmp_path / "in" / name).parent.mkdir(parents=True)
            (tmp_path / "in" / name).write_bytes(b"")
        assert "None of the files of the class “A”" in refused(tmp_path / "in", tmp_path / "x.hdf5")

    def test_order_stays_however_many_workers(self, drawings, tmp_path):
        shutil.copytree(drawings, tmp_path / "in")
        (tmp_path / "in" / "CLEAR" / "patient0001_x.png").touch()
        one, many = (contents(built(tmp_path / "in", tmp_path / f"{n}.hdf5", workers=n)) for n in (1, 16))
        assert one == many


class TestBuilding:
    def test_progress(self, tmp_path, monkeypatch):
        monkeypatch.setattr(writing, "PROGRESS_SECONDS", 0)
        files, records = Drawn(30, tmp_path, bad=("A/00002.png",)), []
        assert build_dataset(files.source, tmp_path / "x.hdf5", BuildConfig(size=SIZE), emit=records.append)
        assert json.loads(json.dumps(records)) == records
        assert [record["done"] for record in records] == list(range(1, 31))
        assert {(record["kind"], record["total"]) for record in records} == {("progress", 30)}
        assert (records[-1]["skipped"], records[-1]["seconds_left"]) == (1, 0)
        assert all(record["images_per_second"] > 0 for record in records)

    def test_seldom_enough_but_always_at_the_end(self, tmp_path):
        records = []
        build_dataset(Drawn(200, tmp_path).source, tmp_path / "x.hdf5", BuildConfig(size=SIZE), emit=records.append)
        assert len(records) < 100
        assert records[-1]["done"] == 200

    @pytest.mark.parametrize("workers", [1, 3])
    def test_memory_is_bounded(self, tmp_path, monkeypatch, workers):
        """However many scans there are, few are held at once: read ahead of what is written, or decoded."""
        monkeypatch.setattr(writing, "PROGRESS_SECONDS", 0)
        files, ahead = Drawn(300, tmp_path), []
        alive, most, lock = Counter(), [0], threading.Lock()

        class Counted(np.ndarray):
            def __array_finalize__(self, other):
                with lock:
                    alive["n"] += 1
                    most[0] = max(most[0], alive["n"])

            def __del__(self):
                with lock:
                    alive["n"] -= 1

        real = build.to_square
        monkeypatch.setattr(build, "to_square", lambda pixels, size: real(pixels, size).view(Counted))
        config = BuildConfig(size=SIZE, workers=workers)

        def watch(record):
            ahead.append(files.n_read - record["done"])

        assert build_dataset(files.source, tmp_path / "x.hdf5", config, emit=watch)
        assert max(ahead) <= MAX_IN_FLIGHT * workers
        assert most[0] <= MAX_IN_FLIGHT * workers + 4  # and what numpy and HDF5 look at
        assert most[0] > 0

    def test_an_existing_dataset_is_never_touched(self, drawings, practice, tmp_path):
        out = tmp_path / "x.hdf5"
        shutil.copy(practice, out)
        before = out.read_bytes()
        assert "There is already a dataset x.hdf5" in refused(drawings, out)
        assert out.read_bytes() == before

    def test_a_file_that_windows_holds_for_a_moment_is_waited_for(self, drawings, tmp_path, monkeypatch):
        """A virus scanner or an indexer has the new file open just when it gets its name."""
        rename, refusals = Path.replace, [PermissionError(errno.EACCES, "Access is denied") for _ in range(3)]

        def replace(path, target):
            if path.name.endswith(".hdf5.partial") and refusals:
                raise refusals.pop()
            return rename(path, target)

        monkeypatch.setattr(Path, "replace", replace)
        assert built(drawings, tmp_path / "x.hdf5").is_file()
        assert refusals == []

    def test_folders_above_it_are_made(self, drawings, tmp_path):
        assert built(drawings, tmp_path / "a" / "b" / "x.hdf5").is_file()

    @pytest.mark.parametrize("after", [0, 1, 7])
    def test_stop_leaves_nothing_and_it_can_be_started_again(self, tmp_path, after):
        files, out = Drawn(200, tmp_path), tmp_path / "out" / "x.hdf5"
        asked = []

        def stop():
            asked.append(1)
            return len(asked) > after

        assert not build_dataset(files.source, out, BuildConfig(size=SIZE), should_stop=stop)
        assert list(out.parent.iterdir()) == []
        assert files.n_read < 30
        assert build_dataset(files.source, out, BuildConfig(size=SIZE))
        with open_dataset(out) as dataset:
            assert len(dataset) == 200

    def test_stop_does_not_wait_for_what_was_not_begun(self, tmp_path):
        files, gate = Drawn(200, tmp_path), threading.Event()
        real = files.read

        def read(path):
            content = real(path)
            assert path == "A/00000.png" or gate.wait(600)
            return content

        def stop():
            threading.Timer(0.3, gate.set).start()
            return True

        files.read = read
        assert not build_dataset(files.source, tmp_path / "x.hdf5", BuildConfig(size=SIZE, workers=2), should_stop=stop)
        assert files.n_read <= 4  # of the eight that were asked for

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
    def test_a_crash_leaves_nothing(self, tmp_path, error):
        def crash(record):
            raise error

        files, out = Drawn(60, tmp_path), tmp_path / "out" / "x.hdf5"
        with pytest.raises(error):
            build_dataset(files.source, out, BuildConfig(size=SIZE), emit=crash)
        assert list(out.parent.iterdir()) == []
        assert build_dataset(files.source, out, BuildConfig(size=SIZE))

    def test_a_killed_build_leaves_no_dataset_and_can_be_started_again(self, drawings, tmp_path):
        code = f"""
            import os
            from pathlib import Path
            from xrai.data.dataset import BuildConfig, build_dataset
            from xrai.data.sources import open_source
            with open_source({str(drawings)!r}) as source:
                out = Path({str(tmp_path / "x.hdf5")!r})
                build_dataset(source, out, BuildConfig(size=32), emit=lambda record: os._exit(9))
        """
        assert run(code).returncode == 9
        assert not (tmp_path / "x.hdf5").exists()
        built(drawings, tmp_path / "x.hdf5")
        assert [item.name for item in tmp_path.iterdir()] == ["x.hdf5"]


def run(code):
    """Run some code as a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


class TestFullDisk:
    def test_seen_before_it_is_begun(self, drawings, practice, tmp_path, monkeypatch):
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 1000, 1000))
        older = Path(shutil.copy(practice, tmp_path / "older.hdf5"))
        message = refused(drawings, tmp_path / "x.hdf5")
        assert "was not built because the disk is full: free some space" in message
        assert older.read_bytes() == practice.read_bytes()

    @pytest.mark.skipif(sys.platform == "win32", reason="only Unix can limit how large a file grows")
    def test_met_on_the_way(self, drawings, practice, tmp_path):
        """At every stage of the file. HDF5 by itself brings the process down when a write fails, as it ends at last."""
        older = Path(shutil.copy(practice, tmp_path / "older.hdf5"))
        size = practice.stat().st_size
        limits = [0, 1, 500, 3000, 50_000, *range(size - 20_000, size + 2000, 2000)]
        code = f"""
            import resource, signal
            from pathlib import Path
            from xrai.core.errors import DatasetError
            from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
            from xrai.data.sources import open_source
            out = Path({str(tmp_path / "x.hdf5")!r})
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            for limit in {limits}:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
                try:
                    with open_source({str(drawings)!r}) as source:
                        done = build_dataset(source, out, BuildConfig(size=64))
                except DatasetError as error:
                    assert "was not built because the disk is full" in str(error), error
                    assert not out.exists(), limit
                    outcome = "refused"
                else:
                    with open_dataset(out) as dataset:
                        dataset.images(range(len(dataset)))
                    out.unlink()
                    outcome = "built"
                print(outcome)
        """
        ended = run(code)
        assert (ended.returncode, ended.stderr) == (0, "")
        outcomes = ended.stdout.split()
        assert len(outcomes) == len(limits)
        assert outcomes == sorted(outcomes, reverse=True)  # first refused, then built
        assert set(outcomes) == {"refused", "built"}
        assert [item.name for item in tmp_path.iterdir()] == ["older.hdf5"]
        assert older.read_bytes() == practice.read_bytes()

    @pytest.mark.parametrize("place", ["file", "gone"])
    def test_a_folder_that_cannot_be_written_to(self, drawings, tmp_path, monkeypatch, place):
        (tmp_path / "file").touch()
        if place == "gone":  # rights do not stop root, who runs this test in CI
            monkeypatch.setattr(writing.Disk, "__init__", lambda disk, path: os.open("/nowhere/x", os.O_RDWR) and None)
            message = refused(drawings, tmp_path / "x.hdf5")
        else:
            message = refused(drawings, tmp_path / "file" / "x.hdf5")
        assert "cannot be written to" in message
        assert "choose another folder" in message

    def test_a_disk_that_failed_takes_all_and_says_so_when_asked(self, tmp_path):
        with writing.Disk(tmp_path / "x") as disk:
            disk.write(b"0123456789")
            disk.check()
            disk._error = OSError(errno.ENOSPC, "No space left on device")
            assert disk.write(b"abcd") == 4
            disk.truncate(100)
            with pytest.raises(OSError, match="No space"):
                disk.check()
        assert (tmp_path / "x").read_bytes() == b"0123456789"


def use(path):
    """Everything that is read of a dataset anywhere."""
    with open_dataset(path) as dataset:
        dataset.images(range(len(dataset)))
        dataset.describe()
        return (dataset.skipped, dataset.file_metadata(), dataset.files, dataset.notes)


class TestDamage:
    def refused(self, path):
        with pytest.raises(DatasetError) as error:
            use(path)
        assert "\n" not in str(error.value)
        assert path.name in str(error.value)
        return str(error.value)

    def test_missing(self, tmp_path):
        assert "There is no dataset" in self.refused(tmp_path / "x.hdf5")
        assert "There is no dataset" in self.refused(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04" * 100, b"text " * 1000, bytes(5000)])
    def test_no_hdf5(self, tmp_path, content):
        (tmp_path / "x.hdf5").write_bytes(content)
        assert "damaged or cut short" in self.refused(tmp_path / "x.hdf5")

    def test_cut_short_anywhere(self, practice, tmp_path):
        data = practice.read_bytes()
        lengths = [*range(0, 4000, 100), *np.linspace(0, len(data) - 1, 150).astype(int), len(data) - 1]
        for length in lengths:
            (tmp_path / "x.hdf5").write_bytes(data[:length])
            assert "damaged or cut short" in self.refused(tmp_path / "x.hdf5")

    def test_flipped_bytes_anywhere_are_noticed(self, practice, tmp_path):
        """In a process of its own, for where no checksum guards it HDF5 may take the whole process down."""
        code = f"""
            import random
            from pathlib import Path
            from tests.xrai.data.test_dataset import use
            from xrai.core.errors import DatasetError
            data, file, noticed = Path({str(practice)!r}).read_bytes(), Path({str(tmp_path / "x.hdf5")!r}), 0
            for seed in range(150):
                rng, broken = random.Random(seed), bytearray(data)
                for _ in range(rng.choice((1, 3, 100))):
                    broken[rng.randrange(len(broken))] ^= rng.randrange(1, 256)
                file.write_bytes(broken)
                try:
                    use(file)
                except DatasetError:
                    noticed += 1
            print(noticed)
        """
        ended = run(code)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert int(ended.stdout) >= 148  # a few bytes are padding between the parts

    def test_one_wrong_pixel_is_noticed(self, practice, tmp_path):
        data = bytearray(practice.read_bytes())
        with h5py.File(practice) as file:
            at = file["images"].id.get_chunk_info(3).byte_offset
        data[at + 1000] ^= 1
        (tmp_path / "x.hdf5").write_bytes(data)
        with open_dataset(tmp_path / "x.hdf5") as dataset:
            dataset.images([2, 4])
            with pytest.raises(DatasetError, match="damaged or cut short"):
                dataset.images([3])

    def test_foreign_hdf5(self, tmp_path):
        with h5py.File(tmp_path / "x.hdf5", "w") as file:
            file["images"] = np.zeros((3, 64, 64), np.uint8)
        assert "not a dataset of XRAI" in self.refused(tmp_path / "x.hdf5")

    def changed(self, practice, tmp_path, change):
        shutil.copy(practice, tmp_path / "x.hdf5")
        with h5py.File(tmp_path / "x.hdf5", "r+") as file:
            change(file)
        return self.refused(tmp_path / "x.hdf5")

    def test_a_newer_version(self, practice, tmp_path):
        message = self.changed(practice, tmp_path, lambda file: file.attrs.__setitem__("version", VERSION + 1))
        assert "newer XRAI" in message

    @pytest.mark.parametrize("name", ["images", *COLUMNS, "skipped", "skipped/file"])
    def test_a_part_is_missing(self, practice, tmp_path, name):
        assert "damaged" in self.changed(practice, tmp_path, lambda file: file.__delitem__(name))

    @pytest.mark.parametrize("name", ["classes", "size", "seed", "source", "notes", "versions", "version", "created"])
    def test_an_attribute_is_missing_or_of_another_kind(self, practice, tmp_path, name):
        assert "damaged" in self.changed(practice, tmp_path, lambda file: file.attrs.__delitem__(name))
        if name not in ("source", "created"):
            message = self.changed(practice, tmp_path, lambda file: file.attrs.__setitem__(name, "{nonsense"))
            assert "damaged" in message

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("label", np.full(82, 2, np.uint16)),
            ("split", np.full(82, 3, np.uint8)),
            ("label", np.zeros(81, np.uint16)),
            ("sha256", np.zeros(83, "S64")),
            ("images", np.zeros((82, 64, 63), np.uint8)),
            ("images", np.zeros((82, 64, 64), np.uint16)),
            ("images", np.zeros((0, 64, 64), np.uint8)),
            ("images", np.zeros((), np.uint8)),
        ],
    )
    def test_parts_that_do_not_fit(self, practice, tmp_path, name, value):
        def change(file):
            del file[name]
            file[name] = value

        with open_dataset(practice) as dataset:
            assert len(dataset) == 82
        assert "damaged" in self.changed(practice, tmp_path, change)

    def test_one_that_may_not_be_read(self, practice, monkeypatch):
        def closed(*args, **options):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(h5py, "File", closed)
        assert "may not be read by this account" in self.refused(practice)

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows locks files in another way")
    def test_on_a_drive_that_locks_oddly(self, practice, tmp_path):
        """HDF5's own locks keep whole files from being read, on network drives above all."""
        import fcntl

        shutil.copy(practice, tmp_path / "x.hdf5")
        with (tmp_path / "x.hdf5").open("r+b") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(OSError, match="lock"):
                h5py.File(tmp_path / "x.hdf5").close()
            use(tmp_path / "x.hdf5")


def test_a_large_film_is_stored_as_if_it_were_read_whole(tmp_path):
    """The builder decodes a large JPEG at a fraction of its size; that must not show."""
    for name in "AB":
        (tmp_path / "in" / name).mkdir(parents=True)
        film = draw_thorax(np.random.default_rng(ord(name)), opacity=True, size=1500)
        Image.fromarray(film).save(tmp_path / "in" / name / "1.jpg", quality=95)
    compare_with_whole(tmp_path / "in", tmp_path)


@pytest.mark.real
def test_a_real_film_is_stored_as_if_it_were_read_whole(real_data, tmp_path):
    for name in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for film in sorted((real_data / "datasets" / "originals").rglob(f"{name}/*.jpeg"))[::12]:
            shutil.copy(film, tmp_path / "in" / name)
    compare_with_whole(tmp_path / "in", tmp_path)


def compare_with_whole(folder, tmp_path):
    with open_dataset(built(folder, tmp_path / "x.hdf5", size=224)) as dataset:
        images = dataset.images(range(len(dataset))).astype(float)
        whole = np.stack([to_square(read_scan(folder / name).pixels, 224) for name in dataset.files])
        assert np.abs(images - whole).mean() < 0.4  # of 255
        assert np.abs(images - whole).mean(axis=(1, 2)).max() < 1
