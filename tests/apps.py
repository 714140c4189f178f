"""A page opened through Streamlit's own test runner, what it says, and a run as training leaves it on disk."""

from collections.abc import Iterable, Mapping
from typing import Any

from streamlit.testing.v1 import AppTest

from xrai.core.json_files import HISTORY_FILE, append_record, write_json
from xrai.core.paths import PROJECT_DIR
from xrai.models.checkpoint import CONFIG, Checkpoint, open_checkpoint
from xrai.models.history import HistoryEvent
from xrai.training.config import TrainConfig


def opened(page: str, **state: Any) -> AppTest:
    """A page, as somebody comes to it from the first one with a session's state."""
    app = AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600).run()
    for name, value in state.items():
        app.session_state[name] = value
    app.switch_page(page).run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    """What it says, without the backslashes that keep Markdown away."""
    kinds = (app.markdown, app.caption, app.info, app.error, app.warning, app.subheader)
    return "\n".join(str(item.value) for kind in kinds for item in kind).replace("\\", "")


def write_run(
    name: str,
    records: Iterable[Mapping[str, Any] | HistoryEvent],
    config: TrainConfig,
    dataset: str = "data/practice.hdf5",
) -> Checkpoint:
    """The folder of a run that has no weights yet."""
    checkpoint = open_checkpoint(name)
    checkpoint.folder.mkdir(parents=True)
    write_json(checkpoint.folder / CONFIG, {"dataset": dataset, "train": config.to_dict()})
    for record in records:
        append_record(
            checkpoint.folder / HISTORY_FILE, record.to_dict() if isinstance(record, HistoryEvent) else record
        )
    return checkpoint
