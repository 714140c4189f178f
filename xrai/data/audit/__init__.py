"""The audit: what a dataset holds that would make a model, or the figures measured of it, look better than they are."""

from xrai.data.audit.findings import CLEANED, SEVERITIES, Audit, Finding
from xrai.data.audit.keeping import audit_file, brief, load_audit, save_audit
from xrai.data.audit.running import audit

__all__ = [
    "CLEANED",
    "SEVERITIES",
    "Audit",
    "Finding",
    "audit",
    "audit_file",
    "brief",
    "load_audit",
    "save_audit",
]
