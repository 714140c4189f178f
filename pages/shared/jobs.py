"""How a page shows work that runs as a process of its own: progress, stop, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.shared.formatting import escape_markdown, format_duration
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
        then: ends it with what to do.
        stopped: said when somebody stopped it; nothing where that says itself.
    """
    if status == "failed":
        st.error(escape_markdown(translate(job.error)), icon=":material/error:")
    elif status == "interrupted":
        text = tr(
            "{what} was interrupted, perhaps because the computer was switched off. {then}", what=what, then=next_step
        )
        st.warning(text, icon=":material/power_off:")
    elif status == "stopped" and stopped_text:
        st.info(stopped_text, icon=":material/stop_circle:")


def show_build_progress(job: Job, _: Status) -> None:
    """The progress of a build or a download, with a way to stop it."""
    steps = [record for record in job.records() if record.get("kind") == "progress"]
    if steps:
        last_step = steps[-1]
        st.progress(
            last_step["done"] / max(last_step["total"], 1),
            text=_build_progress_text(escape_markdown(translate(job.title)), last_step),
        )
    elif job.details.arguments[:1] == ("inspect",):  # kagglehub tells no progress and cannot be stopped midway
        st.info(
            tr(
                "{title} is running. It may take long; it goes on when you close this page.",
                title=escape_markdown(translate(job.title)),
            )
        )
        return
    else:
        st.progress(0.0, text=tr("Starting **{title}**…", title=escape_markdown(translate(job.title))))
    show_stop_button(job, str(job.folder))


def _build_progress_text(title: str, last_step: dict[str, Any]) -> str:
    values = {
        "title": title,
        "done": last_step["done"],
        "total": last_step["total"],
        "rate": last_step["images_per_second"],
        "left": format_duration(last_step["seconds_left"]),
    }
    if not last_step["skipped"]:
        return tr(
            "Building **{title}**: {done:,} of {total:,} scans, {rate:,.0f} a second, about {left} left", **values
        )
    return tr(
        "Building **{title}**: {done:,} of {total:,} scans, {rate:,.0f} a second, about {left} left; {skipped:,} could "
        "not be read",
        skipped=last_step["skipped"],
        **values,
    )
