"""A scan that a tab is looking at: the uploaded file, its correction, and how it fits on a screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from xrai.input_check import apply_correction
from xrai.scans import Scan, read_scan

SCAN_STATE_KEYS = [
    f"diagnose_{name}" for name in ("uploads", "readings", "scan", "heat", "hidden", "similar", "wanted", "pinned")
]
"""The keys of the session state that belong to the uploaded scans."""


@dataclass(frozen=True)
class Upload:
    """An uploaded file, kept in the tab's memory only.

    Attributes:
        name: of the file.
        content: of the file.
        sha256: of the content.
        correction: the correction that the user chose, one of `input_check.CORRECTIONS`; "" for none.
        any_age: whether it is shown for research although the model may not be used for the patient.
    """

    name: str
    content: bytes
    sha256: str
    correction: str = ""
    any_age: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for equal pixels and choices: what readings and images are cached by."""
        return self.sha256, self.correction, "any_age" if self.any_age else ""

    def corrected_scan(self) -> Scan:
        """The scan with the chosen correction applied.

        Raises:
            ScanError: the file cannot be read as a scan.
        """
        scan = read_scan(self.content)
        return replace(scan, pixels=apply_correction(scan.pixels, self.correction))


def read_anew(upload: Upload, number: int, **changes: Any) -> None:
    """Read an upload, and its copies, with another correction or for another patient, and show scan `number`."""
    state = st.session_state
    state["diagnose_uploads"] = [
        replace(item, **changes) if item.sha256 == upload.sha256 else item for item in state["diagnose_uploads"]
    ]
    state["diagnose_wanted"] = number
    st.rerun()


def cached_value(name: str, key: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """The value on screen, made again only when the key changes: moving a slider must not decode a scan again."""
    cached = st.session_state.get(name)
    if cached is None or cached[0] != key:
        cached = (key, make())
        st.session_state[name] = cached
    return cached[1]
