"""The gate before a model, on drawn thoraxes: what it lets through, what it refuses with which sentence, what mends."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from xrai.core.paths import PROJECT_DIR
from xrai.input_check import CORRECTIONS, MIRRORED, InputCheck, apply_correction, fit_input_check, fitting
from xrai.input_check.negatives import SYNTHETIC_NEGATIVES
from xrai.models.artifacts import load_artifacts
from xrai.models.checkpoint import Checkpoint
from xrai.scans import read_scan
from xrai.scans.descriptor import DESCRIPTOR_SIZE, THUMBNAIL_SIDE, compute_descriptors, make_thumbnail
from xrai.scans.phantoms import draw_thorax
from xrai.scans.preprocessing import to_square


def films(n, seed, size=96):
    rng = np.random.default_rng(seed)
    return np.stack([draw_thorax(rng, opacity=bool(i % 2), size=size) for i in range(n)])


def quickly_fitted(squares, patients, scale=1.0, **options):
    """A gate that learned from fewer pictures than in earnest, for drawn films are all alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "_MIN_EFFORT", 1)
        patch.setattr(fitting, "_EPOCHS", 14)
        for name, count in {"_N_AUGMENTED": 1000, "_N_TRANSFORMED": 2000, "_N_SYNTHETIC": 300}.items():
            patch.setattr(fitting, name, int(scale * count))
        return fit_input_check(squares, patients, **options)


@pytest.fixture(scope="module")
def gate():
    """Fitted on thirty films of fifteen patients, as few as a small hospital may bring."""
    return quickly_fitted(films(30, seed=1), np.arange(30) // 2, seed=0)


@pytest.fixture(scope="module")
def unseen():
    return films(40, seed=2, size=128)


def page():
    sheet = np.full((300, 220), 250, np.uint8)
    sheet[20:280:12, 20:200] = 30
    sheet[:, ::17] = 250
    return sheet


def foreign():
    rng = np.random.default_rng(3)
    film = films(1, seed=4, size=128)[0]
    tiles = film.reshape(4, 32, 4, 32).swapaxes(1, 2).reshape(16, 32, 32)[rng.permutation(16)]
    y, x = np.mgrid[-1:1:200j, -1:1:160j]
    return {
        "noise": rng.integers(0, 256, (200, 200), dtype=np.uint8),
        "gradient": np.tile(np.arange(256, dtype=np.uint8), (256, 1)),
        "page": page(),
        "ball": (np.clip(1 - np.hypot(x, y), 0, 1) * 255).astype(np.uint8),
        "shuffled": tiles.reshape(4, 4, 32, 32).swapaxes(1, 2).reshape(128, 128),
        "corner": np.array(Image.fromarray(film[:40, :40]).resize((128, 128))),
    }


def test_films_of_unseen_patients_are_accepted(gate, unseen):
    verdicts = [gate.check(film) for film in unseen]
    assert sum(verdict.is_accepted for verdict in verdicts) >= 39
    assert all(verdict.reason == "" and verdict.correction is None for verdict in verdicts if verdict.is_accepted)
    assert all((verdict.ood_score <= 1) == verdict.is_accepted for verdict in verdicts)


@pytest.mark.parametrize("name", foreign())
def test_what_is_no_chest_film_is_refused(gate, name):
    verdict = gate.check(foreign()[name])
    assert not verdict.is_accepted
    assert verdict.correction is None
    assert "does not look like a chest X-ray" in verdict.reason
    assert 1 < verdict.ood_score <= 2


def test_a_photograph_is_refused_by_its_shapes_and_in_colour_by_its_colours(gate):
    from sklearn.datasets import load_sample_image

    photo = Image.fromarray(load_sample_image("china.jpg"))
    grey = np.array(photo.convert("L"))
    assert "perhaps a photo" in gate.check(grey).reason
    assert "in colour" in gate.check(grey, colour=0.2).reason


def test_a_tint_is_no_reason_to_refuse(gate, unseen):
    assert gate.check(unseen[0], colour=0.02).is_accepted


@pytest.mark.parametrize("mend", CORRECTIONS)
def test_a_film_that_came_wrong_is_offered_mended(gate, unseen, mend):
    turned_back = {"left": "right", "right": "left"}
    spoiling = " ".join(turned_back.get(word, word) for word in mend.split())
    verdicts = [gate.check(apply_correction(film, spoiling)) for film in unseen]
    assert not any(verdict.is_accepted for verdict in verdicts)
    offered = [verdict.correction for verdict in verdicts if verdict.correction]
    assert offered.count(mend) == len(offered) >= 34
    assert all("does not look like" not in verdict.reason for verdict in verdicts if verdict.correction)


@pytest.mark.parametrize("mend", CORRECTIONS)
def test_mending_undoes_what_it_is_called_after(mend):
    film = np.arange(12, dtype=np.uint8).reshape(3, 4)
    changed = apply_correction(film, mend)
    assert changed.dtype == np.uint8
    assert changed.flags.c_contiguous
    turns = {"left": 1, "180°": 2, "right": 3}.get(mend.split()[-1], 0)
    np.testing.assert_array_equal(changed, np.rot90(255 - film if "inverted" in mend else film, turns))


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_picture_of_one_grey_is_blank(gate, grey):
    verdict = gate.check(np.full((100, 80), grey, np.uint8))
    assert not verdict.is_accepted
    assert "nearly all one grey" in verdict.reason


def test_any_shape_is_judged(gate, unseen):
    small = np.array(Image.fromarray(unseen[0]).resize((64, 64), Image.Resampling.BILINEAR))
    assert gate.check(small).is_accepted
    for shape in [(64, 4000), (4000, 64)]:
        assert gate.check(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).reason


def test_brightness_and_contrast_do_not_matter(gate, unseen):
    dim = (unseen[0] * 0.4 + 30).astype(np.uint8)
    assert abs(gate.check(dim).ood_score - gate.check(unseen[0]).ood_score) < 0.1
    numbers = compute_descriptors(np.stack([make_thumbnail(unseen[0]), make_thumbnail(dim)]))
    assert numbers.shape == (2, DESCRIPTOR_SIZE)
    assert np.abs(numbers[0] - numbers[1]).mean() < 0.05


def test_the_same_scans_give_the_same_gate():
    squares, patients = films(3, seed=5), np.zeros(3)
    first, second = (quickly_fitted(squares, patients, scale=0.2, seed=7).to_tensors() for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_single_patient_gives_a_gate():
    one = quickly_fitted(films(2, seed=6), np.zeros(2))
    assert not one.check(page()).is_accepted


def test_a_gate_is_read_back_as_it_was_written(gate, unseen, tmp_path):
    from safetensors.numpy import load_file, save_file

    save_file(gate.to_tensors(), tmp_path / "gate.safetensors")
    assert (tmp_path / "gate.safetensors").stat().st_size < 1_000_000
    again = InputCheck.from_tensors(load_file(tmp_path / "gate.safetensors"))
    assert [again.check(film).ood_score for film in unseen[:5]] == [gate.check(film).ood_score for film in unseen[:5]]


@pytest.mark.parametrize("name", ["mean", "axes", "spread", "beyond", "hidden", "output", "limits"])
def test_damaged_arrays_are_refused(gate, name):
    whole = gate.to_tensors()
    spoiled = whole[name].copy()
    spoiled.flat[0] = np.nan
    bad = [
        {key: value for key, value in whole.items() if key != name},
        {**whole, name: whole[name][:-1]},
        {**whole, name: whole[name][None]},
        {**whole, name: whole[name].astype(np.float64)},
        {**whole, name: whole[name].astype(np.int32)},
        {**whole, name: whole[name][:0]},
        {**whole, name: spoiled},
        {**whole, "another": whole[name]},
    ]
    for tensors in bad:
        with pytest.raises(ValueError, match="input check"):
            InputCheck.from_tensors(tensors)


def test_a_spread_of_nothing_is_refused(gate):
    for name in ("spread", "beyond"):
        with pytest.raises(ValueError, match="do not fit"):
            InputCheck.from_tensors({**gate.to_tensors(), name: np.zeros_like(gate.to_tensors()[name])})


@pytest.mark.parametrize("drawing", dict.fromkeys(SYNTHETIC_NEGATIVES), ids=lambda drawing: drawing.__name__)
def test_drawings_are_thumbnails(drawing):
    shown = [drawing(np.random.default_rng(seed)) for seed in range(20)]
    assert all(picture.shape == (THUMBNAIL_SIDE, THUMBNAIL_SIDE) and picture.dtype == np.uint8 for picture in shown)
    assert len({picture.tobytes() for picture in shown}) > 15


# ---------------------------------------------------------------------------------------------------- real scans


@pytest.fixture(scope="session")
def real_gate(real_data):
    """Fitted on the training films; the patient is the file's name up to the film's own number."""
    files = sorted((real_data / "datasets" / "chest_xray" / "train").rglob("*.jpeg"))
    squares = np.stack([to_square(read_scan(file).pixels, 224) for file in files])
    return fit_input_check(
        squares, np.array([file.stem.rpartition("-")[0] or file.stem.split("_")[0] for file in files])
    )


def lopsided(n):
    """Noise with a bright spot in the right half, where the heart lies."""
    squares = np.random.default_rng(6).integers(0, 120, (n, 64, 64))
    squares[:, 30:50, 36:52] += 100
    return squares.astype(np.uint8)


def with_mirror(gate, squares):
    return replace(gate, mirror=fitting.fit_mirror_detector(squares))


class TestMirrored:
    def test_left_and_right_are_learned_from_the_training_scans(self, gate):
        check, others = with_mirror(gate, lopsided(600)), lopsided(40)
        assert not any(check.looks_mirrored(square) for square in others)
        assert all(check.looks_mirrored(square[:, ::-1]) for square in others)

    def test_a_few_scans_are_too_few_to_doubt_a_film(self, gate):
        check = with_mirror(gate, lopsided(10))
        assert not any(check.looks_mirrored(square[:, ::-1]) for square in lopsided(40))

    def test_the_correction_mirrors_back(self):
        pixels = lopsided(1)[0]
        assert np.array_equal(apply_correction(apply_correction(pixels, MIRRORED), MIRRORED), pixels)
        assert np.array_equal(apply_correction(pixels, MIRRORED), pixels[:, ::-1])


def refused(gate, files):
    scans = {file.name: read_scan(file) for file in files}
    return [name for name, scan in scans.items() if not gate.check(scan.pixels, colour=scan.colour).is_accepted]


@pytest.mark.real
def test_the_official_test_is_let_through(real_gate, real_data):
    files = sorted((real_data / "datasets" / "chest_xray" / "test").rglob("*.jpeg"))
    assert len(files) == 624
    assert len(refused(real_gate, files)) <= 0.005 * len(files)


@pytest.mark.real
def test_the_shipped_check_notices_mirrored_films(real_data):
    checkpoint = Checkpoint(PROJECT_DIR / "checkpoints" / "pneumonia")
    check = load_artifacts(checkpoint, checkpoint.read_card()).input_check
    scans = [read_scan(file).pixels for file in sorted((real_data / "datasets/chest_xray/test").rglob("*.jpeg"))[::4]]
    assert sum(check.looks_mirrored(pixels) for pixels in scans) <= 0.01 * len(scans)
    assert sum(check.looks_mirrored(pixels[:, ::-1]) for pixels in scans) >= 0.85 * len(scans)


@pytest.mark.real
def test_adults_in_dicom_files_are_let_through(real_gate, real_data):
    assert not refused(real_gate, sorted((real_data / "samples" / "dicom_chest").glob("*.dcm")))


@pytest.mark.real
def test_what_is_not_a_frontal_chest_film_is_refused(real_gate, real_data):
    from xrai.core.errors import ScanError

    accepted = []
    for file in sorted((real_data / "samples" / "not_frontal_chest").glob("*/*")):
        try:
            scan = read_scan(file)
        except ScanError:
            continue  # refused before
        if real_gate.check(scan.pixels, colour=scan.colour).is_accepted:
            accepted.append(file.name)
    assert not accepted
