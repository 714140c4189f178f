"""Datasets that are damaged or come from elsewhere."""

import errno
import shutil
import sys

import h5py
import numpy as np
import pytest

from tests.xrai.data.dataset.datasets import run, use
from xrai.core.errors import DatasetError
from xrai.data.dataset import open_dataset
from xrai.data.dataset.checking import COLUMNS
from xrai.data.dataset.reading import VERSION


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
            from tests.xrai.data.dataset.datasets import use
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
