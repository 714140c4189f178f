"""Where XRAI keeps things: the home folder, its data and checkpoints, and the folders scans may come from."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from xrai.core.errors import SettingsError, system_reason

PROJECT_DIR = Path(__file__).resolve().parents[2]


def home_dir() -> Path:
    """The folder that holds `data/` and `checkpoints/`: `XRAI_HOME`, else the project itself."""
    override = os.environ.get("XRAI_HOME")
    return Path(override).expanduser().resolve() if override else PROJECT_DIR


def data_dir() -> Path:
    """The folder of the `*.hdf5` datasets, made when it is missing."""
    return _ensure_dir(home_dir() / "data")


def inbox_dir() -> Path:
    """The folder into which people drop folders and zips of scans, made when it is missing."""
    return _ensure_dir(data_dir() / "inbox")


def checkpoints_dir() -> Path:
    """The folder of models, one folder each, made when it is missing."""
    return _ensure_dir(home_dir() / "checkpoints")


def source_roots() -> list[Path]:
    """The inbox, then every folder listed as `source_roots` in `data/settings.toml`, relative to the home folder.

    Raises:
        SettingsError: the settings file is not TOML, or the list is not a list of folders' paths.
    """
    file = data_dir() / "settings.toml"
    if not file.exists():
        return [inbox_dir()]
    try:
        roots = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("source_roots", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            "The settings file {file} cannot be read ({error}): "
            "put single quotes round Windows paths, or delete the file to start afresh.",
            file=file,
            error=error,
        ) from error
    if not isinstance(roots, list) or not all(isinstance(item, str) for item in roots):
        raise SettingsError(
            "In {file}, source_roots must be a list of folders, such as source_roots = ['D:/scans']: please mend it.",
            file=file,
        )
    return [inbox_dir(), *(home_dir() / Path(item).expanduser() for item in roots)]


def display_path(path: Path) -> str:
    """A path as it is shown and noted down: below the home folder without it, so that the folder can move."""
    path = path.resolve()
    return path.relative_to(home_dir()).as_posix() if path.is_relative_to(home_dir()) else str(path)


def _ensure_dir(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            "The folder {folder} cannot be made ({strerror}): "
            "free some disk space or choose another place with XRAI_HOME.",
            folder=folder,
            strerror=system_reason(error),
        ) from error
    return folder
