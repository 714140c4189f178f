"""The models in `checkpoints/`: tell them apart, rename, note, choose the default, export, import, delete."""

from xrai.models.checkpoint import DEFAULT
from xrai.models.default import SHIPPED, default_model, set_default
from xrai.models.deleting import delete
from xrai.models.exporting import EXPORTED_FILES, export_model
from xrai.models.folders import check_model
from xrai.models.importing import MAX_CLASSES, MAX_TEXT_BYTES, MAX_WEIGHTS_BYTES, import_model
from xrai.models.intended_use import set_intended_use
from xrai.models.naming import rename
from xrai.models.notes import MAX_NOTE, NOTE, read_note, set_note
from xrai.models.table import Summary, list_summaries

__all__ = [
    "DEFAULT",
    "EXPORTED_FILES",
    "MAX_CLASSES",
    "MAX_NOTE",
    "MAX_TEXT_BYTES",
    "MAX_WEIGHTS_BYTES",
    "NOTE",
    "SHIPPED",
    "Summary",
    "check_model",
    "default_model",
    "delete",
    "export_model",
    "import_model",
    "list_summaries",
    "read_note",
    "rename",
    "set_default",
    "set_intended_use",
    "set_note",
]
