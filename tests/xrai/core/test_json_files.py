"""JSON files: replaced whole or grown by a line, and readable whatever a killed process left."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from xrai.core.json_files import (
    append_record,
    atomic_file,
    last_modified,
    read_records,
    replace_file,
    truncate_records,
    write_json,
)

AWKWARD = {
    "file": "Röntgen\udcfc\u2028\x85\u2029\x0b\r\n“1”.png",
    "empty": "",
    "n": 1.5,
    "none": None,
    "list": [1, [2]],
}
"""Everything that a file's name on some disk may hold, also bytes that are no characters and other line ends."""


@pytest.fixture
def steps(monkeypatch):
    """What happens to the disk, in order."""
    done = []

    def note(name):
        real = getattr(os, name)

        def act(target, *arguments, **named):
            is_folder = isinstance(target, int) and stat.S_ISDIR(os.fstat(target).st_mode)
            done.append(f"{name} folder" if is_folder else name)
            return real(target, *arguments, **named)

        monkeypatch.setattr(os, name, act)

    for name in ("fsync", "replace", "rename"):
        note(name)
    return done


class TestWriteJson:
    @pytest.mark.skipif(os.name == "nt", reason="Windows cannot flush a folder")
    def test_the_file_is_flushed_before_it_gets_its_name_and_the_folder_after(self, tmp_path, steps):
        write_json(tmp_path / "a.json", {"n": 1})
        assert [step.replace("rename", "replace") for step in steps] == ["fsync", "replace", "fsync folder"]

    def test_a_disk_that_cannot_flush_leaves_the_old_file(self, tmp_path, monkeypatch):
        write_json(tmp_path / "a.json", {"old": 1})
        monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space"):
            write_json(tmp_path / "a.json", {"new": 1})
        assert json.loads((tmp_path / "a.json").read_bytes()) == {"old": 1}
        assert [item.name for item in tmp_path.iterdir()] == ["a.json"]

    def test_round_trip(self, tmp_path):
        write_json(tmp_path / "a.json", AWKWARD)
        assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == AWKWARD
        assert [item.name for item in tmp_path.iterdir()] == ["a.json"]

    def test_people_can_read_it(self, tmp_path):
        write_json(tmp_path / "a.json", {"who": "Kinder bis fünf"})
        assert "fünf" in (tmp_path / "a.json").read_text(encoding="utf-8")

    def test_what_cannot_be_written_leaves_the_old_file(self, tmp_path):
        write_json(tmp_path / "a.json", {"old": 1})
        with pytest.raises(TypeError):
            write_json(tmp_path / "a.json", {"new": object()})
        assert json.loads((tmp_path / "a.json").read_bytes()) == {"old": 1}

    def test_a_full_disk_leaves_the_old_file_and_no_half_one(self, tmp_path, monkeypatch):
        write_json(tmp_path / "a.json", {"old": 1})

        def fail(path, content):
            with path.open("wb") as file:
                file.write(content[:3])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="No space"):
            write_json(tmp_path / "a.json", {"new": 1})
        assert json.loads((tmp_path / "a.json").read_bytes()) == {"old": 1}
        assert [item.name for item in tmp_path.iterdir()] == ["a.json"]

    def test_a_reader_never_sees_half(self, tmp_path):
        file, seen = tmp_path / "a.json", []
        write_json(file, {"n": -1, "fill": "x" * 20_000})
        done = threading.Event()

        def read():
            while not done.is_set():
                seen.append(json.loads(file.read_bytes())["n"])

        reader = threading.Thread(target=read)
        reader.start()
        for n in range(100):
            write_json(file, {"n": n, "fill": "x" * 20_000})
        done.set()
        reader.join()
        assert seen == sorted(seen)

    def test_two_users_who_save_at_once_do_not_get_into_each_others_way(self, tmp_path):
        """They are threads of one process, and once shared one temporary file: a save failed, or tore."""
        file, failed = tmp_path / "a.json", []

        def save(who):
            for _ in range(200):
                try:
                    write_json(file, {"who": who, "fill": str(who) * 20_000})
                except OSError as error:
                    failed.append(error)

        users = [threading.Thread(target=save, args=(who,)) for who in range(4)]
        for user in users:
            user.start()
        for user in users:
            user.join()
        assert not failed
        assert set(json.loads(file.read_bytes())) == {"who", "fill"}
        assert [item.name for item in tmp_path.iterdir()] == ["a.json"]

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
    def test_others_may_read_it_as_far_as_the_umask_says(self, tmp_path):
        write_json(tmp_path / "a.json", {})
        (tmp_path / "usual").touch()
        assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


class TestWholeFile:
    def test_two_who_write_the_same_file_have_a_name_each(self, tmp_path):
        with atomic_file(tmp_path / "note.txt") as one, atomic_file(tmp_path / "note.txt") as other:
            one.write_text("one")
            other.write_text("other")
        assert (tmp_path / "note.txt").read_text() == "one"  # the last to end
        assert [item.name for item in tmp_path.iterdir()] == ["note.txt"]


class TestLog:
    def test_round_trip(self, tmp_path):
        records = [AWKWARD, {"n": 2}, {}]
        for record in records:
            append_record(tmp_path / "log", record)
        assert read_records(tmp_path / "log") == records
        assert (tmp_path / "log").read_bytes().count(b"\n") == 3

    def test_no_file_is_no_records(self, tmp_path):
        assert read_records(tmp_path / "log") == []
        assert read_records(tmp_path) == []

    @pytest.mark.parametrize("cut", range(1, 12))
    def test_a_line_cut_short_is_left_out_and_the_next_one_is_not(self, tmp_path, cut):
        log = tmp_path / "log"
        append_record(log, {"n": 1})
        append_record(log, {"n": "ü" * 3})
        log.write_bytes(log.read_bytes()[:-cut])
        whole = 2 if cut == 1 else 1  # without its line end alone, the record is still whole
        assert len(read_records(log)) == whole
        append_record(log, {"n": 3})
        assert [record["n"] for record in read_records(log)][whole:] == [3]

    def test_what_is_no_record_is_left_out(self, tmp_path):
        (tmp_path / "log").write_bytes(b'[1]\nnull\n\n\xff\xfe\n{"n": 1}\nNaN\n{"n": 2}')
        assert read_records(tmp_path / "log") == [{"n": 1}, {"n": 2}]

    def test_a_line_nested_without_end_is_left_out(self, tmp_path):
        (tmp_path / "log").write_text('{"n": 1}\n' + "[" * 10**5 + '\n{"n": ' + "[" * 10**5 + '\n{"n": 2}')
        assert read_records(tmp_path / "log") == [{"n": 1}, {"n": 2}]

    @pytest.mark.parametrize(("n", "kept"), [(0, []), (2, [0, 1]), (5, [0, 1, 2])])
    def test_keeping_the_first(self, tmp_path, n, kept):
        for i in range(3):
            append_record(tmp_path / "log", AWKWARD | {"i": i})
        truncate_records(tmp_path / "log", n)
        assert read_records(tmp_path / "log") == [AWKWARD | {"i": i} for i in kept]
        assert [item.name for item in tmp_path.iterdir()] == ["log"]


class TestReplaceFile:
    def test_a_reader_who_never_lets_go(self, tmp_path, monkeypatch):
        def replace(path, target):
            raise PermissionError(13, "in use")

        (tmp_path / "fresh").touch()
        monkeypatch.setattr(Path, "replace", replace)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        with pytest.raises(PermissionError):
            replace_file(tmp_path / "fresh", tmp_path / "file")

    def test_a_folder_takes_the_place_of_none(self, tmp_path):
        (tmp_path / "fresh").mkdir()
        replace_file(tmp_path / "fresh", tmp_path / "folder")
        assert [item.name for item in tmp_path.iterdir()] == ["folder"]


def test_the_last_change_is_that_of_the_file_written_last(tmp_path):
    assert last_modified(tmp_path, "a", "b") == 0.0
    for name, moment in (("a", 300), ("b", 200), ("c", 400)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (moment, moment))
    assert last_modified(tmp_path, "a", "b", "gone") == 300.0
