"""The file format of datasets."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.xrai.data.dataset.datasets import SIZE, Drawn, built
from xrai import __version__
from xrai.core.errors import SettingsError
from xrai.core.paths import PROJECT_DIR
from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.dataset.checking import COLUMNS
from xrai.data.dataset.reading import FORMAT, VERSION
from xrai.data.sources import SPLITS, open_source
from xrai.scans import read_scan
from xrai.scans.preprocessing import to_square


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
        told = (PROJECT_DIR / "docs" / "dataset-format.md").read_text(encoding="utf-8")
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
            "format",
            "version",
            "classes",
            "splits",
            "size",
            "source",
            "population",
            "licence",
            "drawings",
            "seed",
            "created",
            "messages",
            "notes",
            "versions",
        }

    def test_every_scan_is_in_it_as_it_was(self, drawings, practice):
        with open_dataset(practice) as dataset:
            assert dataset.files.tolist() == sorted(
                file.relative_to(drawings).as_posix() for file in drawings.rglob("*.png")
            )
            assert len(dataset) == len(dataset.files)
            images = dataset.images(range(len(dataset)))
            for i, name in enumerate(dataset.files):
                scan = read_scan(drawings / name)
                assert (images[i] == to_square(scan.pixels, images.shape[1])).all()
                assert dataset.hashes[i] == scan.sha256
                assert dataset.classes[dataset.labels[i]] == name.split("/")[0]
            assert {name: set(column) for name, column in dataset.file_metadata().items() if name != "n_bytes"} == {
                "format": {"PNG"},
                "mode": {"L"},
                "width": {64},
                "height": {64},
            }
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
        files = Drawn(3000, tmp_path)
        files._names = [f"class number {i % 600:03} {'x' * 150}/{i}.png" for i in range(3000)]  # more than 64 KB
        assert build_dataset(files.source, tmp_path / "x.hdf5", BuildConfig(size=SIZE))
        with open_dataset(tmp_path / "x.hdf5") as dataset:
            assert len(dataset.classes) == 600
            assert dataset.labels.max() == 599

    @pytest.mark.parametrize("values", [{"size": 31}, {"size": 1025}, {"workers": 0}, {"workers": 65}, {"seed": -1}])
    def test_settings_out_of_range(self, values: Any):
        with pytest.raises(SettingsError, match=next(iter(values))):
            BuildConfig(**values)


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
