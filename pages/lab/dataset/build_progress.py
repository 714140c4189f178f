"""Progress of a dataset build or a download."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared.formatting import escape_markdown, format_duration
from pages.shared.job_views import show_stop_button
from xrai.core.jobs import Job, Status
from xrai.core.language import tr, translate


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
                "{title} is running. It may take long and continues if you close this page.",
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
