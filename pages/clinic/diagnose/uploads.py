"""A scan that a tab is looking at: the uploaded file, what was changed in it, and how it fits on a screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from xrai.input_check import apply_correction
from xrai.scans import Scan, read_scan

SCAN_STATE_KEYS = [
    f"diagnose_{name}" for name in ("uploads", "readings", "scan", "heat", "mends", "hidden", "similar", "wanted")
]
# what a tab keeps of its scans, by its name in the session


@dataclass(frozen=True)
class Upload:
    """A file that a tab is looking at: kept in that tab's memory only."""

    name: str
    content: bytes
    sha256: str

    @property
    def correction(self) -> str:
        """What a reader chose to change before it is read; "" for nothing."""
        return st.session_state.get("diagnose_mends", {}).get(self.sha256, "")

    def scan(self) -> Scan:
        """The scan as it is to be read.

        Raises:
            ScanError: the file is none.
        """
        scan = read_scan(self.content)
        return replace(scan, pixels=apply_correction(scan.pixels, self.correction)) if self.correction else scan


@dataclass(frozen=True, eq=False)
class Refusal:
    """Why a file was not read; the change that would mend it, if one would, and how the scan looks without, small."""

    reason: str
    correction: str | None = None
    thumbnail: np.ndarray | None = None


def read_with_correction(upload: Upload, number: int, correction: str) -> None:
    """Let a scan, the one of that number, be read with a change from now on, or with "" as it came, and show that one."""
    st.session_state.setdefault("diagnose_mends", {})[upload.sha256] = correction
    st.session_state["diagnose_wanted"] = number
    st.rerun()


def cached_value(name: str, key: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """The value on screen, made again when another one is wanted: moving a slider must not decode a film again."""
    cached = st.session_state.get(name)
    if cached is None or cached[0] != key:
        cached = (key, make())
        st.session_state[name] = cached
    return cached[1]
