"""The audit: what a dataset holds that would make a model, or the figures measured of it, look better than they are."""

from xrai.data.audit.findings import DEFAULT_CLEAN_KINDS, SEVERITIES, Audit, AuditFinding
from xrai.data.audit.keeping import audit_file, load_audit, save_audit, summarise_for_card
from xrai.data.audit.running import run_audit

__all__ = [
    "DEFAULT_CLEAN_KINDS",
    "SEVERITIES",
    "Audit",
    "AuditFinding",
    "audit_file",
    "load_audit",
    "run_audit",
    "save_audit",
    "summarise_for_card",
]
