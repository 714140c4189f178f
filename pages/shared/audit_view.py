"""The check of a dataset: how it stands, and what it found, the gravest first, with the scans that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.shared.cleaning_view import keep_switch, offer_cleaning, taken_out
from pages.shared.formatting import duration, listed, moment, nice, plain
from pages.shared.jobs import say_how_it_ended, stop_button, watch
from pages.shared.page import one_page, stated_errors
from xrai.core import jobs
from xrai.core.errors import DatasetError
from xrai.core.language import N_, tr, translate, trn
from xrai.data.audit import Audit, Finding, load_audit
from xrai.data.audit.findings import CONFLICTING, EXACT, NEAR, PATIENTS, REMOVABLE, Severity
from xrai.data.dataset import Dataset
from xrai.data.jobs import audit_folder, audit_title
from xrai.data.sources import SPLIT_NAMES, SPLITS

TOGETHER = (CONFLICTING, EXACT, NEAR, PATIENTS)
"""The kinds whose scans are looked at group by group: copies, and scans of one patient."""

GROUPS, MOST_IN_A_GROUP, PER_PAGE, COLUMNS = 6, 8, 12, 6

ICONS: dict[Severity, str] = {
    "serious": ":red[:material/error:]",
    "notable": ":orange[:material/info:]",
    "fine": ":green[:material/check_circle:]",
}
MEANINGS: dict[Severity, str] = {
    "serious": N_("**Serious**: figures measured with this dataset would mislead."),
    "notable": N_("**Worth knowing**: to keep in mind when you read the figures of a model."),
}
GUESS_HELP = N_(
    "AUC: how well the classes are told apart: 0.5 is guessing, 1 is perfect. Here it should be close to 0.5. The 95 % "
    "interval is where it would lie with other patients of the same kind."
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
    job = jobs.Job(audit_folder(dataset.path))
    status = job.status  # before what it leaves behind, which would be missed else
    try:
        return Check(job, status, load_audit(dataset), "")
    except DatasetError as error:
        return Check(job, status, None, error.message)


def in_a_line(check: Check) -> str:
    """How the check of a dataset stands, in Markdown for a single line."""
    if check.status in jobs.ACTIVE:
        return ":material/hourglass: " + tr("It is being checked now.")
    if check.damage:
        return ":material/warning: " + tr("What its check found cannot be read: check it again.")
    if check.found is None:
        return ":material/help: " + tr("Not checked yet for copies and other things that mislead a model.")
    icon = next((icon for severity, icon in ICONS.items() if check.found.of(severity)), ICONS["fine"])
    return f"{icon} " + tr("Checked: {counts}.", counts=_counted(check.found))


def show_check(dataset: Dataset, check: Check) -> None:
    """Start, watch and read the check of an open dataset."""
    if check.status in jobs.ACTIVE:
        watch(check.job, check.status, _progress)
        st.caption(tr("You can leave this page: the work goes on."))
        return
    ended = tr("What an earlier check found still holds.") if check.found else tr("Nothing was kept.")
    again, stopped = tr("Check again. {kept}", kept=ended), tr("The check was stopped. {kept}", kept=ended)
    say_how_it_ended(check.job, check.status, tr("The check"), again, stopped)
    if check.damage:
        st.warning(plain(translate(check.damage)), icon=":material/warning:")
    if check.found is None:
        _offer_check(dataset)
    else:
        _show_found(dataset, check.found)


# ---------------------------------------------------------------- checking


def _offer_check(dataset: Dataset) -> None:
    st.markdown(tr(
        "A check looks for what makes a model seem better than it is: the same picture twice, one picture with two "
        "labels, a patient in both training and test, or classes that differ by more than the disease, such as by the "
        "film's border. It also looks for blank, turned and inverted films."
    ))  # fmt: skip
    if st.button(tr("Check this dataset"), type="primary", icon=":material/fact_check:", key="check_start"):
        _start(dataset)
    st.caption(
        trn(
            "It takes about a minute. The dataset stays as it is.",
            "It takes about {n:,} minutes. The dataset stays as it is.",
            1 + len(dataset) // 3000,
        )
    )


def _start(dataset: Dataset) -> None:
    with stated_errors():
        arguments = ["audit", str(dataset.path)]
        title, folder = audit_title(dataset.path), audit_folder(dataset.path)
        jobs.start(arguments, folder, title=title, details={"arguments": arguments})
        st.rerun()


def _progress(job: jobs.Job, status: jobs.Status) -> None:
    """What is looked at now, with a way to stop."""
    steps = [record for record in job.records() if record.get("kind") == "progress"]
    if steps and status != "starting":  # until then they are those of an earlier check
        words = tr("Checking: {what}…", what=plain(translate(steps[-1]["what"])))
        st.progress(steps[-1]["done"] / max(steps[-1]["total"], 1), text=words)
    else:
        st.progress(0.0, text=tr("Starting the check…"))
    stop_button(job, str(job.folder))


# ---------------------------------------------------------------- what was found


def _show_found(dataset: Dataset, found: Audit) -> None:
    st.subheader(_headline(found), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        words = tr("Checked on {moment}, in {duration}.", moment=moment(found.when), duration=duration(found.seconds))
        st.caption(words, width="content")
        if st.button(tr("Check again"), icon=":material/refresh:", type="tertiary", key="check_again"):
            _start(dataset)
    if dataset.drawings:
        st.caption(tr("These are drawings: the findings show what a check says, and mean nothing for patients."))
    for severity, meaning in MEANINGS.items():
        if findings := found.of(severity):
            st.markdown(tr(meaning))
            for finding in findings:
                _finding(dataset, found, finding)
    if fine := found.of("fine"):
        with st.expander(tr("In order ({n:,})", n=len(fine)), icon=":material/check_circle:", key="check_fine"):
            for finding in fine:
                words = f"**{plain(translate(finding.title))}.** {plain(translate(finding.sentence))}"
                st.markdown(words, help=_help(finding))
    offer_cleaning(dataset, found)


def _headline(found: Audit) -> str:
    if not found.of("serious") and not found.of("notable"):
        return tr("Everything is in order")
    words = _counted(found)
    return words[0].upper() + words[1:]


def _counted(found: Audit) -> str:
    """Such as `2 serious findings, 3 worth knowing and 12 in order`."""
    counts = found.counts()
    serious = trn("{n:,} serious finding", "{n:,} serious findings", counts["serious"])
    parts = [serious if counts["serious"] else tr("nothing serious")]
    parts += [tr("{n:,} worth knowing", n=counts["notable"])] if counts["notable"] else []
    return listed(parts + ([tr("{n:,} in order", n=counts["fine"])] if counts["fine"] else []))


def _finding(dataset: Dataset, found: Audit, finding: Finding) -> None:
    with st.container(border=True, gap="small"):
        st.markdown(f"{ICONS[finding.severity]} **{plain(translate(finding.title))}**")
        st.markdown(plain(translate(finding.sentence)), help=_help(finding))
        if finding.advice:
            st.markdown(f":material/arrow_forward: {plain(translate(finding.advice))}")
        if finding.groups:
            _scans_of(dataset, found, finding)


def _help(finding: Finding) -> str | None:
    return tr(GUESS_HELP) if "auc" in finding.numbers else None


def _scans_of(dataset: Dataset, found: Audit, finding: Finding) -> None:
    """The scans of a finding, read only once somebody wants to see them."""
    key = f"check_{found.fingerprint[:12]}_{finding.kind}"
    label = trn("See it", "See the {n:,} scans", len(finding.rows))
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
                st.caption(tr("and {n:,} more", n=len(group) - MOST_IN_A_GROUP))
            if finding.kind == EXACT and out.issuperset(group):
                st.caption(tr("Another copy of this picture stays: see the near copies."))
            if finding.kind in REMOVABLE and set(finding.suggestion) & set(group):
                keep_switch(found, finding.kind, group)


def _loose(dataset: Dataset, found: Audit, finding: Finding, key: str) -> None:
    rows = np.array([row for group in finding.groups for row in group])
    first, shown = one_page(rows, PER_PAGE, key)
    if len(rows) > PER_PAGE:
        st.caption(tr("{first:,} to {last:,} of {total:,}", first=first + 1, last=first + len(shown), total=len(rows)))
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
        lines = [f"{plain(nice(label))}, {tr(SPLIT_NAMES[split])}", plain(Path(str(dataset.files[row])).name)]
        lines += [plain(translate(reasons[row]))] if reasons and row in reasons else []
        lines += [f":orange-badge[{tr('would be taken out')}]"] if row in out else []
        with grid.cell():
            st.image(square, width="stretch")
            st.caption("  \n".join(lines))
