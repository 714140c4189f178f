"""Dataset: from folders of scans to one HDF5 file, and a look into it."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from pages.shared.dataset_names import free_name, new_dataset
from pages.shared.dataset_view import browse
from pages.shared.jobs import build_progress, watch
from pages.shared.page import announcements, head, stated_errors
from pages.shared.words import nice, plain
from xrai import jobs
from xrai.dataset import list_datasets
from xrai.errors import SourceError
from xrai.figures import SPLIT_WORDS
from xrai.settings import data_dir, inbox_dir, shown_path
from xrai.sources import KAGGLE, KAGGLE_SETS, PRACTICE, kaggle_folder, list_local, open_source
from xrai.survey import Survey, survey

DRAWINGS, FOLDER, UPLOAD, FROM_KAGGLE = (
    "Practice drawings",
    "A folder or zip on this computer",
    "Upload a zip",
    "Kaggle",
)
COLUMNS = 6
BUILD, LOOK = "Build a new dataset", "Look into a dataset"


def main() -> None:
    """The page."""
    head(
        "Dataset",
        "A dataset is one file with many scans and what is known of each. A model learns from it and is tested on it.",
    )
    with stated_errors():
        announcements()
        building = _jobs()
        datasets = list_datasets()
        view = BUILD
        if datasets:
            st.session_state.setdefault("dataset_view", LOOK)
            view = st.segmented_control(
                "What to do", [LOOK, BUILD], key="dataset_view", required=True, label_visibility="collapsed",
                persist_state="session",
            )  # fmt: skip
        if view == BUILD and building:
            st.caption(
                "You can leave this page: the work goes on. When it is done, the dataset can be looked into here."
            )
        elif view == BUILD:
            _build(first=not datasets)
        else:
            browse(datasets)


# ---------------------------------------------------------------- jobs


def _jobs() -> bool:
    """Show what is being built, and builds that ended badly and were not put aside; whether anything is being built."""
    folder = data_dir() / ".jobs"
    building = False
    if not folder.is_dir():
        return building
    checks = {jobs.audit_folder(file) for file in list_datasets()}  # shown beside what is checked
    for job in map(jobs.Job, sorted(set(folder.iterdir()) - checks)):
        status = job.status
        if status in jobs.ACTIVE:
            building = True
            watch(job, status, build_progress)
        elif status in ("failed", "interrupted", "stopped"):
            _ended_badly(job, status)
    return building


def _ended_badly(job: jobs.Job, status: str) -> None:
    words = {
        "failed": job.error,
        "interrupted": "It was interrupted, perhaps because the computer was switched off. Nothing half-made was left.",
        "stopped": "It was stopped. Nothing half-made was left.",
    }
    (st.error if status == "failed" else st.warning)(f"**{plain(job.title)}** did not finish. {plain(words[status])}")
    row = st.container(horizontal=True)
    arguments = job.details.get("arguments")
    if arguments and row.button("Start it again", icon=":material/replay:", key=f"{job.folder}-again"):
        with stated_errors():
            jobs.start(arguments, job.folder, title=job.title, details=job.details)
            st.rerun()
    if row.button("Put aside", icon=":material/close:", key=f"{job.folder}-away", type="tertiary"):
        shutil.rmtree(job.folder, ignore_errors=True)
        if arguments and arguments[0] in ("build", "clean"):  # a killed process could not clear up behind itself
            Path(f"{arguments[2]}.partial").unlink(missing_ok=True)
        st.rerun()


# ---------------------------------------------------------------- build


def _build(first: bool) -> None:
    st.subheader("1. Where are the scans?", anchor=False)
    if first:
        st.caption("New here? The practice drawings need no data and no internet: take them for a first try.")
    kind = st.radio(
        "Source", [DRAWINGS, FOLDER, UPLOAD, FROM_KAGGLE], horizontal=True, label_visibility="collapsed",
        key="dataset_kind", persist_state="session",
    )  # fmt: skip
    with stated_errors():
        spec = {DRAWINGS: _drawings, FOLDER: _local, UPLOAD: _upload, FROM_KAGGLE: _kaggle}[kind]()
        if spec is None:
            return
        found = _found(spec)
        st.subheader("2. What was found", anchor=False)
        _show_found(found)
        st.subheader("3. Build the dataset", anchor=False)
        _build_form(spec, found)


def _drawings() -> str:
    st.caption(
        "About 300 drawn chests, half of them with a whitish patch in a lung. They are drawings with no medical "
        "meaning: for learning how XRAI works."
    )
    return PRACTICE


def _local() -> str | None:
    found = list_local()
    st.caption(
        f"Put a folder into `{inbox_dir()}`: inside it one folder for each class, such as NORMAL and PNEUMONIA. "
        "Folders named train, val and test above them are understood."
    )
    if not found:
        st.info("The inbox is empty so far. Copy a folder or a zip of scans into it, then reload this page.")
        return None
    names = {str(path): shown_path(path) for path in found}
    return st.selectbox("Folder or zip", list(names), format_func=names.__getitem__, key="dataset_folder")


def _upload() -> str | None:
    file = st.file_uploader("A zip of class folders", type=["zip"], key="dataset_zip")
    if file is None:
        st.caption("The zip is kept in the inbox, so that an interrupted build can be started again.")
        return None
    kept: dict[str, str | SourceError] = st.session_state.setdefault("dataset_zips", {})
    if file.file_id not in kept:
        kept[file.file_id] = _kept_or_refused(file)
    known = kept[file.file_id]
    if isinstance(known, SourceError):
        raise known
    return known


def _kept_or_refused(file: UploadedFile) -> str | SourceError:
    """Where an uploaded zip was put, or why it cannot be used and was not kept."""
    try:
        target = _keep_zip(file)
    except SourceError as error:
        return error
    try:
        with open_source(target):
            return str(target)
    except SourceError as error:
        target.unlink(missing_ok=True)
        return error


def _keep_zip(file: UploadedFile) -> Path:
    """Put an uploaded zip into the inbox, under a name that is still free."""
    stem = re.sub(r"[^\w.+-]+", "-", Path(file.name).stem).strip("-.")[:80] or "scans"
    names = [f"{stem}.zip", *(f"{stem}-{number}.zip" for number in range(2, 1000))]
    folder = inbox_dir()
    for target in (folder / name for name in names):
        try:
            with suppress(FileExistsError), target.open("xb") as out:  # two tabs may upload the same name at once
                shutil.copyfileobj(file, out)
                return target
        except OSError as error:
            target.unlink(missing_ok=True)
            raise SourceError(
                f"The zip cannot be kept in {folder} ({error.strerror}): free some disk space and upload it again."
            ) from error
    raise SourceError(f"There are a thousand zips called {stem} already: give it another name.")


def _kaggle() -> str | None:
    titles = {known.handle: known for known in KAGGLE_SETS}
    handle = st.radio("Set", list(titles), format_func=lambda item: titles[item].title, key="dataset_kaggle")
    chosen = titles[handle]
    st.caption(f"Patients: {chosen.population}. Licence: {chosen.licence}. It is downloaded from kaggle.com.")
    spec = KAGGLE + handle
    if kaggle_folder(handle) is not None:
        return spec
    job = jobs.Job(jobs.download_folder(spec))
    if job.is_active:
        st.info("The download is running; it goes on when you close this page.", icon=":material/downloading:")
    elif st.button("Download it", icon=":material/download:"):
        arguments = ["look", spec]
        jobs.start(arguments, job.folder, title=f"Download of {handle}", details={"arguments": arguments})
        st.rerun()
    return None


def _found(spec: str) -> Survey:
    """What a source holds; looked at once a tab, and again on demand."""
    if spec == PRACTICE:
        return _practice_found()
    memory: dict[str, Survey] = st.session_state.setdefault("dataset_found", {})
    if st.button("Look again", icon=":material/refresh:", type="tertiary"):
        memory.pop(spec, None)
    if spec not in memory:
        with st.spinner("Looking at the scans…"), open_source(spec) as source:
            memory[spec] = survey(source)
    return memory[spec]


@st.cache_data(show_spinner="Drawing…")
def _practice_found() -> Survey:
    with open_source(PRACTICE) as source:
        return survey(source)


def _show_found(found: Survey) -> None:
    table = pd.DataFrame(found.counts).T.rename(columns=SPLIT_WORDS | {"all": "Scans"})
    table.index = [nice(name) for name in table.index]
    halves = st.grid(2, min_column_width=320)
    with halves.cell():
        st.dataframe(table, column_config={"_index": "Class"})
    with halves.cell():
        made = (
            ", ".join(f"{count} × {_made_how(kind)}" for kind, count in found.formats.items()) or "none could be read"
        )
        st.markdown(f"**{sum(map(sum, (row.values() for row in found.counts.values()))):,} files.** "
                    f"Of {found.n_sampled} that were opened: {made}.")  # fmt: skip
        if found.smallest and found.largest:
            sizes = " to ".join(
                f"{width} × {height}" for width, height in dict.fromkeys((found.smallest, found.largest))
            )
            st.markdown(f"Size in pixels: {sizes}.")
        st.markdown(
            "File names or DICOM tell the patient: splits that are drawn here keep each patient's scans together."
            if found.patients_known
            else "Neither file names nor DICOM tell the patient: each file counts as a patient of its own, "
            "so that one patient may stand in training and test."
        )
        for note in found.notes:
            st.markdown(plain(note))
    for path, reason in found.unreadable:
        st.warning(plain(f"{path} cannot be read and will be left out. {reason}"))
    for name, squares in found.examples.items():
        if squares:
            st.caption(f"Examples of {plain(nice(name))}" + (" — drawings, no patients" if found.drawings else ""))
            grid = st.grid(COLUMNS, min_column_width=100)
            for square in squares:
                grid.image(square, width="stretch")


def _made_how(kind: str) -> str:
    """A format and mode such as `JPEG, RGB` for people."""
    file_format, mode = kind.split(", ")
    words = {
        "L": "grey",
        "I;16": "grey, 16 bit",
        "RGB": "colour",
        "RGBA": "colour",
        "P": "palette",
        "1": "black and white",
    }
    return f"{file_format} ({words.get(mode, mode)})"


def _build_form(spec: str, found: Survey) -> None:
    with st.form("dataset_build", enter_to_submit=False):
        name = st.text_input("Name of the dataset", _name_of(found.name), max_chars=60, key=f"dataset_name_{spec}")
        population = st.text_input(
            "Who is in these scans?", found.population, key=f"dataset_population_{spec}",
            placeholder="For example: adults, emergency department of one hospital, 2019 to 2024, PA view",
            help="Kept with every model that learns from them, so that whoever reads its answers knows whom it knows.",
        )  # fmt: skip
        licence = st.text_input("Source and licence, if any", found.licence, key=f"dataset_licence_{spec}")
        with st.expander("More settings"):
            size = st.select_slider(
                "Size of the stored scans in pixels", [64, 96, 128, 160, 224, 320, 448], 224,
                help="Scans are squeezed to squares of this side. 224 is usual; more keeps finer detail and takes more disk.",
            )  # fmt: skip
            seed = st.number_input(
                "Seed of the split", 0, 2**31 - 1, 0, help="The same seed draws the same split again."
            )
        if st.form_submit_button("Build the dataset", type="primary", icon=":material/construction:"):
            _start_build(spec, name, population, licence, int(size), int(seed))


def _start_build(spec: str, name: str, population: str, licence: str, size: int, seed: int) -> None:
    with stated_errors():
        out = new_dataset(name)
        arguments = ["build", spec, str(out), "--size", str(size), "--seed", str(seed)]
        arguments += [f"--population={population.strip()}", f"--licence={licence.strip()}"]
        jobs.start(arguments, jobs.build_folder(out), title=out.stem, details={"arguments": arguments})
        st.session_state["dataset_shown"] = str(out)
        st.session_state["dataset_view_wanted"] = LOOK
        st.rerun()


def _name_of(source: str) -> str:
    stem = Path(source).stem.lower()
    return free_name("practice" if stem.startswith("practice") else stem)


if wanted := st.session_state.pop("dataset_view_wanted", None):
    st.session_state["dataset_view"] = wanted
main()
