"""Phantoms, Kaggle's datasets and local folders as sources."""

import errno
import os
import shutil
from functools import partial

import pytest

from tests.xrai.data.sources.sources import FLAT, SPLIT, folder_of, refused, seen
from xrai.core.paths import data_dir
from xrai.data.sources import (
    KAGGLE_PREFIX,
    KAGGLE_SETS,
    PRACTICE_SPEC,
    kaggle_folder,
    list_local_sources,
    open_source,
    parse_patient_id,
)
from xrai.scans import phantoms


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
