"""The check of a dataset: how it stands, and what it found, the gravest first, with the scans that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.shared.cleaning_view import keep_switch, offer_cleaning, taken_out
from pages.shared.jobs import say_how_it_ended, stop_button, watch
from pages.shared.page import one_page, stated_errors
from pages.shared.words import AUC_HELP, duration, listed, moment, nice, plain, scans
from xrai import jobs
from xrai.audit import Audit, Finding, load_audit
from xrai.audit.findings import CONFLICTING, EXACT, NEAR, PATIENTS, REMOVABLE, Severity
from xrai.dataset import Dataset
from xrai.errors import DatasetError
from xrai.figures import SPLIT_WORDS
from xrai.sources import SPLITS

TOGETHER = (CONFLICTING, EXACT, NEAR, PATIENTS)
"""The kinds whose scans are looked at group by group: copies, and scans of one patient."""

GROUPS, MOST_IN_A_GROUP, PER_PAGE, COLUMNS = 6, 8, 12, 6

ICONS: dict[Severity, str] = {
    "serious": ":red[:material/error:]",
    "notable": ":orange[:material/info:]",
    "fine": ":green[:material/check_circle:]",
}
MEANINGS: dict[Severity, str] = {
    "serious": "**Serious**: figures measured with this dataset would mislead.",
    "notable": "**Worth knowing**: to keep in mind when you read the figures of a model.",
}
GUESS_HELP = (
    f"AUC: {AUC_HELP[0].lower()}{AUC_HELP[1:]} Here it should be close to 0.5. The 95 % interval is where it would "
    "lie with other patients of the same kind."
)


class Check(NamedTuple):
    """How the check of a dataset stands.

    Attributes:
        job: that checks it, or did, or may.
        status: of the job.
        found: what was found in the dataset as it is now, if it was checked.
        damage: why what was found cannot be read; "" if it can.
    """

    job: jobs.Job
    status: jobs.Status
    found: Audit | None
    damage: str


def check_of(dataset: Dataset) -> Check:
    """How the check of an open dataset stands."""
    job = jobs.Job(jobs.audit_folder(dataset.path))
    status = job.status  # before what it leaves behind, which would be missed else
    try:
        return Check(job, status, load_audit(dataset), "")
    except DatasetError as error:
        return Check(job, status, None, str(error))


def in_a_line(check: Check) -> str:
    """How the check of a dataset stands, in Markdown for a single line."""
    if check.status in jobs.ACTIVE:
        return ":material/hourglass: It is being checked now."
    if check.damage:
        return ":material/warning: What its check found cannot be read: check it again."
    if check.found is None:
        return ":material/help: Not checked yet for copies and other things that mislead a model."
    icon = next((icon for severity, icon in ICONS.items() if check.found.of(severity)), ICONS["fine"])
    return f"{icon} Checked: {_counted(check.found)}."


def show_check(dataset: Dataset, check: Check) -> None:
    """Start, watch and read the check of an open dataset."""
    if check.status in jobs.ACTIVE:
        watch(check.job, check.status, _progress)
        st.caption("You can leave this page: the work goes on.")
        return
    ended = "What an earlier check found still holds." if check.found else "Nothing was kept."
    say_how_it_ended(check.job, check.status, "The check", f"Check again. {ended}", f"The check was stopped. {ended}")
    if check.damage:
        st.warning(plain(check.damage), icon=":material/warning:")
    if check.found is None:
        _offer_check(dataset)
    else:
        _show_found(dataset, check.found)


# ---------------------------------------------------------------- checking


def _offer_check(dataset: Dataset) -> None:
    st.markdown(
        "A check looks for what makes a model seem better than it is: the same picture twice, one picture with two "
        "labels, a patient in both training and test, or classes that differ by more than the disease, such as by the "
        "film's border. It also looks for blank, turned and inverted films."
    )
    if st.button("Check this dataset", type="primary", icon=":material/fact_check:", key="check_start"):
        _start(dataset)
    st.caption(f"It takes {_time(len(dataset))}. The dataset stays as it is.")


def _time(n: int) -> str:
    return "about a minute" if n < 3000 else f"about {1 + n // 3000} minutes"


def _start(dataset: Dataset) -> None:
    with stated_errors():
        arguments = ["audit", str(dataset.path)]
        title = f"Audit of {dataset.path.stem}"
        jobs.start(arguments, jobs.audit_folder(dataset.path), title=title, details={"arguments": arguments})
        st.rerun()


def _progress(job: jobs.Job, status: jobs.Status) -> None:
    """What is looked at now, with a way to stop."""
    steps = [record for record in job.records() if record.get("kind") == "progress"]
    if steps and status != "starting":  # until then they are those of an earlier check
        st.progress(steps[-1]["done"] / max(steps[-1]["total"], 1), text=f"Checking: {plain(steps[-1]['what'])}…")
    else:
        st.progress(0.0, text="Starting the check…")
    stop_button(job, str(job.folder))


# ---------------------------------------------------------------- what was found


def _show_found(dataset: Dataset, found: Audit) -> None:
    st.subheader(_headline(found), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Checked on {moment(found.when)}, in {duration(found.seconds)}.", width="content")
        if st.button("Check again", icon=":material/refresh:", type="tertiary", key="check_again"):
            _start(dataset)
    if dataset.drawings:
        st.caption("These are drawings: the findings show what a check says, and mean nothing for patients.")
    for severity, meaning in MEANINGS.items():
        if findings := found.of(severity):
            st.markdown(meaning)
            for finding in findings:
                _finding(dataset, found, finding)
    if fine := found.of("fine"):
        with st.expander(f"In order ({len(fine):,})", icon=":material/check_circle:"):
            for finding in fine:
                st.markdown(f"**{plain(finding.title)}.** {plain(finding.sentence)}", help=_help(finding))
    offer_cleaning(dataset, found)


def _headline(found: Audit) -> str:
    if not found.of("serious") and not found.of("notable"):
        return "Everything is in order"
    words = _counted(found)
    return words[0].upper() + words[1:]


def _counted(found: Audit) -> str:
    """Such as `2 serious findings, 3 worth knowing and 12 in order`."""
    counts = found.counts()
    serious = f"{counts['serious']} serious finding" + ("" if counts["serious"] == 1 else "s")
    first = serious if counts["serious"] else "nothing serious"
    return listed([first, *(f"{n} {words}" for n, words in _others(counts) if n)])


def _others(counts: dict[Severity, int]) -> tuple[tuple[int, str], ...]:
    return (counts["notable"], "worth knowing"), (counts["fine"], "in order")


def _finding(dataset: Dataset, found: Audit, finding: Finding) -> None:
    with st.container(border=True, gap="small"):
        st.markdown(f"{ICONS[finding.severity]} **{plain(finding.title)}**")
        st.markdown(plain(finding.sentence), help=_help(finding))
        if finding.advice:
            st.markdown(f":material/arrow_forward: {plain(finding.advice)}")
        if finding.groups:
            _scans_of(dataset, found, finding)


def _help(finding: Finding) -> str | None:
    return GUESS_HELP if "auc" in finding.numbers else None


def _scans_of(dataset: Dataset, found: Audit, finding: Finding) -> None:
    """The scans of a finding, read only once somebody wants to see them."""
    key = f"check_{found.fingerprint[:12]}_{finding.kind}"
    label = f"See {'it' if len(finding.rows) == 1 else f'the {scans(len(finding.rows))}'}"
    opened = st.expander(label, icon=":material/imagesmode:", key=key, on_change="rerun")
    if not opened.open:
        return
    with opened:
        if finding.kind in TOGETHER:
            _groups(dataset, found, finding, f"{key}_page")
        else:
            _loose(dataset, found, finding, f"{key}_page")


def _groups(dataset: Dataset, found: Audit, finding: Finding, key: str) -> None:
    _, shown = one_page(np.arange(len(finding.groups)), GROUPS, key)
    out = set(taken_out(found))
    grid = st.grid(2, min_column_width=300)
    for number in shown:
        group = finding.groups[number]
        with grid.cell(), st.container(border=True):
            _pictures(dataset, group[:MOST_IN_A_GROUP], 2, out=out)
            if len(group) > MOST_IN_A_GROUP:
                st.caption(f"and {len(group) - MOST_IN_A_GROUP:,} more")
            if finding.kind == EXACT and out.issuperset(group):
                st.caption("Another copy of this picture stays: see the near copies.")
            if finding.kind in REMOVABLE and set(finding.suggestion) & set(group):
                keep_switch(found, finding.kind, group)


def _loose(dataset: Dataset, found: Audit, finding: Finding, key: str) -> None:
    rows = np.array([row for group in finding.groups for row in group])
    first, shown = one_page(rows, PER_PAGE, key)
    if len(rows) > PER_PAGE:
        st.caption(f"{first + 1:,} to {first + len(shown):,} of {len(rows):,}")
    _pictures(dataset, shown, COLUMNS, out=set(taken_out(found)), reasons=_reasons(finding))


def _reasons(finding: Finding) -> dict[int, str]:
    """Why each scan is odd, where the finding says it group by group."""
    reasons = finding.numbers.get("reasons")
    if not isinstance(reasons, dict) or len(reasons) != len(finding.groups):
        return {}
    return {row: str(reason) for reason, group in zip(reasons, finding.groups, strict=True) for row in group}


def _pictures(
    dataset: Dataset,
    rows: Sequence[int] | np.ndarray,
    columns: int,
    *,
    out: set[int],
    reasons: dict[int, str] | None = None,
) -> None:
    """Scans side by side with class, split and file; `out` are those that a cleaned copy would lack."""
    grid = st.grid(columns, min_column_width=110)
    for row, square in zip(rows, dataset.images(rows), strict=True):
        label, split = dataset.classes[dataset.labels[row]], SPLITS[dataset.splits[row]]
        lines = [f"{plain(nice(label))}, {SPLIT_WORDS[split].lower()}", plain(Path(str(dataset.files[row])).name)]
        lines += [plain(reasons[row])] if reasons and row in reasons else []
        lines += [":orange-badge[would be taken out]"] if row in out else []
        with grid.cell():
            st.image(square, width="stretch")
            st.caption("  \n".join(lines))
