"""Finding class folders: in folders and zips of every make, whole, strange, damaged and made to harm."""

import errno
import io
import os
import random
import shutil
import struct
import sys
import unicodedata
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path, PurePosixPath

import pytest

from xrai.core.errors import SourceError
from xrai.core.paths import data_dir
from xrai.data.sources import (
    KAGGLE_PREFIX,
    KAGGLE_SETS,
    PRACTICE_SPEC,
    Entry,
    files,
    find_classes,
    kaggle_folder,
    list_local_sources,
    open_source,
    parse_patient_id,
)
from xrai.scans import phantoms

FLAT = ("NORMAL/a.png", "NORMAL/b.jpg", "SICK/c.dcm", "SICK/d")
SPLIT = ("train/NORMAL/a.png", "train/SICK/b.png", "val/NORMAL/c.png", "val/SICK/d.png", "test/NORMAL/e.png",
         "test/SICK/f.png")  # fmt: skip


class Listed:
    """Files that are only names."""

    def __init__(self, names):
        self._names = names

    def names(self):
        return list(self._names)

    def read(self, path):
        return path.encode()


def found(*names):
    return find_classes(Listed(names), "some place")


def refusal(*names):
    with pytest.raises(SourceError) as error:
        found(*names)
    return str(error.value)


def folder_of(names, folder):
    """The names as files on disk, each holding its own path."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def zip_of(names, file, **options):
    """The names as members, exactly as they are written here, each holding its own path."""
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name  # past ZipInfo's own tidying
            archive.writestr(info, name.encode())
    return file


def seen(spec):
    """All that an opened source holds: classes, entries with their content, notes."""
    with open_source(spec) as source:
        return source.classes, [(entry, source.read(entry)) for entry in source.entries], source.notes


def refused(spec):
    with pytest.raises(SourceError) as error, open_source(spec):
        pass
    message = str(error.value)
    assert "\n" not in message
    return message


class TestClassFolders:
    def test_side_by_side(self):
        source = found(*FLAT)
        assert source.classes == ("NORMAL", "SICK")
        assert source.entries == tuple(Entry(name, name.split("/")[0], None) for name in FLAT)
        assert source.counts() == {"NORMAL": {"all": 2}, "SICK": {"all": 2}}
        assert source.notes == ()

    def test_below_splits(self):
        source = found(*SPLIT)
        assert source.classes == ("NORMAL", "SICK")
        assert source.counts() == {name: {"train": 1, "val": 1, "test": 1} for name in source.classes}
        assert source.notes == ()

    @pytest.mark.parametrize(
        "names", [("train", "val", "test"), ("Training", "VALIDATION", "Testing"), ("TRAIN", "valid", "Test")]
    )
    def test_splits_by_their_usual_names(self, names):
        source = found(*(f"{split}/{name}/1.png" for split in names for name in "AB"))
        told = {PurePosixPath(entry.path).parts[0]: entry.split for entry in source.entries}
        assert told == dict(zip(names, ("train", "val", "test"), strict=True))

    @pytest.mark.parametrize(
        ("wrap", "names"),
        [
            ("archive", FLAT),
            ("archive/data v2/x.y", FLAT),
            ("archive", SPLIT),
            ("archive/data v2/x.y", SPLIT),
            ("test", SPLIT),  # test.zip of a folder called test
            ("Validation/train", SPLIT),
        ],
    )
    def test_wrapped_in_folders(self, wrap, names):
        wrapped, bare = found(*(f"{wrap}/{name}" for name in names)), found(*names)
        assert wrapped.classes == bare.classes
        assert wrapped.counts() == bare.counts()
        assert [entry.path for entry in wrapped.entries] == [f"{wrap}/{entry.path}" for entry in bare.entries]

    @pytest.mark.parametrize("stray", ["archive/LICENSE", "archive/overview.png", "README", "cover.jpg"])
    def test_stray_files_beside_the_class_folders_make_no_class(self, stray):
        source = found(stray, *(f"archive/{name}" for name in FLAT))
        assert source.classes == ("NORMAL", "SICK")
        assert source.notes == ("1 other files were passed over: they do not lie in a class folder or are no scans.",)

    def test_folders_inside_class_folders_belong_to_them(self):
        source = found("NORMAL/2023/a.png", "NORMAL/2024/b.png", "SICK/images/c.png", "SICK/d.png")
        assert source.counts() == {"NORMAL": {"all": 2}, "SICK": {"all": 2}}
        assert found(*(f"train/{name}" for name in ("A/x/1.png", "B/2.png"))).classes == ("A", "B")

    def test_a_tree_nested_in_itself_counts_once(self):
        """Kaggle's chest-xray-pneumonia: chest_xray/chest_xray, and Mac leftovers of both."""
        source = found(
            *(f"chest_xray/{name}" for name in SPLIT),
            *(f"chest_xray/chest_xray/{name}" for name in SPLIT),
            *(f"chest_xray/__MACOSX/chest_xray/{name}" for name in SPLIT),
            "chest_xray/chest_xray/train/NORMAL/.DS_Store",
        )
        assert [entry.path for entry in source.entries] == sorted(f"chest_xray/{name}" for name in SPLIT)
        assert any("second copy of itself" in note for note in source.notes)

    def test_hidden_files_are_no_scans(self):
        hidden = ("NORMAL/.a.png", "NORMAL/._a.png", ".git/NORMAL/a.png", "__MACOSX/NORMAL/._a.png", "SICK/Thumbs.db",
                  "SICK/.cache/x.png")  # fmt: skip
        source = found(*FLAT, *hidden)
        assert [entry.path for entry in source.entries] == list(FLAT)
        assert source.notes[0].startswith("6 other files")

    def test_other_files_are_counted(self):
        source = found(*FLAT, "NORMAL/notes.txt", "SICK/list.csv", *(f"SICK/{i}.xml" for i in range(1000)))
        assert source.notes[0].startswith("1,002 other files were passed over")

    @pytest.mark.parametrize(
        "name", ["1.JPG", "1.jpeg", "1.JPE", "1.jfif", "1.png", "1.tif", "1.TIFF", "1.webp", "1.bmp", "1.dcm",
                 "1.DICOM", "1.ima", "IM000001", "1.2.840.113619.2.55.3", "CR.1.2.840.4711"],
    )  # fmt: skip
    def test_endings_of_scans(self, name):
        assert f"SICK/{name}" in {entry.path for entry in found(*FLAT, f"SICK/{name}").entries}

    @pytest.mark.parametrize("name", ["1.txt", "1.json", "1.zip", "1.png.part", "1.py", "1.gif", "1.pdf"])
    def test_endings_of_other_files(self, name):
        assert f"SICK/{name}" not in {entry.path for entry in found(*FLAT, f"SICK/{name}").entries}

    @pytest.mark.parametrize(
        "healthy", ["NORMAL", "normal", "Healthy", "No Finding", "no_finding", "control", " Clear "]
    )
    def test_the_healthy_class_comes_first(self, healthy):
        assert found("Abscess/1.png", f"{healthy}/1.png", "zoster/1.png").classes == (
            healthy.strip(),
            "Abscess",
            "zoster",
        )

    def test_many_classes(self):
        assert found(*(f"class {i:03}/1.png" for i in range(300))).classes == tuple(f"class {i:03}" for i in range(300))

    def test_unicode_and_strange_class_names(self):
        names = ("Lungenentzündung", "正常", "пневмония", "a'b\"c", "with, comma", "x" * 200)
        assert set(found(*(f"{name}/1.png" for name in names)).classes) == set(names)

    def test_one_class_in_two_spellings_is_one(self):
        mac, other = (unicodedata.normalize(form, "Entzündung") for form in ("NFD", "NFC"))
        source = found(f"train/{mac}/1.png", f"test/{other}/2.png", "train/Normal/3.png", "test/NORMAL /4.png")
        assert source.classes == ("NORMAL", other)
        assert source.counts() == {name: {"train": 1, "test": 1} for name in source.classes}
        assert {entry.path for entry in source.entries} >= {f"train/{mac}/1.png", "test/NORMAL /4.png"}

    def test_a_class_name_of_bytes_that_are_no_characters_can_be_written(self):
        source = found("R\udcf6ntgen/1.png", "Normal/1.png")
        assert "".join(source.classes).encode()
        assert {entry.path for entry in source.entries} == {"R\udcf6ntgen/1.png", "Normal/1.png"}

    def test_many_files(self):
        names = [f"wrap/train/{'AB'[i % 2]}/{i // 1000}/{i}.png" for i in range(50_000)]
        assert found(*names).counts() == {"A": {"train": 25_000}, "B": {"train": 25_000}}


class TestRefusals:
    @pytest.mark.parametrize("names", [(), ("readme.txt", "NORMAL/list.csv"), (".hidden/a.png",)])
    def test_no_scans(self, names):
        assert "There are no scans in some place: it should hold one folder for each class" in refusal(*names)

    @pytest.mark.parametrize("names", [("1.png", "2.png"), ("train/1.png", "test/2.png")])
    def test_scans_without_class_folders(self, names):
        assert "scans but no class folders in some place" in refusal(*names)

    @pytest.mark.parametrize(
        "names", [("NORMAL/1.png",), ("wrap/NORMAL/1.png", "wrap/NORMAL/2.png"), ("scan.png", "NORMAL/1.png"),
                  ("train/NORMAL/1.png", "test/NORMAL/2.png")],
    )  # fmt: skip
    def test_one_class(self, names):
        assert "There is only the class “NORMAL” in some place" in refusal(*names)


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
        ["../SICK/x.png", "SICK/../../x.png", "..\\SICK\\x.png", "SICK\\..\\..\\x.png", "/SICK/x.png", "\\SICK\\x.png",
         "\\\\server\\share\\x.png", "C:\\SICK\\x.png", "c:/SICK/x.png", "C:x.png", ".."],
    )  # fmt: skip
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


class TestPractice:
    def test_drawings_say_what_they_are(self, home, monkeypatch):
        monkeypatch.setattr(phantoms, "write_practice_set", partial(phantoms.write_practice_set, n_patients=6, size=64))
        with open_source(PRACTICE_SPEC, practice_seed=3) as source:
            assert source.is_phantom
            assert source.classes == ("CLEAR", "OPACITY")
            assert "no medical meaning" in source.population
            assert all(parse_patient_id(entry.path, None) for entry in source.entries)
            folder = source.files.root  # type: ignore[attr-defined]
            assert source.read(source.entries[0]).startswith(b"\x89PNG")
        assert not folder.exists()


class TestKaggle:
    @pytest.mark.parametrize("known", KAGGLE_SETS, ids=lambda known: known.handle)
    def test_offline_is_one_sentence(self, home, no_network, known, capsys):
        message = refused(KAGGLE_PREFIX + known.handle)
        assert known.handle in message
        assert "no internet" in message
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("handle", ["", "someone/else", "paultimothymooney", "../../etc"])
    def test_an_unknown_set_is_refused_with_the_known_ones(self, home, no_network, handle):
        message = refused(KAGGLE_PREFIX + handle)
        assert all(known.handle in message for known in KAGGLE_SETS)

    def test_a_downloaded_set_is_told_with_its_licence_and_population(self, home, tmp_path, monkeypatch, capsys):
        import kagglehub

        def download(handle):
            print("Downloading…")
            return str(folder_of(SPLIT, tmp_path / "cache"))

        monkeypatch.setattr(kagglehub, "dataset_download", download)
        with open_source(KAGGLE_PREFIX + KAGGLE_SETS[0].handle) as source:
            assert (source.licence, source.population) == (KAGGLE_SETS[0].licence, KAGGLE_SETS[0].population)
            assert len(source.entries) == len(SPLIT)
        assert capsys.readouterr().out == ""  # standard output is for results
        assert os.environ["KAGGLEHUB_CACHE"] == str(data_dir() / ".kaggle")

    def test_a_licence_that_nobody_checked_says_so_in_full(self):
        """It stands alone in a dataset and in a model's card."""
        assert KAGGLE_SETS[1].licence == "licence as stated on its Kaggle page (not checked by XRAI)"

    def test_a_full_disk_is_no_missing_network(self, home, monkeypatch):
        import kagglehub

        def download(handle):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(kagglehub, "dataset_download", download)
        assert "the disk is full" in refused(KAGGLE_PREFIX + KAGGLE_SETS[0].handle)

    def test_what_was_downloaded_before_needs_no_network(self, home, no_network):
        handle = KAGGLE_SETS[1].handle
        cache = data_dir() / ".kaggle" / "datasets" / handle
        assert kaggle_folder(handle) is None
        for version in (2, 9, 10, 11):
            folder_of(SPLIT[:4] if version == 10 else FLAT, cache / "versions" / f"{version}")
            if version < 11:  # the last download broke off
                (cache / f"{version}.complete").touch()
        assert kaggle_folder(handle) == cache / "versions" / "10"
        assert len(seen(KAGGLE_PREFIX + handle)[1]) == 4
        shutil.rmtree(cache / "versions" / "10")
        assert kaggle_folder(handle) == cache / "versions" / "9"

    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch):
        monkeypatch.setenv("KAGGLEHUB_CACHE", "")  # put back as it was behind each test
        monkeypatch.delenv("KAGGLEHUB_CACHE")


class TestPatientOf:
    @pytest.mark.parametrize(
        ("one", "two"),
        [
            (("train/P/person123_virus_45.jpeg", "train"), ("train/P/person123_virus_46.jpeg", "train")),
            (("train/P/person0123_virus_45.jpeg", "train"), ("val/P/person123_virus_1.jpeg", "val")),
            (("P/person1_bacteria_1.jpeg", None), ("train/P/person1_bacteria_2.jpeg", "train")),
            (("N/IM-0115-0001.jpeg", "train"), ("N/IM-0115-0002.jpeg", "train")),
            (("N/IM-0666-0001-0001.jpeg", None), ("N/IM-0666-0001-0002.jpeg", None)),
            (("N/NORMAL2-IM-0381-0001.jpeg", "test"), ("N/NORMAL2-IM-0381-0001-0002.jpeg", "test")),
            (("a/00001323_001.png", None), ("b/00001323_002.png", None)),
            (("patient0012_1.png", None), ("x/patient0012_2.png", None)),
            (("Patient 7 left.dcm", None), ("patient-7b.png", None)),
            (("A/patient00007/study1/view1.jpg", None), ("B/patient00007/study2/view1.jpg", None)),
        ],
    )
    def test_equal_for_one_patient(self, one, two):
        assert parse_patient_id(*one) == parse_patient_id(*two) is not None

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            (("person1_virus_1.jpeg", "train"), ("person1_bacteria_1.jpeg", "train")),
            (("person1_virus_1.jpeg", "train"), ("person1_virus_1.jpeg", "test")),
            (("person1_virus_1.jpeg", "train"), ("person11_virus_1.jpeg", "train")),
            (("IM-0115-0001.jpeg", None), ("NORMAL2-IM-0115-0001.jpeg", None)),
            (("IM-0115-0001.jpeg", None), ("IM-0116-0001.jpeg", None)),
            (("00001323_001.png", None), ("00001324_001.png", None)),
            (("patient1_1.png", None), ("patient12_1.png", None)),
            (("patient1/patient2_1.png", None), ("patient1/patient3_1.png", None)),
        ],
    )
    def test_different_for_two(self, one, two):
        assert None not in (parse_patient_id(*one), parse_patient_id(*two))
        assert parse_patient_id(*one) != parse_patient_id(*two)

    @pytest.mark.parametrize(
        "path", ["0001.jpg", "COVID-00003b.jpg", "scan.png", "IM-0115.png", "123_001.png", "patients/1.png",
                 "person1.png", "radiopaedia-2019-novel-coronavirus-infected-pneumonia.jpg", "1.2.840.113619.2", ""],
    )  # fmt: skip
    def test_none_where_the_name_does_not_tell(self, path):
        assert parse_patient_id(path, "train") is None

    @pytest.mark.real
    def test_counts_of_the_real_set(self, real_data):
        with open_source(real_data / "datasets" / "chest_xray") as source:
            assert source.counts() == {
                "NORMAL": {"train": 1341, "test": 234},
                "PNEUMONIA": {"train": 3875, "test": 390},
            }
            patients = [parse_patient_id(entry.path, entry.split) for entry in source.entries]
        assert None not in patients
        sick = [name for name, entry in zip(patients, source.entries, strict=True)
                if (entry.class_name, entry.split) == ("PNEUMONIA", "train")]  # fmt: skip
        assert max(Counter(sick).values()) == 30  # as counted in shared/README.md
        assert set(sick) >= {"train/person1003_virus", "train/person1003_bacteria"}

    @pytest.mark.real
    def test_the_set_of_three_classes(self, real_data):
        with open_source(real_data / "datasets" / "covid19") as source:
            assert source.classes == ("Normal", "Covid", "Viral Pneumonia")
            assert [sum(row.values()) for row in source.counts().values()] == [90, 137, 90]


class TestListLocal:
    def test_what_lies_ready(self, home, tmp_path):
        films = tmp_path / "films"
        for folder in (home / "data" / "inbox" / "b", home / "data" / "inbox" / ".hidden", films / "set"):
            folder.mkdir(parents=True)
        for file in (home / "data" / "inbox" / "a.ZIP", home / "data" / "inbox" / "notes.txt", films / "c.zip"):
            file.touch()
        (home / "data" / "settings.toml").write_text(f"source_roots = ['{films}', '{tmp_path / 'unplugged'}']")
        inbox = home / "data" / "inbox"
        assert list_local_sources() == [inbox / "a.ZIP", inbox / "b", films / "c.zip", films / "set", films]

    def test_an_empty_home(self, home):
        assert list_local_sources() == []
