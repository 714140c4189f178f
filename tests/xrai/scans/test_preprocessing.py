"""The way from pixels to what a network sees: its steps, their order, and that a film reads like its small copy."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from xrai.scans import read_scan
from xrai.scans.phantoms import draw_thorax
from xrai.scans.preprocessing import Preprocessing, to_grey_tensor, to_square

CHESSBOARD = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def thorax():
    return draw_thorax(np.random.default_rng(0), opacity=True, size=512).copy()


class TestToSquare:
    @pytest.mark.parametrize("shape", [(64, 64), (64, 2000), (2000, 64), (37, 111), (224, 223)])
    def test_shape(self, shape):
        square = to_square(np.full(shape, 77, np.uint8), 224)
        assert square.shape == (224, 224)
        assert square.dtype == np.uint8
        assert (square == 77).all()

    def test_the_size_itself_is_left_as_it_is(self, thorax):
        assert (to_square(thorax, 512) == thorax).all()

    def test_fine_patterns_become_grey_and_no_moire(self):
        assert np.abs(to_square(CHESSBOARD, 100).astype(int) - 127).max() <= 8

    def test_what_is_left_stays_left(self):
        pixels = np.zeros((100, 300), np.uint8)
        pixels[:50, :150] = 255
        square = to_square(pixels, 60).astype(int)
        assert (square[:29, :29] == 255).all()
        assert (square[31:] == 0).all()
        assert (square[:, 31:] == 0).all()

    def test_it_can_become_a_tensor_without_a_warning(self, thorax):
        torch.from_numpy(to_square(thorax, 100))[0, 0] = 1


class TestToGreys:
    def test_range_and_shape(self):
        squares = torch.tensor([[[0, 255], [51, 102]]], dtype=torch.uint8)
        greys = to_grey_tensor(squares, 2)
        assert greys.shape == (1, 1, 2, 2)
        assert greys.dtype == torch.float32
        assert greys.flatten().tolist() == pytest.approx([0, 1, 0.2, 0.4])

    @pytest.mark.parametrize("size", [32, 100, 511, 512, 700])
    def test_every_size_stays_in_range(self, size):
        noise = torch.randint(0, 256, (3, 512, 512), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        greys = to_grey_tensor(noise, size)
        assert greys.shape == (3, 1, size, size)
        assert 0 <= float(greys.min()) <= float(greys.max()) <= 1

    def test_shrinking_is_antialiased(self):
        greys = to_grey_tensor(torch.from_numpy(CHESSBOARD)[None], 100)
        assert float((greys - 0.5).abs().max()) < 0.03

    def test_as_pillow_does_it(self, thorax):
        ours = to_grey_tensor(torch.from_numpy(thorax)[None], 128)[0, 0].numpy() * 255
        pillows = np.asarray(Image.fromarray(thorax).resize((128, 128), Image.Resampling.BILINEAR))
        assert np.abs(ours - pillows).max() < 1.5

    def test_scans_do_not_touch_each_other(self, thorax):
        squares = torch.from_numpy(np.stack([thorax, np.zeros_like(thorax), thorax.T.copy()]))
        together = to_grey_tensor(squares, 64)
        assert torch.equal(together, torch.cat([to_grey_tensor(square[None], 64) for square in squares]))


class TestPreprocessing:
    def test_order(self, thorax):
        """Squeezed to the stored size, rounded as the dataset does, brought to the input size, then standardised."""
        steps = Preprocessing(stored_size=96, input_size=64, mean=0.4, std=0.25)
        square = to_square(thorax, 96)
        expected = (to_grey_tensor(torch.from_numpy(square)[None], 64) - 0.4) / 0.25
        assert torch.equal(steps(thorax), expected)
        assert steps(thorax).shape == (1, 1, 64, 64)
        at_once = (to_grey_tensor(torch.from_numpy(to_square(thorax, 64))[None], 64) - 0.4) / 0.25
        assert not torch.allclose(steps(thorax), at_once, atol=1e-3)

    def test_a_scan_is_seen_as_in_training(self, dataset, drawings):
        steps = Preprocessing(dataset.size, 48, 0.5, 0.2)
        rows = [0, 7, len(dataset) - 1]
        in_training = steps.standardise(to_grey_tensor(torch.from_numpy(dataset.images(rows)), 48))
        at_diagnosis = torch.cat([steps(read_scan(drawings / dataset.files[row]).pixels) for row in rows])
        assert torch.equal(in_training, at_diagnosis)

    @pytest.mark.parametrize("stored_size", [512, 100])
    def test_pixels_that_may_not_be_changed_are_seen_without_a_warning(self, thorax, stored_size):
        closed = thorax.copy()
        closed.flags.writeable = False
        steps = Preprocessing(stored_size, 64, 0.5, 0.2)
        assert torch.equal(steps(closed), steps(thorax))

    def test_standardised(self, thorax):
        greys = to_grey_tensor(torch.from_numpy(thorax)[None], 128)
        steps = Preprocessing(512, 128, float(greys.mean()), float(greys.std()))
        seen = steps(thorax)
        assert abs(float(seen.mean())) < 1e-4
        assert abs(float(seen.std()) - 1) < 1e-4

    @pytest.mark.parametrize(("contrast", "brightness"), [(0.4, 0.0), (0.5, 0.3), (1.0, 0.0)])
    def test_with_each_scans_own_greys_exposure_makes_no_difference(self, thorax, contrast, brightness):
        greys = to_grey_tensor(torch.from_numpy(thorax)[None], 64)
        steps = Preprocessing(512, 64, 0.9, 0.01, per_scan=True)
        seen = steps.standardise(torch.cat([greys * contrast + brightness, greys, torch.zeros_like(greys)]))
        assert torch.allclose(seen[0], seen[1], atol=1e-4)
        assert abs(float(seen[1].mean())) < 1e-4
        assert abs(float(seen[1].std()) - 1) < 1e-4

    def test_the_noise_of_a_blank_scan_is_not_blown_up(self):
        noise = 0.5 + 0.001 * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
        seen = Preprocessing(32, 32, 0.5, 0.2, per_scan=True).standardise(torch.cat([noise, torch.zeros(1, 1, 32, 32)]))
        assert float(seen.abs().max()) < 0.2

    @pytest.mark.parametrize("per_scan", [False, True])
    def test_round_trip_through_json(self, per_scan):
        steps = Preprocessing(224, 160, 0.4823, 0.2361, per_scan)
        assert Preprocessing.from_dict(json.loads(json.dumps(steps.to_dict()))) == steps

    @pytest.mark.parametrize("missing", ["stored_size", "input_size", "mean", "std"])
    def test_nothing_may_be_missing(self, missing):
        values = Preprocessing(224, 160, 0.4823, 0.2361).to_dict()
        del values[missing]
        with pytest.raises(KeyError, match=missing):
            Preprocessing.from_dict(values)


@pytest.mark.real
def test_a_film_and_its_small_copy_look_nearly_the_same(real_data):
    """In units of the grey values' spread, where two films of different patients are about 1 apart."""
    steps = Preprocessing(224, 128, 0.48, 0.24)
    films = sorted((real_data / "datasets" / "originals").rglob("*.jpeg"))
    copies = {file.name: file for file in (real_data / "datasets" / "chest_xray" / "train").rglob("*.jpeg")}
    assert len(films) == 100
    seen = [[steps(read_scan(file).pixels) for file in (film, copies[film.name])] for film in films[::4]]
    apart = [float((film - copy).abs().mean()) for film, copy in seen]
    assert max(apart) < 0.1
    assert np.mean(apart) < 0.04
    strangers = [float((seen[i][0] - seen[i - 1][0]).abs().mean()) for i in range(len(seen))]
    assert min(strangers) > 3 * max(apart)
