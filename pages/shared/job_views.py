"""How a page shows work that runs as a process of its own: progress, stop, and how it ended."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.shared.formatting import escape_markdown
from pages.shared.page import defer_errors, show_announcements
from xrai.core.jobs import ACTIVE_STATUSES, Job, Status
from xrai.core.language import tr, translate

REFRESH_SECONDS = 1.0


def watch_job(job: Job, status: Status, draw: Callable[[Job, Status], None]) -> None:
    """Draw a job every second for as long as it is active, then the whole page once more.

    Args:
        job: to be drawn.
        status: how it stands.
        draw: is given how it stands, and must not look again: by then it may have ended, and a click on what a job
            that has ended can do would be lost, as the whole page is drawn anew a second later.
    """
    if status not in ACTIVE_STATUSES:
        draw(job, status)
        return

    @st.fragment(run_every=REFRESH_SECONDS)
    def live() -> None:
        status = job.status
        if status not in ACTIVE_STATUSES:
            st.rerun()
        draw(job, status)

    live()


def show_stop_button(job: Job, key: str) -> None:
    """Ask a job to stop."""
    if job.is_stopping:
        st.button(tr("Stopping…"), disabled=True, icon=":material/hourglass:", key=f"{key}-stopping")
    else:
        st.button(tr("Stop"), icon=":material/stop_circle:", key=f"{key}-stop", on_click=_stop_job, args=(job,))
    show_announcements()


def _stop_job(job: Job) -> None:
    with defer_errors():
        job.stop()


def show_job_end(job: Job, status: Status, what: str, next_step: str, stopped_text: str = "") -> None:
    """Why a job that is not active came to no good end.

    Args:
        job: that ended.
        status: how it stands: a look at that takes its time.
        what: begins the sentence of what was interrupted, in the reader's language, as the next two are.
        next_step: ends it with what to do.
        stopped_text: said when somebody stopped it; nothing where that says itself.
    """
    if status == "failed":
        st.error(escape_markdown(translate(job.error)), icon=":material/error:")
    elif status == "interrupted":
        text = tr(
            "{job} was interrupted, perhaps because the computer was switched off. {next_step}",
            job=what,
            next_step=next_step,
        )
        st.warning(text, icon=":material/power_off:")
    elif status == "stopped" and stopped_text:
        st.info(stopped_text, icon=":material/stop_circle:")
