"""Dataset audit: duplicates, leakage, shortcuts, distribution shift, outliers, class imbalance."""

from xrai.data.audit.findings import DEFAULT_CLEAN_KINDS, SEVERITIES, Audit, AuditFinding
from xrai.data.audit.run import run_audit
from xrai.data.audit.store import audit_file, load_audit, save_audit, summarise_for_card

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
