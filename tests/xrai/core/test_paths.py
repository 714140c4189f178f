"""Where things lie: the home folder, the folders below it, and the listed roots of scans."""

from pathlib import Path

import pytest

from xrai.core import paths as settings
from xrai.core.errors import SettingsError


def write_settings(home, text, **options):
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / "settings.toml").write_text(text, **{"encoding": "utf-8"} | options)


class TestHome:
    @pytest.mark.parametrize("value", [None, ""])
    def test_it_is_the_project_where_nothing_else_is_said(self, value, monkeypatch):
        monkeypatch.delenv("XRAI_HOME", raising=False)
        if value is not None:
            monkeypatch.setenv("XRAI_HOME", value)
        assert settings.home_dir() == Path(__file__).resolve().parents[3]

    def test_a_tilde_is_the_users_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        monkeypatch.setenv("XRAI_HOME", "~/xrai")
        assert settings.home_dir() == tmp_path / "xrai"

    def test_folders_are_made_below_it(self, home):
        made = [settings.data_dir(), settings.inbox_dir(), settings.checkpoints_dir()]
        assert made == [home / "data", home / "data" / "inbox", home / "checkpoints"]
        assert all(folder.is_dir() for folder in made)

    def test_nothing_is_made_by_asking_for_the_home_alone(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XRAI_HOME", str(tmp_path / "later"))
        settings.home_dir()
        assert not (tmp_path / "later").exists()

    def test_a_folder_that_cannot_be_made_is_said(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("XRAI_HOME", str(tmp_path / "file"))
        with pytest.raises(SettingsError, match="XRAI_HOME"):
            settings.data_dir()


class TestSourceRoots:
    def test_only_the_inbox_without_a_settings_file(self, home):
        assert settings.source_roots() == [home / "data" / "inbox"]

    def test_listed_roots_follow_the_inbox(self, home, tmp_path):
        write_settings(home, f"source_roots = ['{tmp_path / 'films'}', 'nearby', '~/scans']")
        assert settings.source_roots()[1:] == [tmp_path / "films", home / "nearby", Path("~/scans").expanduser()]

    def test_other_settings_do_not_matter(self, home):
        write_settings(home, "[page]\ncolour = 'blue'\n")
        assert len(settings.source_roots()) == 1

    def test_the_mark_that_notepad_sets_does_not_matter(self, home):
        write_settings(home, "source_roots = ['/films']", encoding="utf-8-sig")
        assert settings.source_roots()[1:] == [Path("/films")]

    @pytest.mark.parametrize("text", ['source_roots = ["C:\\Users\\films"]', "source_roots = [", "\0"])
    def test_what_is_no_toml_is_said(self, home, text):
        write_settings(home, text)
        with pytest.raises(SettingsError, match="cannot be read"):
            settings.source_roots()

    def test_another_coding_is_said(self, home):
        write_settings(home, "source_roots = ['/Röntgen']", encoding="latin-1")
        with pytest.raises(SettingsError, match="cannot be read"):
            settings.source_roots()

    @pytest.mark.parametrize("value", ["'/films'", "[1]", "{}", "[['/films']]"])
    def test_another_type_is_said(self, home, value):
        write_settings(home, f"source_roots = {value}")
        with pytest.raises(SettingsError, match="must be a list of folders"):
            settings.source_roots()


class TestShownPath:
    def test_below_the_home_it_is_relative(self, home):
        assert settings.display_path(home / "data" / "x.hdf5") == "data/x.hdf5"
        assert settings.display_path(home / "data" / ".." / "x.hdf5") == "x.hdf5"

    def test_elsewhere_it_is_whole(self, home, tmp_path):
        assert settings.display_path(tmp_path / "x.hdf5") == str(tmp_path / "x.hdf5")
        assert settings.display_path(home.with_name("home2") / "x.hdf5") == str(tmp_path / "home2" / "x.hdf5")
