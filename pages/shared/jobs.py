"""How a page shows work that runs as a process of its own: progress, stop, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.shared.formatting import duration, plain
from pages.shared.page import announcements, stated_later
from xrai.core.jobs import ACTIVE, Job, Status
from xrai.core.language import tr, translate

EVERY_SECOND = 1.0


def watch(job: Job, status: Status, draw: Callable[[Job, Status], None]) -> None:
    """Draw a job every second for as long as it is active, then the whole page once more.

    Args:
        job: to be drawn.
        status: how it stands.
        draw: is given how it stands, and must not look again: by then it may have ended, and a click on what a job
            that has ended can do would be lost, as the whole page is drawn anew a second later.
    """
    if status not in ACTIVE:
        draw(job, status)
        return

    @st.fragment(run_every=EVERY_SECOND)
    def live() -> None:
        status = job.status
        if status not in ACTIVE:
            st.rerun()
        draw(job, status)

    live()


def stop_button(job: Job, key: str) -> None:
    """Ask a job to stop."""
    if job.is_stopping:
        st.button(tr("Stopping…"), disabled=True, icon=":material/hourglass:", key=f"{key}-stopping")
    else:
        st.button(tr("Stop"), icon=":material/stop_circle:", key=f"{key}-stop", on_click=_stop, args=(job,))
    announcements()


def _stop(job: Job) -> None:
    with stated_later():
        job.stop()


def say_how_it_ended(job: Job, status: Status, what: str, then: str, stopped: str = "") -> None:
    """Why a job that is not active came to no good end.

    Args:
        job: that ended.
        status: how it stands: a look at that takes its time.
        what: begins the sentence of what was interrupted, in the reader's language, as the next two are.
        then: ends it with what to do.
        stopped: said when somebody stopped it; nothing where that says itself.
    """
    if status == "failed":
        st.error(plain(translate(job.error)), icon=":material/error:")
    elif status == "interrupted":
        words = tr(
            "{what} was interrupted, perhaps because the computer was switched off. {then}", what=what, then=then
        )
        st.warning(words, icon=":material/power_off:")
    elif status == "stopped" and stopped:
        st.info(stopped, icon=":material/stop_circle:")


def build_progress(job: Job, _: Status) -> None:
    """The progress of a build or a download, with a way to stop it."""
    steps = [record for record in job.records() if record.get("kind") == "progress"]
    if steps:
        last = steps[-1]
        st.progress(last["done"] / max(last["total"], 1), text=_built_so_far(plain(translate(job.title)), last))
    elif job.details.get("arguments", [""])[0] == "look":  # kagglehub tells no progress and cannot be stopped midway
        st.info(
            tr(
                "{title} is running. It may take long; it goes on when you close this page.",
                title=plain(translate(job.title)),
            )
        )
        return
    else:
        st.progress(0.0, text=tr("Starting **{title}**…", title=plain(translate(job.title))))
    stop_button(job, str(job.folder))


def _built_so_far(title: str, last: dict[str, Any]) -> str:
    values = {
        "title": title,
        "done": last["done"],
        "total": last["total"],
        "rate": last["images_per_second"],
        "left": duration(last["seconds_left"]),
    }
    if not last["skipped"]:
        return tr(
            "Building **{title}**: {done:,} of {total:,} scans, {rate:,.0f} a second, about {left} left", **values
        )
    return tr(
        "Building **{title}**: {done:,} of {total:,} scans, {rate:,.0f} a second, about {left} left; {skipped:,} could "
        "not be read",
        skipped=last["skipped"], **values,
    )  # fmt: skip
