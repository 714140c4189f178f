"""Reading a dataset."""

import json
import shutil
import threading

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.xrai.data.dataset.datasets import compare_with_whole
from xrai.data.dataset import open_dataset
from xrai.data.dataset.checking import COLUMNS
from xrai.data.sources import SPLITS
from xrai.scans.phantoms import draw_thorax


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
                    name,
                    data=[item.decode() for item in column] if text else column,
                    dtype=h5py.string_dtype() if text else None,
                )
            for name, value in new._file.attrs.items():
                old.attrs[name] = value.decode() if isinstance(value, bytes) else value
            expected = new.describe().replace(name="old")
        with open_dataset(tmp_path / "old.hdf5") as dataset:
            assert dataset.describe() == expected
            assert dataset.skipped == ()


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
