"""The dataset page in French, in each of its states: nothing that it says is left in English."""

import io
import re
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from tests.languages import find_untranslated, open_in_french, visible_texts
from xrai.cli import main
from xrai.core import jobs
from xrai.core.json_files import append_record, write_json
from xrai.core.language import say, translate, use_language
from xrai.core.paths import data_dir, inbox_dir
from xrai.data.audit import audit_file, load_audit, run_audit, save_audit
from xrai.data.audit.dataset_pass import run_dataset_pass
from xrai.data.audit.image_quality import check_image_quality
from xrai.data.audit.outliers import _outlier_finding as odd
from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.jobs import audit_folder, audit_title, build_folder, download_folder, download_title
from xrai.data.sources import KAGGLE_PREFIX, KAGGLE_SETS, SPLITS, open_source
from xrai.scans.phantoms import draw_thorax

SIDE = 96
NAMES = [*SPLITS, "Opacity", "CLEAR", "OPACITY", "NORMAL", "PNEUMONIA"]
"""Of folders and classes, as people gave them."""


@pytest.fixture(autouse=True)
def spoken():
    """The test runner tells a choice by its label, and asks for that outside the page."""
    with use_language("fr"):
        yield


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """A dataset with something of everything that is noted or found, and its audit beside it."""
    folder = tmp_path_factory.mktemp("troubled")
    for place, pixels in planted().items():
        file = folder / "ward" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(coded(pixels))
    (folder / "ward/train/NORMAL/zz.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    (folder / "ward/train/notes.txt").write_text("A note.")
    with open_source(folder / "ward") as source:
        assert build_dataset(source, folder / "ward.hdf5", BuildConfig(size=SIDE))
    with open_dataset(folder / "ward.hdf5") as dataset:
        save_audit(run_audit(dataset), dataset.path)
    return folder / "ward.hdf5"


def planted():
    """Films by their place: 40 of as many patients, of which one is in training and test, and copies and bad ones."""
    films = [draw_thorax(np.random.default_rng(seed), opacity=seed % 2 == 1, size=SIDE) for seed in range(44)]
    found = {
        f"{'test' if n % 5 == 4 else 'train'}/{('NORMAL', 'PNEUMONIA')[n % 2]}/patient{n:04}_1.png": pixels
        for n, pixels in enumerate(films[:40])
    }
    found["test/NORMAL/copy.png"] = films[20]
    found["test/NORMAL/darker.png"] = (255 * (films[22] / 255.0) ** 1.7).astype(np.uint8)
    found["train/PNEUMONIA/disputed.png"] = films[2]
    found["train/NORMAL/patient0004_2.png"] = films[40]
    found["train/NORMAL/blank.png"] = np.full((SIDE, SIDE), 9, np.uint8)
    found["train/NORMAL/inverted.png"] = 255 - films[41]
    found["train/PNEUMONIA/turned.png"] = np.rot90(films[42], 2)
    found["train/PNEUMONIA/framed.png"] = np.pad(films[43], 40)
    return found


def coded(pixels):
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def ward(home, troubled):
    """The dataset with trouble and its audit in this home."""
    shutil.copy(troubled, data_dir() / "ward.hdf5")
    shutil.copy(audit_file(troubled), data_dir() / "ward.audit.json")
    return data_dir() / "ward.hdf5"


def opened(**state):
    app = open_in_french(state).run()
    app.switch_page("pages/lab/dataset/page.py").run()
    return checked(app)


def checked(app, *names):
    """The app, whose page is in French."""
    assert not app.exception
    assert not find_untranslated(visible_texts(app), [*NAMES, *names])
    return app


def said(app):
    """All that is shown, with spaces that may break."""
    return re.sub(r"[\u00a0\u202f]", " ", "\n".join(visible_texts(app)).replace("\\", ""))


def choose(app, kind):
    app.radio(key="dataset_kind").set_value(kind).run()
    return app


def note_job(folder, status, **more):
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / jobs.JOB_FILE, {"status": status, "title": folder.name, "time": time.time()} | more)
    return folder


# --- building ---------------------------------------------------------------------------------------------------------


def test_an_empty_home_offers_the_drawings(home):
    app = opened()
    assert "3. Construire le jeu de données" in said(app)
    assert "Sans opacité" in said(app)
    assert app.text_input(key="dataset_population_phantoms").value.startswith("dessins, aucun patient")


def test_an_empty_inbox(home):
    app = checked(choose(opened(), "A folder or zip on this computer"), str(inbox_dir()))
    assert "boîte de réception est encore vide" in said(app)


def test_a_folder_with_notes_and_a_file_that_cannot_be_read(home, troubled):
    shutil.copytree(troubled.parent / "ward", inbox_dir() / "ward")
    app = checked(choose(opened(), "A folder or zip on this computer"), str(inbox_dir()), "notes.txt")
    assert "Autres fichiers laissés de côté : 1." in said(app)
    assert "zz.png ne peut pas être lu" in said(app)
    assert "niveaux de gris" in said(app)


def test_a_folder_of_one_class(home, write_scan):
    write_scan(inbox_dir() / "ward" / "NORMAL" / "a.png")
    app = checked(choose(opened(), "A folder or zip on this computer"), str(inbox_dir()))
    assert "seulement la classe « NORMAL »" in said(app)


def test_an_upload_that_is_no_zip(home):
    app = checked(choose(opened(), "Upload a zip"))
    app.file_uploader[0].upload("x.zip", b"not a zip", "application/zip").run()
    assert "n'est pas une archive zip lisible" in said(checked(app))


@pytest.mark.parametrize("chosen", KAGGLE_SETS)
def test_kaggle(home, chosen):
    app = choose(opened(), "Kaggle")
    app.radio(key="dataset_kaggle").set_value(chosen.handle).run()
    checked(app, chosen.handle, "Guangzhou Women and Children's Medical Center")
    note_job(
        download_folder(KAGGLE_PREFIX + chosen.handle),
        "starting",
        title=download_title(KAGGLE_PREFIX + chosen.handle),
        details={"arguments": ["inspect", KAGGLE_PREFIX + chosen.handle]},
    )
    assert f"En cours : Téléchargement de {chosen.handle}" in said(checked(app.run(), chosen.handle))


def test_what_a_source_says_of_itself_is_kept_in_its_own_words(home, monkeypatch):
    calls = []
    monkeypatch.setattr(jobs, "start", lambda arguments, folder, **more: calls.append(arguments))
    app = opened()
    app.text_input(key="dataset_licence_phantoms").input("dessins à nous")
    next(item for item in app.button if item.label == "Construire le jeu de données").click().run()
    assert not app.exception
    assert "--population=drawings, no patients and no medical meaning" in calls[0]
    assert "--licence=dessins à nous" in calls[0]


@pytest.mark.parametrize("name", ["ward", "CON"])
def test_a_name_that_is_taken_or_none(ward, name):
    app = opened(dataset_view="Build a new dataset")
    app.text_input(key="dataset_name_phantoms").input(name)
    next(item for item in app.button if item.label == "Construire le jeu de données").click().run()
    assert f"« {name} »" in said(checked(app))


@pytest.mark.parametrize("skipped", [0, 3])
def test_a_build_under_way(home, skipped):
    folder = note_job(build_folder(data_dir() / "x.hdf5"), "starting")
    checked(opened())
    with jobs.run_job(folder, title="x"):
        append_record(
            folder / jobs.HISTORY_FILE,
            {
                "kind": "progress",
                "done": 1200,
                "total": 5856,
                "skipped": skipped,
                "images_per_second": 99.4,
                "seconds_left": 47.0,
            },
        )
        assert "1 200 clichés sur 5 856" in said(checked(opened()))


@pytest.mark.parametrize("status", ["failed", "interrupted", "stopped"])
def test_a_build_that_came_to_nothing(home, status):
    error = say(
        "Kaggle cannot be reached for {handle}, probably because this machine has no internet: "
        "use a folder, a zip or the practice set, or download it elsewhere and bring it here.",
        handle="a/b",
    )
    noted = {
        "status": "running" if status == "interrupted" else status,
        "error": error,
        "title": download_title("kaggle:a/b"),
    }
    note_job(build_folder(data_dir() / "x.hdf5"), **noted, details={"arguments": ["inspect", "kaggle:a/b"]})
    assert "Téléchargement de a/b" in said(opened())


# --- looking into a dataset -------------------------------------------------------------------------------------------


def test_a_dataset_with_notes_and_skipped_files(ward):
    app = opened(dataset_part="Scans")
    assert "1 fichier n'a pas pu être lu" in said(app)
    assert "Dans la partie test, 1 cliché sur" in said(app)
    assert "Normal, entraînement" in said(app)
    app.selectbox(key="grid_split").select("val").run()
    app.text_input(key="grid_search").input("none such").run()
    assert "Aucun cliché ne convient" in said(checked(app))


def test_deleting_asks_first(ward):
    app = opened()
    next(item for item in app.button if item.label == "Supprimer ce jeu de données").click().run()
    words = [item.value.replace("\\", "") for item in app.markdown] + [item.label for item in app.button]
    assert not find_untranslated(words, [str(inbox_dir())])
    assert "sera supprimé" in "".join(words)


def test_a_dataset_at_work_is_not_deleted(ward):
    note_job(audit_folder(ward), "starting")
    app = opened()
    next(item for item in app.button if item.label == "Supprimer ce jeu de données").click().run()
    next(item for item in app.button if item.label == "Supprimer").click().run()
    assert "en cours de contrôle" in said(checked(app))


def test_a_damaged_dataset(ward):
    ward.write_bytes(ward.read_bytes()[:3000])
    assert "endommagé ou tronqué" in said(opened())


def test_a_switch_of_language_loses_nothing(ward):
    app = opened(dataset_part="Scans")
    app.selectbox(key="grid_class").select("PNEUMONIA").run()
    app.text_input(key="grid_search").input("patient").run()
    app.session_state["language"] = "en"
    app.run()
    assert not app.exception
    assert app.selectbox(key="grid_class").value == "PNEUMONIA"
    assert app.text_input(key="grid_search").value == "patient"


# --- the check --------------------------------------------------------------------------------------------------------


def test_a_dataset_not_checked_yet(ward):
    audit_file(ward).unlink()
    assert "Contrôler ce jeu de données" in said(opened(dataset_part="Check"))


@pytest.mark.parametrize("status", ["failed", "stopped", "running"])
def test_a_check_that_came_to_nothing(ward, status):
    error = say("The dataset {name} may not be read by this account: check its permissions.", name=ward.name)
    note_job(audit_folder(ward), status, error=error, title=audit_title(ward))
    opened(dataset_part="Check")


def test_a_check_under_way_says_what_it_does(ward, monkeypatch):
    heard = []
    with open_dataset(ward) as dataset:
        run_audit(dataset, progress=lambda done, total, what: heard.append(what))
    folder = note_job(audit_folder(ward), "starting")
    checked(opened(dataset_part="Check"))
    with jobs.run_job(folder, title="Audit of ward") as job:
        for what in dict.fromkeys(heard):
            job.emit({"kind": "progress", "done": 1, "total": 2, "what": what})
            app = opened(dataset_part="Check")
            assert what not in app.get("progress")[0].proto.text


def test_everything_that_a_check_found(ward):
    with open_dataset(ward) as dataset:
        found = load_audit(dataset)
    kinds = {finding.kind for finding in found.findings if finding.severity != "fine"}
    assert kinds >= {"conflicting-labels", "exact-duplicates", "near-duplicates", "leaking-patients", "blank-films"}
    seen = {f"check_{found.fingerprint[:12]}_{finding.kind}": True for finding in found.findings}
    app = opened(dataset_part="Check", **seen)
    for finding in found.findings:
        assert finding.title not in said(app)
    assert "Une image, deux étiquettes" in said(app)
    assert "serait retiré" in said(app)


@pytest.mark.parametrize("n", [1, 2])
def test_findings_on_one_film_and_on_several(dataset, n):
    look = run_dataset_pass(dataset, lambda share: None)
    look.quality.contrast[:] = 99
    look.quality.border[:] = 0
    look.quality.contrast[:n], look.quality.border[n : 2 * n] = 0, 0.9
    reasons = dict(enumerate(["turned", "inverted", "unlike the others"][:n]))
    with use_language("fr"):
        for finding in [*check_image_quality(look.quality, is_phantom=False), odd(reasons)]:
            assert not find_untranslated(map(translate, (finding.title, finding.sentence, finding.advice)))


@pytest.mark.parametrize("more", [[], ["--kinds", "exact-duplicates"]])
def test_the_note_of_a_cleaned_copy(ward, home, more):
    arguments = ["clean", str(ward), str(data_dir() / "clean.hdf5"), "--exclude", str(listed(home, ward))]
    assert main([*arguments, *more]) == 0
    with open_dataset(data_dir() / "clean.hdf5") as copy, use_language("fr"):
        assert not find_untranslated([translate(copy.notes[-1])], NAMES)


def listed(home, ward):
    with open_dataset(ward) as dataset:
        (home / "list.txt").write_text(str(dataset.files[0]), encoding="utf-8")
    return home / "list.txt"
