"""Building a dataset: skipped files, stopping, killed processes, a full disk."""

import errno
import json
import os
import shutil
import sys
import threading
from collections import Counter, namedtuple
from pathlib import Path

import numpy as np
import pytest

from tests.xrai.data.dataset.datasets import SIZE, Drawn, built, contents, refused, run
from xrai.data.dataset import BuildConfig, Skipped, build, build_dataset, open_dataset, writing
from xrai.data.dataset.build import MAX_IN_FLIGHT


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
