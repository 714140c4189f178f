"""Dataset: from folders of scans to one HDF5 file, and a look into it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from pages.lab.dataset.browse import browse_dataset
from pages.lab.dataset.build_progress import show_build_progress
from pages.lab.dataset.names import free_name, new_dataset_path
from pages.shared.formatting import class_label, escape_markdown
from pages.shared.job_views import watch_job
from pages.shared.page import display_errors, show_announcements, show_head, show_switch
from xrai.core import jobs
from xrai.core.errors import SourceError
from xrai.core.json_files import list_folder
from xrai.core.labels import finding_is_known
from xrai.core.language import LANGUAGES, N_, tr, translate, use_language
from xrai.core.paths import data_dir, display_path, inbox_dir
from xrai.data.dataset import list_datasets
from xrai.data.inspect import SourceInspection, inspect_source
from xrai.data.jobs import audit_folder, download_folder, start_build, start_download
from xrai.data.sources import (
    KAGGLE_PREFIX,
    KAGGLE_SETS,
    PRACTICE_SPEC,
    kaggle_folder,
    list_local_sources,
    open_source,
    store_upload,
)
from xrai.figures import SPLIT_LABELS

DRAWINGS, FOLDER, UPLOAD, FROM_KAGGLE = (
    N_("Practice drawings"),
    N_("A folder or zip on this computer"),
    N_("Upload a zip"),
    N_("Kaggle"),
)
COLUMNS = 6
BUILD, BROWSE = N_("Build a new dataset"), N_("Browse a dataset")

_MODES = {
    "L": N_("grey"),
    "I;16": N_("grey, 16 bit"),
    "RGB": N_("colour"),
    "RGBA": N_("colour"),
    "P": N_("palette"),
    "1": N_("black and white"),
}
_END_MESSAGES = {
    "interrupted": N_("It was interrupted, perhaps because the computer was switched off. No partial file was left."),
    "stopped": N_("It was stopped. No partial file was left."),
}


def main() -> None:
    """The page."""
    show_head(tr("Dataset"), tr("A dataset is one file of labelled scans, for training and testing models."))
    with display_errors():
        show_announcements()
        is_building = _show_jobs()
        datasets = list_datasets()
        view = BUILD
        if datasets:
            view = show_switch(tr("What to do"), [BROWSE, BUILD], "dataset_view")
        if view == BUILD and is_building:
            st.caption(
                tr("You can leave this page: the work goes on. When it is done, the dataset can be looked into here.")
            )
        elif view == BUILD:
            _show_build(is_first=not datasets)
        else:
            browse_dataset(datasets)


# ---------------------------------------------------------------- jobs


def _show_jobs() -> bool:
    """Show what is being built, and builds that ended badly and were not put aside; whether anything is being built."""
    folder = data_dir() / ".jobs"
    is_building = False
    audit_folders = {audit_folder(file) for file in list_datasets()}  # shown beside what is checked
    for job in map(jobs.Job, sorted(set(list_folder(folder)) - audit_folders)):
        status = job.status
        if status in jobs.ACTIVE_STATUSES:
            is_building = True
            watch_job(job, status, show_build_progress)
        elif status in ("failed", "interrupted", "stopped"):
            _show_failed_job(job, status)
    return is_building


def _show_failed_job(job: jobs.Job, status: str) -> None:
    reason = translate(job.error) if status == "failed" else tr(_END_MESSAGES[status])
    text = tr(
        "**{title}** did not finish. {reason}",
        title=escape_markdown(translate(job.title)),
        reason=escape_markdown(reason),
    )
    (st.error if status == "failed" else st.warning)(text)
    row = st.container(horizontal=True)
    arguments = job.details.arguments
    if arguments and row.button(tr("Start it again"), icon=":material/replay:", key=f"{job.folder}-again"):
        with display_errors():
            jobs.start(arguments, job.folder, title=job.title, details=job.details)
            st.rerun()
    if row.button(tr("Dismiss"), icon=":material/close:", key=f"{job.folder}-away", type="tertiary"):
        with display_errors():
            jobs.discard(job)
            st.rerun()


# ---------------------------------------------------------------- build


def _show_build(is_first: bool) -> None:
    st.subheader(tr("1. Where are the scans?"), anchor=False)
    if is_first:
        st.caption(tr("New here? The practice drawings need no data and no internet: take them for a first try."))
    kind = st.radio(
        tr("Source"),
        [DRAWINGS, FOLDER, UPLOAD, FROM_KAGGLE],
        format_func=tr,
        horizontal=True,
        label_visibility="collapsed",
        key="dataset_kind",
        persist_state="session",
    )
    with display_errors():
        spec = {DRAWINGS: _choose_phantoms, FOLDER: _choose_local, UPLOAD: _choose_upload, FROM_KAGGLE: _choose_kaggle}[
            kind
        ]()
        if spec is None:
            return
        inspection = _inspect_source(spec)
        st.subheader(tr("2. Contents"), anchor=False)
        _show_inspection(inspection)
        st.subheader(tr("3. Build the dataset"), anchor=False)
        _show_build_form(spec, inspection)


def _choose_phantoms() -> str:
    st.caption(
        tr(
            "About 300 drawn chests, half of them with a whitish patch in a lung. They are drawings with no medical "
            "meaning: for learning how XRAI works."
        )
    )
    return PRACTICE_SPEC


def _choose_local() -> str | None:
    sources = list_local_sources()
    st.caption(
        tr(
            "Put a folder into `{inbox}`: inside it one folder for each class, such as NORMAL and PNEUMONIA. "
            "Folders named train, val and test above them are understood.",
            inbox=inbox_dir(),
        )
    )
    if not sources:
        st.info(tr("The inbox is empty so far. Copy a folder or a zip of scans into it, then reload this page."))
        return None
    names = {str(path): display_path(path) for path in sources}
    return st.selectbox(tr("Folder or zip"), list(names), format_func=names.__getitem__, key="dataset_folder")


def _choose_upload() -> str | None:
    file = st.file_uploader(tr("A zip of class folders"), type=["zip"], key="dataset_zip")
    if file is None:
        st.caption(tr("The zip is kept in the inbox, so that an interrupted build can be started again."))
        return None
    zip_results: dict[str, str | SourceError] = st.session_state.setdefault("dataset_zips", {})
    if file.file_id not in zip_results:
        zip_results[file.file_id] = _save_checked_zip(file)
    zip_result = zip_results[file.file_id]
    if isinstance(zip_result, SourceError):
        raise zip_result
    return zip_result


def _save_checked_zip(file: UploadedFile) -> str | SourceError:
    """Where an uploaded zip was put, or why it cannot be used and was not kept."""
    try:
        target = store_upload(file, file.name)
    except SourceError as error:
        return error
    try:
        with open_source(target):
            return str(target)
    except SourceError as error:
        target.unlink(missing_ok=True)
        return error


def _choose_kaggle() -> str | None:
    set_by_handle = {kaggle_set.handle: kaggle_set for kaggle_set in KAGGLE_SETS}
    handle = st.radio(
        tr("Set"),
        list(set_by_handle),
        format_func=lambda item: translate(set_by_handle[item].title),
        key="dataset_kaggle",
    )
    kaggle_set = set_by_handle[handle]
    st.caption(
        tr(
            "Patients: {population}. Licence: {licence}. It is downloaded from kaggle.com.",
            population=translate(kaggle_set.population),
            licence=translate(kaggle_set.licence),
        )
    )
    spec = KAGGLE_PREFIX + handle
    if kaggle_folder(handle) is not None:
        return spec
    job = jobs.Job(download_folder(spec))
    if job.is_active:
        st.info(tr("The download is running; it continues if you close this page."), icon=":material/downloading:")
    elif st.button(tr("Download it"), icon=":material/download:", key="dataset_download"):
        start_download(spec)
        st.rerun()
    return None


def _inspect_source(spec: str) -> SourceInspection:
    """What a source holds; looked at once a tab, and again on demand."""
    if spec == PRACTICE_SPEC:
        with st.spinner(tr("Drawing…")):
            return _inspect_practice()
    cache: dict[str, SourceInspection] = st.session_state.setdefault("dataset_found", {})
    if st.button(tr("Inspect again"), icon=":material/refresh:", type="tertiary", key="dataset_look_again"):
        cache.pop(spec, None)
    if spec not in cache:
        with st.spinner(tr("Looking at the scans…")), open_source(spec) as source:
            cache[spec] = inspect_source(source)
    return cache[spec]


@st.cache_data(show_spinner=False)
def _inspect_practice() -> SourceInspection:
    with open_source(PRACTICE_SPEC) as source:
        return inspect_source(source)


def _show_inspection(inspection: SourceInspection) -> None:
    words = SPLIT_LABELS | {"all": N_("Scans")}
    table = pd.DataFrame(inspection.counts).T.rename(columns={split: tr(word) for split, word in words.items()})
    table.index = [class_label(name) for name in table.index]
    halves = st.grid(2, min_column_width=320)
    with halves.cell():
        st.dataframe(table, column_config={"_index": tr("Class")})
    with halves.cell():
        _show_description(inspection)
    for item in inspection.unreadable:
        words = tr(
            "{file} cannot be read and will be left out. {reason}", file=item.file, reason=translate(item.reason)
        )
        st.warning(escape_markdown(words))
    for name, squares in inspection.examples.items():
        if squares:
            st.caption(_examples_caption(escape_markdown(class_label(name)), inspection))
            grid = st.grid(COLUMNS, min_column_width=100)
            for square in squares:
                grid.image(square, width="stretch")


def _show_description(inspection: SourceInspection) -> None:
    """How the files are made, what tells their patients, and what else is to be known of them."""
    format_counts = ", ".join(f"{count} × {_format_text(kind)}" for kind, count in inspection.formats.items())
    total = sum(map(sum, (row.values() for row in inspection.counts.values())))
    st.markdown(
        tr(
            "**{total:,} files.** Formats of {n} sampled files: {formats}.",
            total=total,
            n=inspection.n_sampled,
            formats=format_counts or tr("none could be read"),
        )
    )
    if inspection.smallest and inspection.largest:
        st.markdown(tr("Size in pixels: {sizes}.", sizes=_size_range(inspection.smallest, inspection.largest)))
    st.markdown(
        tr("Patients are known from file names or DICOM: all scans of a patient go into the same split.")
        if inspection.patients_known
        else tr(
            "Patients are not known from file names or DICOM: each file counts as one patient, so the same patient "
            "may be in training and test."
        )
    )
    for note in inspection.notes:
        st.markdown(escape_markdown(translate(note)))


def _size_range(smallest: tuple[int, int], largest: tuple[int, int]) -> str:
    low, high = (f"{width} × {height}" for width, height in (smallest, largest))
    return low if low == high else tr("{low} to {high}", low=low, high=high)


def _examples_caption(name: str, inspection: SourceInspection) -> str:
    if inspection.drawings:
        return tr("Examples of {name} — drawings, no patients", name=name)
    return tr("Examples of {name}", name=name)


def _format_text(kind: str) -> str:
    """A format and mode such as `JPEG, RGB` for people."""
    file_format, mode = kind.split(", ")
    return f"{file_format} ({tr(_MODES.get(mode, mode))})"


def _show_build_form(spec: str, inspection: SourceInspection) -> None:
    with st.form("dataset_build", enter_to_submit=False):
        name = st.text_input(
            tr("Name of the dataset"), _suggest_name(inspection.name), max_chars=60, key=f"dataset_name_{spec}"
        )
        population = st.text_input(
            tr("Patients in these scans"),
            translate(inspection.population),
            key=f"dataset_population_{spec}",
            placeholder=tr("For example: adults, emergency department of one hospital, 2019 to 2024, PA view"),
            help=tr("Stored with every model trained on them, so that readers know for which patients it was made."),
        )
        licence = st.text_input(
            tr("Source and licence, if any"), translate(inspection.licence), key=f"dataset_licence_{spec}"
        )
        finding = _ask_finding(tuple(inspection.counts), spec)
        with st.expander(tr("More settings"), key="dataset_more"):
            size = st.select_slider(
                tr("Size of the stored scans in pixels"),
                [64, 96, 128, 160, 224, 320, 448],
                224,
                key="dataset_size",
                help=tr(
                    "Scans are resized to squares of this side. 224 is usual; larger sizes keep finer detail and "
                    "need more disk space."
                ),
            )
            seed = st.number_input(
                tr("Random seed of the split"),
                0,
                2**31 - 1,
                0,
                key="dataset_seed",
                help=tr("The same seed draws the same split again."),
            )
        if st.form_submit_button(
            tr("Build the dataset"), type="primary", icon=":material/construction:", key="dataset_build_start"
        ):
            about = _keep_original(population, inspection.population), _keep_original(licence, inspection.licence)
            if finding is None:
                st.warning(tr("Say first which class is the finding: a model looks for that one."))
            else:
                _start_build(spec, name, *about, finding, int(size), int(seed))


def _ask_finding(classes: tuple[str, ...], spec: str) -> str | None:
    """Which of two classes is the finding, where their names do not tell; None while it is not said, "" if known."""
    if finding_is_known(classes):
        return ""
    label = tr("Which class is the finding?")
    return st.selectbox(label, classes, index=None, format_func=class_label, key=f"dataset_finding_{spec}")


def _keep_original(text: str, original: str) -> str:
    """What a source says of itself in its own words, which the engine knows, where nobody typed anything else."""
    for code in LANGUAGES:
        with use_language(code):
            if text == translate(original):
                return original
    return text


def _start_build(spec: str, name: str, population: str, licence: str, finding: str, size: int, seed: int) -> None:
    with display_errors():
        out = new_dataset_path(name)
        start_build(spec, out, population=population, licence=licence, finding=finding, size=size, seed=seed)
        st.session_state["dataset_shown"] = str(out)
        st.session_state["dataset_view_wanted"] = BROWSE
        st.rerun()


def _suggest_name(source: str) -> str:
    stem = Path(source).stem.lower()
    return free_name("practice" if stem.startswith("practice") else stem)


if requested_view := st.session_state.pop("dataset_view_wanted", None):
    st.session_state["dataset_view"] = requested_view
main()
