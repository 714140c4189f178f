"""A cleaned copy of a dataset: what the check would take out, what stays all the same, and its name."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.lab.dataset.names import free_name, new_dataset_path
from pages.shared.formatting import join_words, scans_text
from pages.shared.page import display_errors
from xrai.core.language import N_, tr
from xrai.data.audit import DEFAULT_CLEAN_KINDS, Audit, AuditFinding
from xrai.data.audit.findings import BLANK, CONFLICTING, EXACT, NEAR, PATIENTS, REMOVABLE_KINDS
from xrai.data.dataset import Dataset
from xrai.data.jobs import start_clean
from xrai.data.sources import SPLITS

KIND_LABELS = {
    CONFLICTING: N_("Conflicting labels"),
    EXACT: N_("Identical files"),
    NEAR: N_("Near duplicates"),
    PATIENTS: N_("Patients in several splits"),
    BLANK: N_("Blank scans"),
}
KIND_HELP = {
    CONFLICTING: N_("All scans of such an image are removed, because the correct label is not known."),
    EXACT: N_(
        "One of each remains: the one in the test split, otherwise the one in validation, so that the test "
        "split stays unchanged."
    ),
    NEAR: N_(
        "One of each remains: the one in the test split, otherwise the one in validation; of several, the one "
        "with most detail."
    ),
    PATIENTS: N_("Their scans in the later split remain."),
    BLANK: N_("There is nothing to learn from them."),
}
_SPLIT_COUNTS = {"train": N_("{n:,} of training"), "val": N_("{n:,} of validation"), "test": N_("{n:,} of test")}


def offer_cleaned_copy(dataset: Dataset, audit: Audit) -> None:
    """Choose what to take out, and make the copy without it."""
    removable = [finding for finding in audit.findings if finding.kind in REMOVABLE_KINDS and finding.suggestion]
    st.subheader(tr("A cleaned copy"), anchor=False)
    if not removable:
        st.caption(tr("Nothing to remove: no duplicates, no conflicting labels and no blank scans."))
        return
    st.markdown(tr("A new dataset without the scans selected here. This one stays unchanged."))
    for finding in removable:
        _show_tick(audit, finding)
    rows = rows_to_remove(audit)
    st.markdown(_summary_text(dataset, rows))
    if (dataset.splits[rows] == SPLITS.index("test")).any():
        st.caption(tr("The test changes too: do not compare figures on the copy with those on this one."))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            tr("Name of the new dataset"),
            free_name(f"{dataset.path.stem}-clean"),
            max_chars=60,
            width=320,
            key=f"clean_name_{dataset.path.stem}",
        )
        is_clicked = st.button(
            tr("Make the cleaned copy"),
            type="primary",
            icon=":material/cleaning_services:",
            key="clean_start",
            disabled=not rows,
        )
    if is_clicked:
        _start_cleaning(dataset, audit, name)


def rows_to_remove(audit: Audit) -> list[int]:
    """The rows that a copy made now would lack, ascending."""
    return sorted(set(audit.rows_to_remove(_ticked_kinds(audit))) - _kept_rows(audit))


def show_keep_switch(audit: Audit, kind: str, group: Sequence[int]) -> None:
    """A tick to leave a group of scans as it is; it stays when the page of scans is turned."""
    key = f"keep_{audit.fingerprint[:12]}_{kind}_{group[0]}"
    st.checkbox(
        tr("Keep these"),
        (kind, tuple(group)) in _kept_groups(audit),
        key=key,
        on_change=_toggle_group,
        args=(audit, kind, tuple(group)),
    )


# ---------------------------------------------------------------- what is chosen


def _toggle_group(audit: Audit, kind: str, group: tuple[int, ...]) -> None:
    kept_groups = _kept_groups(audit)
    kept_groups ^= {(kind, group)}


def _kept_groups(audit: Audit) -> set[tuple[str, tuple[int, ...]]]:
    return st.session_state.setdefault("clean_kept", {}).setdefault(audit.fingerprint, set())


def _kept_rows(audit: Audit) -> set[int]:
    return {row for _, group in _kept_groups(audit) for row in group}


def _show_tick(audit: Audit, finding: AuditFinding) -> None:
    n = len(set(finding.suggestion) - _kept_rows(audit))
    st.checkbox(
        tr("{what}: {scans}", what=tr(KIND_LABELS[finding.kind]), scans=scans_text(n)),
        finding.kind in DEFAULT_CLEAN_KINDS,
        help=tr(KIND_HELP[finding.kind]),
        key=_tick_key(audit, finding.kind),
        disabled=not n,
        persist_state="session",
    )


def _ticked_kinds(audit: Audit) -> list[str]:
    """The kinds that are to be taken out; pictures of scans are drawn before the ticks are."""
    kinds = [kind for kind in REMOVABLE_KINDS if audit.rows_to_remove([kind])]
    return [kind for kind in kinds if st.session_state.get(_tick_key(audit, kind), kind in DEFAULT_CLEAN_KINDS)]


def _tick_key(audit: Audit, kind: str) -> str:
    return f"clean_{audit.fingerprint[:12]}_{kind}"


# ---------------------------------------------------------------- the copy


def _summary_text(dataset: Dataset, rows: Sequence[int]) -> str:
    """How many scans a copy made now would lack of each split, and how many stay."""
    if not rows:
        return tr("Nothing is selected, so nothing would be removed.")
    counts = [(split, int((dataset.splits[rows] == number).sum())) for number, split in enumerate(SPLITS)]
    return tr(
        "**{n:,} of {all_scans}** would be removed: {splits}. {remaining} remain.",
        n=len(rows),
        all_scans=scans_text(len(dataset)),
        splits=join_words([tr(_SPLIT_COUNTS[split], n=n) for split, n in counts if n]),
        remaining=scans_text(len(dataset) - len(rows)),
    )


def _start_cleaning(dataset: Dataset, audit: Audit, name: str) -> None:
    with display_errors():
        out = new_dataset_path(name)
        exceptions = [str(dataset.files[row]) for row in sorted(_kept_rows(audit))]
        start_clean(dataset.path, out, _ticked_kinds(audit), exceptions)
        st.session_state["dataset_shown"] = str(out)
        st.rerun()
