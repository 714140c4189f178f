"""The check of a dataset: how it stands, and what it found, the gravest first, with the scans that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from pages.lab.dataset.cleaning_view import offer_cleaned_copy, rows_to_remove, show_keep_switch
from pages.shared.audit_state import SEVERITY_ICONS, AuditState, counts_text
from pages.shared.formatting import class_label, escape_markdown, format_duration, format_time
from pages.shared.job_views import show_job_end, show_stop_button, watch_job
from pages.shared.page import display_errors, paginate
from xrai.core import jobs
from xrai.core.language import N_, tr, translate, trn
from xrai.data.audit import Audit, AuditFinding
from xrai.data.audit.findings import CONFLICTING, EXACT, NEAR, PATIENTS, REMOVABLE_KINDS, Severity
from xrai.data.dataset import Dataset
from xrai.data.jobs import start_audit
from xrai.data.sources import SPLIT_NAMES, SPLITS

GROUPED_KINDS = (CONFLICTING, EXACT, NEAR, PATIENTS)
"""The kinds whose scans are looked at group by group: copies, and scans of one patient."""

GROUPS, MAX_IN_GROUP, PER_PAGE, COLUMNS = 6, 8, 12, 6

MEANINGS: dict[Severity, str] = {
    "serious": N_("**Serious**: metrics measured with this dataset would mislead."),
    "notable": N_("**Notable**: keep in mind when you read the metrics of a model."),
}
PROBE_HELP = N_(
    "AUC: how well the classes are separated: 0.5 is guessing, 1 is perfect. Here it should be close to 0.5. The "
    "95 % interval is where it would lie with other patients of the same kind."
)


def show_audit(dataset: Dataset, state: AuditState) -> None:
    """Start, watch and read the check of an open dataset."""
    if state.status in jobs.ACTIVE_STATUSES:
        watch_job(state.job, state.status, _show_progress)
        st.caption(tr("It continues if you leave this page."))
        return
    kept_text = tr("The earlier findings still hold.") if state.audit else tr("No findings were stored.")
    next_step, stopped_text = (
        tr("Check again. {outcome}", outcome=kept_text),
        tr("The check was stopped. {outcome}", outcome=kept_text),
    )
    show_job_end(state.job, state.status, tr("The check"), next_step, stopped_text)
    if state.problem:
        st.warning(escape_markdown(translate(state.problem)), icon=":material/warning:")
    if state.audit is None:
        _offer_audit(dataset)
    else:
        _show_findings(dataset, state.audit)


# ---------------------------------------------------------------- checking


def _offer_audit(dataset: Dataset) -> None:
    st.markdown(
        tr(
            "The check looks for whatever makes a model seem better than it is: duplicates, conflicting labels, "
            "patients in both training and test, and shortcuts, i.e. classes that differ by more than the disease, "
            "such as by the image border. It also looks for blank, rotated and inverted scans."
        )
    )
    if st.button(tr("Check this dataset"), type="primary", icon=":material/fact_check:", key="check_start"):
        _start_audit(dataset)
    st.caption(
        trn(
            "It takes about a minute. The dataset stays as it is.",
            "It takes about {n:,} minutes. The dataset stays as it is.",
            1 + len(dataset) // 3000,
        )
    )


def _start_audit(dataset: Dataset) -> None:
    with display_errors():
        start_audit(dataset.path)
        st.rerun()


def _show_progress(job: jobs.Job, status: jobs.Status) -> None:
    """What is looked at now, with a way to stop."""
    steps = [record for record in job.records() if record.get("kind") == "progress"]
    if steps and status != "starting":  # until then they are those of an earlier check
        text = tr("Checking: {what}…", what=escape_markdown(translate(steps[-1]["what"])))
        st.progress(steps[-1]["done"] / max(steps[-1]["total"], 1), text=text)
    else:
        st.progress(0.0, text=tr("Starting the check…"))
    show_stop_button(job, str(job.folder))


# ---------------------------------------------------------------- what was found


def _show_findings(dataset: Dataset, audit: Audit) -> None:
    st.subheader(_headline_text(audit), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        text = tr(
            "Checked on {moment}, in {duration}.",
            moment=format_time(audit.when),
            duration=format_duration(audit.seconds),
        )
        st.caption(text, width="content")
        if st.button(tr("Check again"), icon=":material/refresh:", type="tertiary", key="check_again"):
            _start_audit(dataset)
    if dataset.is_phantom:
        st.caption(tr("These are drawings: the findings only demonstrate the check and mean nothing for patients."))
    for severity, meaning in MEANINGS.items():
        if findings := audit.with_severity(severity):
            st.markdown(tr(meaning))
            for finding in findings:
                _show_finding(dataset, audit, finding)
    if fine := audit.with_severity("fine"):
        with st.expander(tr("Passed ({n:,})", n=len(fine)), icon=":material/check_circle:", key="check_fine"):
            for finding in fine:
                text = (
                    f"**{escape_markdown(translate(finding.title))}.** {escape_markdown(translate(finding.sentence))}"
                )
                st.markdown(text, help=_help_text(finding))
    offer_cleaned_copy(dataset, audit)


def _headline_text(audit: Audit) -> str:
    if not audit.with_severity("serious") and not audit.with_severity("notable"):
        return tr("No findings")
    text = counts_text(audit)
    return text[0].upper() + text[1:]


def _show_finding(dataset: Dataset, audit: Audit, finding: AuditFinding) -> None:
    with st.container(border=True, gap="small"):
        st.markdown(f"{SEVERITY_ICONS[finding.severity]} **{escape_markdown(translate(finding.title))}**")
        st.markdown(escape_markdown(translate(finding.sentence)), help=_help_text(finding))
        if finding.advice:
            st.markdown(f":material/arrow_forward: {escape_markdown(translate(finding.advice))}")
        if finding.groups:
            _show_scans(dataset, audit, finding)


def _help_text(finding: AuditFinding) -> str | None:
    return tr(PROBE_HELP) if "auc" in finding.numbers else None


def _show_scans(dataset: Dataset, audit: Audit, finding: AuditFinding) -> None:
    """The scans of a finding, read only once somebody wants to see them."""
    key = f"check_{audit.fingerprint[:12]}_{finding.kind}"
    label = trn("See it", "See the {n:,} scans", len(finding.rows))
    expander = st.expander(label, icon=":material/imagesmode:", key=key, on_change="rerun")
    if not expander.open:
        return
    with expander:
        if finding.kind in GROUPED_KINDS:
            _show_groups(dataset, audit, finding, f"{key}_page")
        else:
            _show_single_scans(dataset, audit, finding, f"{key}_page")


def _show_groups(dataset: Dataset, audit: Audit, finding: AuditFinding, key: str) -> None:
    _, page_groups = paginate(np.arange(len(finding.groups)), GROUPS, key)
    removed_rows = set(rows_to_remove(audit))
    grid = st.grid(2, min_column_width=300)
    for number in page_groups:
        group = finding.groups[number]
        with grid.cell(), st.container(border=True):
            _show_images(dataset, group[:MAX_IN_GROUP], 2, removed_rows=removed_rows)
            if len(group) > MAX_IN_GROUP:
                st.caption(tr("and {n:,} more", n=len(group) - MAX_IN_GROUP))
            if finding.kind == EXACT and removed_rows.issuperset(group):
                st.caption(tr("Another copy of this image remains: see the near duplicates."))
            if finding.kind in REMOVABLE_KINDS and set(finding.suggestion) & set(group):
                show_keep_switch(audit, finding.kind, group)


def _show_single_scans(dataset: Dataset, audit: Audit, finding: AuditFinding, key: str) -> None:
    rows = np.array([row for group in finding.groups for row in group])
    offset, page_rows = paginate(rows, PER_PAGE, key)
    if len(rows) > PER_PAGE:
        st.caption(
            tr("{first:,} to {last:,} of {total:,}", first=offset + 1, last=offset + len(page_rows), total=len(rows))
        )
    _show_images(dataset, page_rows, COLUMNS, removed_rows=set(rows_to_remove(audit)), reasons=_reason_by_row(finding))


def _reason_by_row(finding: AuditFinding) -> dict[int, str]:
    """Why each scan is odd, where the finding says it group by group."""
    reasons = finding.numbers.get("reasons")
    if not isinstance(reasons, dict) or len(reasons) != len(finding.groups):
        return {}
    return {row: str(reason) for reason, group in zip(reasons, finding.groups, strict=True) for row in group}


def _show_images(
    dataset: Dataset,
    rows: Sequence[int] | np.ndarray,
    columns: int,
    *,
    removed_rows: set[int],
    reasons: dict[int, str] | None = None,
) -> None:
    """Scans side by side with class, split and file; `out` are those that a cleaned copy would lack."""
    grid = st.grid(columns, min_column_width=110)
    for row, square in zip(rows, dataset.images(rows), strict=True):
        label, split = dataset.classes[dataset.labels[row]], SPLITS[dataset.splits[row]]
        lines = [
            f"{escape_markdown(class_label(label))}, {tr(SPLIT_NAMES[split])}",
            escape_markdown(Path(str(dataset.files[row])).name),
        ]
        lines += [escape_markdown(translate(reasons[row]))] if reasons and row in reasons else []
        lines += [f":orange-badge[{tr('would be removed')}]"] if row in removed_rows else []
        with grid.cell():
            st.image(square, width="stretch")
            st.caption("  \n".join(lines))
