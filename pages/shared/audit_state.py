"""Status of a dataset audit: running, missing, damaged or done, in one line."""

from __future__ import annotations

from typing import NamedTuple

from pages.shared.formatting import join_words
from xrai.core import jobs
from xrai.core.errors import DatasetError
from xrai.core.language import tr, trn
from xrai.data.audit import Audit, load_audit
from xrai.data.audit.findings import Severity
from xrai.data.dataset import Dataset
from xrai.data.jobs import audit_folder

SEVERITY_ICONS: dict[Severity, str] = {
    "serious": ":red[:material/error:]",
    "notable": ":orange[:material/info:]",
    "fine": ":green[:material/check_circle:]",
}


class AuditState(NamedTuple):
    """How the check of a dataset stands.

    Attributes:
        job: that checks it, or did, or may.
        status: of the job.
        audit: what was found in the dataset as it is now, if it was checked.
        problem: why what was found cannot be read; "" if it can.
    """

    job: jobs.Job
    status: jobs.Status
    audit: Audit | None
    problem: str


def load_audit_state(dataset: Dataset) -> AuditState:
    """How the check of an open dataset stands."""
    job = jobs.Job(audit_folder(dataset.path))
    status = job.status  # before what it leaves behind, which would be missed else
    try:
        return AuditState(job, status, load_audit(dataset), "")
    except DatasetError as error:
        return AuditState(job, status, None, error.message)


def audit_line(state: AuditState) -> str:
    """How the check of a dataset stands, in Markdown for a single line."""
    if state.status in jobs.ACTIVE_STATUSES:
        return ":material/hourglass: " + tr("It is being checked now.")
    if state.problem:
        return ":material/warning: " + tr("The result of its check cannot be read: check it again.")
    if state.audit is None:
        return ":material/help: " + tr("Not checked yet for duplicates and bias.")
    icon = next(
        (icon for severity, icon in SEVERITY_ICONS.items() if state.audit.with_severity(severity)),
        SEVERITY_ICONS["fine"],
    )
    return f"{icon} " + tr("Checked: {counts}.", counts=counts_text(state.audit))


def counts_text(audit: Audit) -> str:
    """Such as `2 serious findings, 3 worth knowing and 12 in order`."""
    counts = audit.counts()
    serious = trn("{n:,} serious finding", "{n:,} serious findings", counts["serious"])
    parts = [serious if counts["serious"] else tr("no serious findings")]
    parts += [tr("{n:,} notable", n=counts["notable"])] if counts["notable"] else []
    return join_words(parts + ([tr("{n:,} passed", n=counts["fine"])] if counts["fine"] else []))
