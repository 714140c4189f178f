"""Folders and zips as sources."""

import errno
import io
import os
import random
import struct
import sys
import zipfile
from pathlib import Path

import pytest

from tests.xrai.data.sources.sources import FLAT, SPLIT, folder_of, found, refused, seen, zip_of
from xrai.core.errors import SourceError
from xrai.data.sources import files, open_source


class TestFolder:
    def test_as_it_is_on_disk(self, tmp_path):
        folder = folder_of(SPLIT, tmp_path / "my films")
        with open_source(folder) as source:
            assert source.name == "my films"
            assert not source.is_phantom
        assert seen(folder)[1] == [(entry, entry.path.encode()) for entry in found(*SPLIT).entries]

    def test_relative_and_with_a_tilde(self, tmp_path, monkeypatch):
        folder_of(FLAT, tmp_path / "films")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        monkeypatch.chdir(tmp_path / "films")
        assert seen("~/films") == seen(".")
        with open_source(".") as source:
            assert source.name == "films"

    def test_empty(self, tmp_path):
        assert "There are no scans" in refused(tmp_path)

    @pytest.mark.parametrize("name", ["nowhere", "x" * 300, "a\0b", "", " "])
    def test_nothing_there(self, tmp_path, name):
        assert "choose another" in refused(tmp_path / name if name.strip() else name)

    def test_nobodys_home(self):
        assert "choose another" in refused("~nobody-of-that-name/scans")

    def test_links_are_followed_once_and_never_in_circles(self, tmp_path):
        folder_of(("1.png", "2.png"), tmp_path / "elsewhere" / "sick")
        folder = folder_of(("NORMAL/a.png", "NORMAL/deep/b.png"), tmp_path / "films")
        (folder / "SICK").symlink_to(tmp_path / "elsewhere" / "sick")
        (folder / "again").symlink_to(folder)
        (folder / "NORMAL" / "up").symlink_to("..")
        (folder / "NORMAL" / "all").symlink_to("/")
        (tmp_path / "elsewhere" / "sick" / "circle").symlink_to(tmp_path / "elsewhere")
        (folder / "SICK" / "dangling.png").symlink_to(tmp_path / "nowhere.png")
        (folder / "SICK" / "self.png").symlink_to("self.png")
        classes, read, notes = seen(folder)
        assert classes == ("NORMAL", "SICK")
        assert [entry.path for entry, _ in read] == ["NORMAL/a.png", "NORMAL/deep/b.png", "SICK/1.png", "SICK/2.png"]
        assert notes == ()

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes among its files")
    def test_a_pipe_is_no_file(self, tmp_path):
        folder = folder_of(FLAT, tmp_path)
        os.mkfifo(folder / "SICK" / "pipe.png")  # reading it would wait for ever
        assert len(seen(folder)[1]) == len(FLAT)

    def test_a_folder_that_may_not_be_read_is_said_and_not_left_out(self, tmp_path, monkeypatch):
        folder, scandir = folder_of(FLAT, tmp_path), os.scandir

        def closed(path):
            if Path(path).name == "SICK":
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", closed)
        message = refused(folder)
        assert "SICK cannot be read (Permission denied)" in message

    def test_a_file_that_is_gone_raises_when_read(self, tmp_path):
        with open_source(folder_of(FLAT, tmp_path)) as source:
            (tmp_path / FLAT[0]).unlink()
            with pytest.raises(FileNotFoundError):
                source.read(source.entries[0])

    def test_a_file_too_large_is_refused_unread(self, tmp_path):
        folder = folder_of(FLAT, tmp_path)
        with (folder / FLAT[0]).open("wb") as file:
            file.truncate(files.MAX_FILE_BYTES + 1)
        with open_source(folder) as source, pytest.raises(SourceError, match="larger than 256 MB"):
            source.read(source.entries[0])


class TestZip:
    @pytest.mark.parametrize("names", [FLAT, SPLIT, ("wrap/Entzündung/1.png", "wrap/正常/2.png")])
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_the_same_as_a_folder(self, tmp_path, names, method):
        archive = zip_of(names, tmp_path / "films.zip", compression=method)
        assert seen(archive) == seen(folder_of(names, tmp_path / "films"))
        with open_source(archive) as source:
            assert source.name == "films.zip"

    def test_folders_in_it_are_no_files(self, tmp_path):
        archive = zip_of(("NORMAL/", "SICK/", "empty/", *FLAT), tmp_path / "films.zip")
        assert seen(archive) == seen(folder_of(FLAT, tmp_path / "films"))

    @pytest.mark.parametrize(
        "written",
        [lambda name: name.replace("/", "\\"), lambda name: f"./{name}", lambda name: name.replace("/", "//")],
    )
    def test_other_ways_to_write_a_path(self, tmp_path, written):
        archive = zip_of((written("NORMAL/"), *map(written, SPLIT)), tmp_path / "films.zip")
        classes, read, notes = seen(archive)
        assert (classes, tuple(entry for entry, _ in read), notes) == (("NORMAL", "SICK"), found(*SPLIT).entries, ())
        assert [content for _, content in read] == [written(entry.path).encode() for entry, _ in read]

    def test_its_ending_does_not_matter(self, tmp_path):
        assert len(seen(zip_of(FLAT, tmp_path / "upload.tmp"))[1]) == len(FLAT)

    def test_nothing_is_unpacked(self, tmp_path):
        archive = zip_of(SPLIT, tmp_path / "films.zip")
        seen(archive)
        assert list(tmp_path.iterdir()) == [archive]

    @pytest.mark.parametrize(
        "name",
        [
            "../SICK/x.png",
            "SICK/../../x.png",
            "..\\SICK\\x.png",
            "SICK\\..\\..\\x.png",
            "/SICK/x.png",
            "\\SICK\\x.png",
            "\\\\server\\share\\x.png",
            "C:\\SICK\\x.png",
            "c:/SICK/x.png",
            "C:x.png",
            "..",
        ],
    )
    def test_a_name_outside_is_refused(self, tmp_path, name):
        assert "outside its own folder" in refused(zip_of((*FLAT, name), tmp_path / "films.zip"))

    def test_dots_in_a_name_are_fine(self, tmp_path):
        assert len(seen(zip_of((*FLAT, "SICK/film..2.png", "SICK/..x/a...png"), tmp_path / "films.zip"))[1]) == 5

    def test_a_bomb_is_refused_unread(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in FLAT:
                archive.writestr(name, bytes(5_000_000))
        assert "times its size, which no zip of scans does" in refused(tmp_path / "bomb.zip")

    def test_a_bomb_of_many_empty_files_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "MAX_ZIP_FILES", 3)
        assert "would unpack to 4 files" in refused(zip_of(FLAT, tmp_path / "films.zip"))

    def test_a_bomb_that_lies_about_its_size_gives_no_more_than_it_says(self, tmp_path):
        file = tmp_path / "bomb.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in FLAT:
                archive.writestr(name, bytes(5_000_000))
        file.write_bytes(file.read_bytes().replace(struct.pack("<I", 5_000_000), struct.pack("<I", 1000)))
        with open_source(file) as source, pytest.raises(SourceError, match="damaged inside the zip"):
            source.read(source.entries[0])

    def test_a_member_too_large_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "MAX_FILE_BYTES", 10)
        with (
            open_source(zip_of(FLAT, tmp_path / "films.zip")) as source,
            pytest.raises(SourceError, match="larger than"),
        ):
            source.read(source.entries[0])

    def test_encrypted(self, tmp_path):
        archive = zip_of(FLAT, tmp_path / "films.zip")
        data = archive.read_bytes()
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag in each header
            parts = data.split(mark)
            data = mark.join([parts[0], *(part[: at - 4] + b"\x01" + part[at - 3 :] for part in parts[1:])])
        archive.write_bytes(data)
        assert "locked with a password" in refused(archive)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"GIF89a" + bytes(1000), b"PK\x05\x06" + bytes(5)])
    def test_what_is_no_zip(self, tmp_path, content):
        (tmp_path / "films.zip").write_bytes(content)
        assert "films.zip is not a zip file that can be read" in refused(tmp_path / "films.zip")

    def test_an_empty_zip(self, tmp_path):
        assert "There are no scans in films.zip" in refused(zip_of((), tmp_path / "films.zip"))

    def test_cut_short_anywhere(self, tmp_path):
        data = zip_of(SPLIT, tmp_path / "films.zip").read_bytes()
        for length in range(len(data)):
            (tmp_path / "cut.zip").write_bytes(data[:length])
            refused(tmp_path / "cut.zip")

    def test_damaged_anywhere(self, tmp_path):
        """Whatever byte is wrong: the files that can be read are right, for the rest there is a sentence."""
        data = zip_of(SPLIT, tmp_path / "films.zip", compression=zipfile.ZIP_DEFLATED).read_bytes()
        rng, outcomes = random.Random(0), set()
        for _ in range(600):
            broken = bytearray(data)
            for _ in range(rng.choice((1, 2, 8))):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            (tmp_path / "broken.zip").write_bytes(broken)
            try:
                with open_source(tmp_path / "broken.zip") as source:
                    for entry in source.entries:
                        source.read(entry)
                outcomes.add("read")
            except SourceError as error:
                outcomes.add(str(error).partition("zip")[2][:20])
        assert "read" in outcomes
        assert len(outcomes) > 3

    def test_one_damaged_member_leaves_the_others(self, tmp_path):
        archive = zip_of(FLAT, tmp_path / "films.zip")
        archive.write_bytes(archive.read_bytes().replace(FLAT[0].encode() * 2, FLAT[0].encode() + b"?" * len(FLAT[0])))
        with open_source(archive) as source:
            with pytest.raises(SourceError, match="damaged inside the zip"):
                source.read(source.entries[0])
            assert source.read(source.entries[1]) == FLAT[1].encode()

    def test_an_unknown_compression_is_said(self, tmp_path):
        archive = zip_of(FLAT, tmp_path / "films.zip")
        data = archive.read_bytes()
        at = data.index(b"PK\x01\x02")
        archive.write_bytes(data[:8] + b"\x09" + data[9 : at + 10] + b"\x09" + data[at + 11 :])  # Deflate64
        with open_source(archive) as source, pytest.raises(SourceError, match="ordinary compression"):
            source.read(source.entries[0])

    def test_one_that_may_not_be_read(self, tmp_path, monkeypatch):
        archive = zip_of(FLAT, tmp_path / "films.zip")

        def closed(*args, **options):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(io, "open", closed)
        assert "may not be read by this account" in refused(archive)
