"""Random variation: off is off, the same chance gives the same, and each setting does what it says, no more."""

import numpy as np
import pytest
import torch

from xrai.training import augmentation
from xrai.training.appearance_transfer import APPEARANCE_TRANSFERS
from xrai.training.augmentation import (
    ERASE_SIDE_RANGE,
    MAX_ASPECT_JITTER,
    MAX_BORDER,
    MAX_NOISE,
    augment,
    augment_batch,
    mixup_batch,
    preview,
)
from xrai.training.config import TrainConfig

SIDE = 64


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n=64, side=SIDE):
    """The same smooth film again and again: a bright blob off the middle, air around."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side),) * 2, indexing="ij")
    blob = torch.exp(-((x - 0.3) ** 2 + (y + 0.2) ** 2) / 0.08)
    return (0.8 * blob).expand(n, 1, side, side).clone()


def noise(n=16, side=SIDE):
    return torch.rand(n, 1, side, side, generator=chance(9))


def middles(greys):
    """Centre of mass of each, (N, 2) in shares of the side."""
    places = torch.linspace(0, 1, greys.shape[-1])
    mass = greys.sum(dim=(1, 2, 3))
    return (
        torch.stack([(greys.sum(dim=3)[:, 0] * places).sum(1), (greys.sum(dim=2)[:, 0] * places).sum(1)], 1)
        / mass[:, None]
    )


class TestAugment:
    def test_off_is_the_same(self):
        greys = noise()
        assert torch.equal(augment(greys, chance(), strength=0, erase_prob=0, hflip=False), greys)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"strength": 2, "hflip": True, "erase_prob": 1},
            {"border_prob": 1},
            {"quality_prob": 1},
            {"appearance_transfer_prob": 1},
            {"aspect_jitter_prob": 1},
        ],
    )
    def test_chance_alone_decides(self, options):
        greys = noise()
        torch.manual_seed(1)
        first = augment(greys, chance(3), **options)
        torch.manual_seed(2)  # no global chance
        assert torch.equal(first, augment(greys, chance(3), **options))
        assert not torch.equal(first, augment(greys, chance(4), **options))

    def test_global_chance_is_left_alone(self):
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        augment(
            noise(),
            chance(),
            hflip=True,
            erase_prob=1,
            border_prob=1,
            quality_prob=1,
            appearance_transfer_prob=1,
            aspect_jitter_prob=1,
        )
        mixup_batch(noise(), torch.eye(16), chance(), 0.2)
        assert torch.equal(torch.rand(3), expected)

    @pytest.mark.parametrize("strength", [0, 0.3, 1, 2])
    @pytest.mark.parametrize("flip", [False, True])
    def test_shape_and_range(self, strength, flip):
        for seed, greys in enumerate((noise(), noise().round(), torch.zeros(4, 1, 32, 32), torch.ones(4, 1, 33, 33))):
            varied = augment(
                greys,
                chance(seed),
                strength=strength,
                erase_prob=0.5,
                hflip=flip,
                border_prob=0.5,
                quality_prob=0.5,
                appearance_transfer_prob=0.5,
            )
            assert varied.shape == greys.shape
            assert varied.dtype == torch.float32
            assert 0 <= float(varied.min()) <= float(varied.max()) <= 1

    def test_the_batch_itself_is_left_alone(self):
        greys = noise()
        before = greys.clone()
        augment(
            greys,
            chance(),
            strength=1,
            erase_prob=1,
            hflip=True,
            border_prob=1,
            quality_prob=1,
            appearance_transfer_prob=1,
            aspect_jitter_prob=1,
        )
        assert torch.equal(greys, before)

    def test_each_scan_is_varied_by_itself(self):
        varied = augment(blobs(8), chance(), strength=1, erase_prob=0)
        assert len({scan.numpy().tobytes() for scan in varied}) == 8

    @pytest.mark.parametrize("n", [1, 2])
    def test_the_smallest_batches(self, n):
        assert (
            augment(noise(n), chance(), strength=1, erase_prob=1, hflip=True, appearance_transfer_prob=1).shape[0] == n
        )

    def test_more_strength_moves_more(self):
        still = middles(blobs(1))
        moved = [
            (middles(augment(blobs(256), chance(), strength=s, erase_prob=0)) - still).norm(dim=1) for s in (0.25, 1, 2)
        ]
        means = [float(item.mean()) for item in moved]
        assert 0 < means[0] < 0.5 * means[1] < 0.7 * means[2]
        assert float(moved[1].max()) < 0.25  # 8 % each way, and 10° and 15 % about the middle

    def test_more_strength_changes_the_exposure_more(self):
        flat = torch.full((256, 1, 32, 32), 0.5)
        spread = [
            float(augment(flat, chance(), strength=s, erase_prob=0)[:, :, 12:20, 12:20].std()) for s in (0.25, 1, 2)
        ]
        assert 0 < spread[0] < spread[1] < spread[2]

    def test_what_moves_in_is_the_scan_mirrored_and_no_bar_tells_how_it_was_moved(self):
        varied = augment(torch.full((64, 1, SIDE, SIDE), 0.8), chance(), strength=2, erase_prob=0, aspect_jitter_prob=1)
        assert float(varied.flatten(1).std(dim=1).max()) < 1e-5  # of one grey before, of one grey after
        ends = torch.linspace(0.2, 0.8, SIDE).expand(64, 1, SIDE, SIDE)
        narrower = augment(ends, chance(), strength=0, erase_prob=0, aspect_jitter_prob=1)[:, 0, 32]
        folded = narrower.diff(dim=1)[:, :4] < 0  # from the left edge inwards it gets darker before it gets brighter
        assert 0.3 < float(folded.any(dim=1).float().mean()) < 0.7

    def test_flip_mirrors_half_left_to_right(self):
        greys = blobs(200)
        varied = augment(greys, chance(), strength=0, erase_prob=0, hflip=True)
        same = (varied - greys).abs().amax(dim=(1, 2, 3)) < 1e-4
        mirrored = (varied - greys.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-4
        assert (same ^ mirrored).all()
        assert 0.35 < float(mirrored.float().mean()) < 0.65

    def test_without_flip_nothing_is_mirrored(self):
        varied = augment(blobs(200), chance(), strength=1, erase_prob=0, hflip=False)
        assert (middles(varied)[:, 1] > 0.5).all()  # the blob lies right of the middle, and stays there

    @pytest.mark.parametrize("share", [0.25, 1])
    def test_stretch_makes_some_wider_and_some_narrower_by_as_much_as_higher(self, share):
        square = torch.zeros(400, 1, SIDE, SIDE)
        square[..., 20:44, 20:44] = 1
        varied = augment(square, chance(), strength=0, erase_prob=0, aspect_jitter_prob=share)[:, 0]
        width, height = varied[:, 32].sum(dim=1), varied[:, :, 32].sum(dim=1)
        changed = (width - 24).abs() > 0.01
        assert abs(float(changed.float().mean()) - share) < 0.07
        ratio = (width / height)[changed].log()
        assert float(ratio.abs().max()) == pytest.approx(np.log(MAX_ASPECT_JITTER), rel=0.05)
        assert abs(float(ratio.mean())) < 0.05
        assert torch.allclose(width * height, torch.tensor(24.0**2), rtol=0.02)

    @pytest.mark.parametrize("share", [0, 0.25, 1])
    def test_erase_hides_a_patch_of_some(self, share):
        greys = noise(400)
        varied = augment(greys, chance(), strength=0, erase_prob=share)
        changed = (varied != greys)[:, 0]
        hidden = changed.any(dim=(1, 2))
        assert abs(float(hidden.float().mean()) - share) < 0.07
        for scan, patch, before in zip(varied[hidden], changed[hidden], greys[hidden], strict=True):
            height, width = int(patch.any(dim=1).sum()), int(patch.any(dim=0).sum())
            assert int(patch.sum()) == height * width  # one rectangle
            assert (
                ERASE_SIDE_RANGE[0] * SIDE - 1
                <= min(height, width)
                <= max(height, width)
                <= ERASE_SIDE_RANGE[1] * SIDE + 1
            )
            assert scan[0][patch].unique().tolist() == pytest.approx([float(before.mean())])

    @pytest.mark.parametrize("share", [0.25, 1])
    def test_border_takes_the_edges_of_some(self, share):
        greys = noise(400)
        varied = augment(greys, chance(), strength=0, erase_prob=0, border_prob=share)
        lost = (varied != greys)[:, 0]
        framed = lost.any(dim=(1, 2))
        assert abs(float(framed.float().mean()) - share) < 0.07
        fills, widths = [], []
        for scan, gone, before in zip(varied[framed], lost[framed], greys[framed], strict=True):
            rows, columns = (~gone.all(dim=axis) for axis in (1, 0))
            kept = rows[:, None] & columns[None]
            assert torch.equal(gone, ~kept)  # what is kept is one rectangle
            assert scan[0][gone].unique().numel() == 1
            fill = float(scan[0][gone][0])
            assert fill in (0, pytest.approx(float(before.mean())))
            fills.append(fill > 0)
            inside = [
                int(place) for item in (rows, columns) for place in (item.int().argmax(), item.flip(0).int().argmax())
            ]
            widths += inside
        assert 0.35 < np.mean(fills) < 0.65
        assert max(widths) <= MAX_BORDER * SIDE + 1
        assert np.mean(widths) == pytest.approx(MAX_BORDER * SIDE / 2, rel=0.15)

    @pytest.mark.parametrize("share", [0.25, 1])
    def test_quality_makes_some_softer_and_some_sharper_and_grainy(self, share):
        greys = blobs(400) + 0.1
        greys[..., 40:, :8] = 0.5  # an edge
        varied = augment(greys, chance(), strength=0, erase_prob=0, quality_prob=share)
        changed = (varied != greys).any(dim=3).any(dim=2)[:, 0]
        assert abs(float(changed.float().mean()) - share) < 0.07
        changes = (varied - greys)[changed]
        flat = changes[:, 0, :10, -10:].std(dim=(1, 2))  # where neither softness nor sharpness shows
        assert float(flat.max()) < 1.3 * MAX_NOISE
        assert float(flat.mean()) == pytest.approx(MAX_NOISE / 2, rel=0.15)
        step = (varied[..., 45:60, 7] - varied[..., 45:60, 8])[changed].mean(dim=(1, 2))
        before = float(greys[0, 0, 45:60, 7].mean() - greys[0, 0, 45:60, 8].mean())
        assert 0.45 < float((step < before).float().mean()) < 0.75  # softer a little more often
        assert float(step.min()) < 0.8 * before < 1.1 * before < float(step.max())

    @pytest.mark.parametrize("share", [0.25, 1])
    def test_borrow_changes_some(self, share):
        greys = noise(400, 32)
        changed = (
            (augment(greys, chance(), strength=0, erase_prob=0, appearance_transfer_prob=share) != greys)
            .any(dim=3)
            .any(dim=2)[:, 0]
        )
        assert abs(float(changed.float().mean()) - (1 - (1 - share) ** 4)) < 0.07

    def test_what_all_have_alike_is_borrowed_without_a_trace(self):
        greys = blobs(16)
        varied = augment(greys, chance(), strength=0, erase_prob=0, appearance_transfer_prob=1)
        assert not torch.equal(varied, greys)
        assert torch.allclose(varied, greys, atol=2e-3)

    def test_greys_are_borrowed_in_part_and_a_border_as_a_whole(self, monkeypatch):
        one_of_each = torch.tensor([0.2, 0.8]).repeat(200).view(-1, 1, 1, 1).expand(400, 1, 32, 32)

        def corners(name):
            monkeypatch.setattr(augmentation, "APPEARANCE_TRANSFERS", {name: APPEARANCE_TRANSFERS[name]})
            return augment(one_of_each, chance(), strength=0, erase_prob=0, appearance_transfer_prob=1)[:, 0, 0, 0]

        whole = corners("border")
        assert ((whole - 0.2).abs().minimum((whole - 0.8).abs()) < 1e-6).all()
        part = corners("greys")
        assert 0.3 < float(((part > 0.25) & (part < 0.75)).float().mean()) < 0.6  # of half the pairs, nine in ten

    def test_a_run_varies_as_its_settings_say(self):
        greys = noise()
        named = {
            "erase_prob": 0.3,
            "hflip": True,
            "border_prob": 0.6,
            "quality_prob": 0.7,
            "appearance_transfer_prob": 0.8,
            "aspect_jitter_prob": 0.9,
        }
        config = TrainConfig(augment_strength=0.5, **named)
        assert torch.equal(augment_batch(greys, chance(1), config), augment(greys, chance(1), strength=0.5, **named))

    def test_any_device(self):
        """On “meta”, which computes nothing, a tensor on the wrong device raises as it would on a graphics card."""
        for device in ("meta", *(["cuda"] if torch.cuda.is_available() else [])):
            greys = noise().to(device)
            varied = augment(
                greys,
                chance(),
                strength=1,
                erase_prob=0.5,
                hflip=True,
                border_prob=0.5,
                quality_prob=0.5,
                appearance_transfer_prob=0.5,
                aspect_jitter_prob=1,
            )
            mixed, targets = mixup_batch(greys, torch.eye(16, device=device), chance(), 0.2)
            assert {varied.device.type, mixed.device.type, targets.device.type} == {device}
            assert varied.shape == mixed.shape == greys.shape


class TestMix:
    @pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0])
    def test_targets_are_mixed_as_the_scans_are(self, alpha):
        """Each scan is painted in its own grey, so that the mixture tells the shares."""
        labels = torch.arange(32) % 3
        targets = torch.nn.functional.one_hot(labels, 3).float()
        greys = labels.float().view(-1, 1, 1, 1).expand(32, 1, 8, 8) / 2
        for seed in range(20):
            mixed, blended = mixup_batch(greys, targets, chance(seed), alpha)
            assert torch.allclose(blended.sum(dim=1), torch.ones(32))
            assert (blended >= 0).all()
            told = blended @ torch.tensor([0, 0.5, 1.0])
            assert torch.allclose(mixed, told.view(-1, 1, 1, 1).expand_as(mixed), atol=1e-6)

    def test_chance_alone_decides(self):
        first, again, other = (mixup_batch(noise(), torch.eye(16), chance(seed), 0.4)[1] for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_a_small_alpha_mixes_little(self):
        def purity(alpha):
            return np.mean(
                [mixup_batch(greys, torch.eye(16), chance(seed), alpha)[1].amax(1).mean() for seed in range(60)]
            )

        greys = noise(16, 4)
        assert purity(0.05) > purity(1.0) + 0.1


@pytest.fixture
def squares():
    return np.random.default_rng(0).integers(0, 256, (5, 96, 96), dtype=np.uint8)


class TestPreview:
    def test_unvaried_is_what_is_seen_at_diagnosis(self, squares):
        config = TrainConfig(image_size=96, mixup_alpha=0.2)
        assert (preview(squares, config, is_augmented=False) == squares).all()
        assert preview(squares, TrainConfig(image_size=48), is_augmented=False).shape == (5, 48, 48)

    def test_varied_by_seed(self, squares):
        first, again, other = (preview(squares, TrainConfig(image_size=64, seed=seed)) for seed in (1, 1, 2))
        assert first.shape == (5, 64, 64)
        assert first.dtype == np.uint8
        assert (first == again).all()
        assert (first != other).any()

    def test_everything_off_changes_nothing(self, squares):
        config = TrainConfig(image_size=96, augment_strength=0, erase_prob=0)
        assert (preview(squares, config) == squares).all()

    def test_mixup_shows(self, squares):
        assert (
            preview(squares, TrainConfig(image_size=96, augment_strength=0, erase_prob=0, mixup_alpha=1.0)) != squares
        ).any()
