"""The drawn thoraxes: labelled, the same for the same seed, and different by class in the opacity alone."""

import re
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from xrai.core.errors import SettingsError, SourceError
from xrai.scans.phantoms import CLASSES, draw_thorax, write_practice_set


@pytest.fixture(scope="module")
def drawings():
    """Drawings of as many patients, every other one with opacities, as shares of white (N, 96, 96), and labels."""
    rng = np.random.default_rng(7)
    labels = np.arange(500) % 2
    return np.stack([draw_thorax(rng, opacity=bool(k), size=96) for k in labels]) / 255, labels


def separation(measure, labels):
    """AUC, whichever way round the measure points."""
    area = roc_auc_score(labels, measure)
    return max(area, 1 - area)


class TestDrawThorax:
    @pytest.mark.parametrize("size", [48, 101, 256])
    @pytest.mark.parametrize("opacity", [False, True])
    def test_shape_and_range(self, size, opacity):
        drawing = draw_thorax(np.random.default_rng(0), opacity=opacity, size=size)
        assert drawing.shape == (size, size)
        assert drawing.dtype == np.uint8
        assert drawing.min() < 15  # air
        assert drawing.max() > 150

    def test_same_seed_same_pixels(self):
        first, second, other = (draw_thorax(np.random.default_rng(s), opacity=True) for s in (3, 3, 4))
        assert (first == second).all()
        assert (first != other).any()

    @pytest.mark.parametrize("seed", range(8))
    def test_one_seed_with_and_without_opacity_differs_in_the_opacity_alone(self, seed):
        clear, opaque = (draw_thorax(np.random.default_rng(seed), opacity=o).astype(int) for o in (False, True))
        added = opaque - clear
        assert added.min() >= 0
        assert added.max() > 15
        assert 0.002 < (added > 0).mean() < 0.35
        border = np.ones_like(added, dtype=bool)
        border[16:-16, 16:-16] = False
        assert not added[border].any()

    def test_the_same_label_is_burnt_into_a_corner_of_every_drawing(self):
        rng = np.random.default_rng(0)
        drawings = np.stack([draw_thorax(rng, opacity=bool(k % 2)) for k in range(12)])
        label = np.ptp(drawings, axis=0) == 0
        assert label[-20:, -75:].sum() > 150
        assert not label[100:-20].any()

    def test_refuses_a_size_without_room_for_the_label(self):
        with pytest.raises(SettingsError, match="room for its label"):
            draw_thorax(np.random.default_rng(0), opacity=False, size=32)


class TestWhatGivesTheClassAway:
    def test_not_the_brightness(self, drawings):
        pixels, labels = drawings
        assert separation(pixels.mean(axis=(1, 2)), labels) < 0.65
        assert separation(pixels.std(axis=(1, 2)), labels) < 0.65

    def test_not_the_border(self, drawings):
        pixels, labels = drawings
        sides = (pixels[:, :6], pixels[:, -6:], pixels[:, :, :6], pixels[:, :, -6:])
        for side in sides:
            assert separation(side.mean(axis=(1, 2)), labels) < 0.58

    def test_but_the_pixels_do(self, drawings):
        pixels, labels = drawings
        small = pixels.reshape(-1, 24, 4, 24, 4).mean(axis=(2, 4)).reshape(len(labels), -1)
        model = make_pipeline(PCA(60, random_state=0), HistGradientBoostingClassifier(max_iter=40, random_state=0))
        scores = cross_val_predict(model, small, labels, cv=3, method="predict_proba")[:, 1]
        assert roc_auc_score(labels, scores) > 0.62


class TestWritePracticeSet:
    def test_files_patients_and_classes(self, tmp_path):
        n_files = write_practice_set(tmp_path / "practice", n_patients=21, size=48)
        files = sorted((tmp_path / "practice").rglob("*.*"))
        assert len(files) == n_files
        patients = defaultdict(list)
        for file in files:
            assert file.parent.name in CLASSES
            number, film = re.fullmatch(r"patient(\d{4})_(\d)\.png", file.name).groups()
            patients[int(number)].append((file.parent.name, int(film)))
        assert sorted(patients) == list(range(1, 22))
        classes = [{name for name, _ in films} for films in patients.values()]
        assert all(len(names) == 1 for names in classes)
        assert sum(names == {"OPACITY"} for names in classes) in {10, 11}
        assert {len(films) for films in patients.values()} == {1, 2, 3}
        assert all([film for _, film in films] == list(range(1, len(films) + 1)) for films in patients.values())

    def test_files_are_grey_pictures_of_the_size(self, tmp_path):
        write_practice_set(tmp_path, n_patients=2, size=64)
        for file in tmp_path.rglob("*.png"):
            with Image.open(file) as picture:
                assert (picture.mode, picture.size) == ("L", (64, 64))

    def test_same_seed_same_pixels_and_writing_again_is_fine(self, tmp_path):
        def pixels(folder, seed):
            write_practice_set(tmp_path / folder, n_patients=4, seed=seed, size=48)
            files = sorted((tmp_path / folder).rglob("*.png"))
            return {str(f.relative_to(tmp_path / folder)): np.asarray(Image.open(f)).tobytes() for f in files}

        first = pixels("a", 5)
        assert pixels("b", 5) == first == pixels("a", 5)
        assert pixels("c", 6) != first

    def test_films_of_a_patient_resemble_each_other_more_than_those_of_others(self, tmp_path):
        write_practice_set(tmp_path, n_patients=30, size=64)
        names, films = [], []
        for file in sorted((tmp_path / "CLEAR").glob("*.png")):
            film = np.asarray(Image.open(file)).astype(float).ravel()
            names.append(file.name[:11])
            films.append((film - film.mean()) / film.std())
        distance = np.sqrt(((np.array(films)[:, None] - np.array(films)) ** 2).mean(axis=2))
        same = np.array(names)[:, None] == np.array(names)
        assert distance[same & ~np.eye(len(names), dtype=bool)].mean() < distance[~same].mean()

    def test_does_not_mix_drawings_with_other_files(self, tmp_path):
        scan = tmp_path / "CLEAR" / "real.dcm"
        scan.parent.mkdir()
        scan.write_bytes(b"a scan")
        with pytest.raises(SourceError, match="already holds other files"):
            write_practice_set(tmp_path, n_patients=2)
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == [scan]

    def test_states_that_a_folder_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(SourceError, match="cannot be written"):
            write_practice_set(tmp_path / "file", n_patients=2)

    def test_needs_a_patient_of_each_class(self, tmp_path):
        with pytest.raises(SettingsError, match="at least 2 patients"):
            write_practice_set(tmp_path, n_patients=1)
