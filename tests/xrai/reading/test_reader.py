"""Reading a scan: input check and correction, diagnosis, probability and abstention."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.xrai.reading.reading_models import as_dicom, encoded, film, make_model, noise_image, ready
from xrai.calibration import Calibration, ConformalAbstention
from xrai.core.errors import CheckpointError
from xrai.core.paths import PROJECT_DIR
from xrai.input_check import MIRRORED, InputCheck, apply_correction
from xrai.models.artifacts import save_artifacts
from xrai.models.checkpoint import CARD, open_checkpoint
from xrai.reading.reader import Reader
from xrai.reading.results import Reading, Refusal
from xrai.reading.warnings import MIRRORED_WARNING, NO_INPUT_CHECK
from xrai.scans import read_scan


def test_reading_names_a_class_and_every_probability(reader):
    calls = set()
    for seed in range(12):
        reading = reader.read(read_scan(encoded(film(seed))))
        assert list(reading.probabilities) == ["CLEAR", "OPACITY"]
        assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert reading.diagnosis == ("OPACITY" if reading.probabilities["OPACITY"] >= 0.5 else "CLEAR")
        calls.add(reading.diagnosis)
    assert calls == {"CLEAR", "OPACITY"}


def test_three_classes_go_to_the_likeliest(home):
    reader = Reader.open(make_model(classes=("NORMAL", "COVID", "VIRAL")))
    reading = reader.read(read_scan(encoded(film())))
    assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert reading.diagnosis == max(reading.probabilities, key=reading.probabilities.__getitem__)


def test_an_answer_that_is_no_number_is_said_in_a_sentence(reader):
    """Weights that are finite may still lead to what is no number: the page then showed a bare ValueError."""
    next(item for item in reader.network.modules() if isinstance(item, torch.nn.BatchNorm2d)).running_var.fill_(-1.0)
    with pytest.raises(CheckpointError, match=r"^The model “m” gives no number as its answer, [^\n]*\.$"):
        reader.read(read_scan(encoded(film())))


def test_threshold_decides(reader):
    scan = read_scan(encoded(film()))
    share = reader.read(scan).probabilities["OPACITY"]
    for value, called in ((share - 0.01, "OPACITY"), (share + 0.01, "CLEAR")):
        card = reader.card.replace(threshold={"class_name": "OPACITY", "value": value, "description": "fixed"})
        assert Reader(card, reader.network, reader.artifacts).read(scan).diagnosis == called


def test_reading_is_that_of_the_plain_network(reader):
    scan = read_scan(encoded(film(3)))
    with torch.inference_mode():
        shares = reader.network(reader.card.preprocessing(scan.pixels)).softmax(1)[0]
    assert list(reader.read(scan).probabilities.values()) == pytest.approx(shares.tolist(), abs=1e-5)


def test_jpeg_and_dicom_of_one_film_agree(reader):
    for seed in range(4):
        pixels = film(seed)
        exact, inverted = (read_scan(as_dicom(pixels, name)) for name in ("MONOCHROME2", "MONOCHROME1"))
        np.testing.assert_array_equal(exact.pixels, inverted.pixels)
        jpeg = read_scan(encoded(pixels, "JPEG", quality=97))
        readings = [reader.read(scan) for scan in (exact, inverted, jpeg)]
        shares = [item.probabilities["OPACITY"] for item in readings]
        assert shares[0] == shares[1]
        assert shares[2] == pytest.approx(shares[0], abs=0.03)


def test_a_film_reads_like_its_smaller_copy(reader):
    """224-pixel copies of films are what public sets hold."""
    large = film(1, 512)
    small = np.asarray(Image.fromarray(large).resize((128, 128), Image.Resampling.BILINEAR))
    shares = [reader.read(read_scan(encoded(pixels))).probabilities["OPACITY"] for pixels in (large, small)]
    assert shares[0] == pytest.approx(shares[1], abs=0.02)


def test_one_reader_for_many_threads(reader):
    """Two doctors at once must not swap heatmaps (NOTES)."""
    scans = [read_scan(encoded(film(seed))) for seed in range(6)]

    def read(number):
        scan, name = scans[number % 6], ("CLEAR", "OPACITY")[number % 2]
        return reader.read(scan), reader.heatmap(scan.pixels, name, reader.methods[number % len(reader.methods)])

    alone = [read(number) for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(read, range(12)))
    for (reading, heat), (expected, expected_heat) in zip(together, alone, strict=True):
        assert reading.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        np.testing.assert_allclose(heat, expected_heat, atol=1e-4)


class TestExamine:
    """Check, correct the orientation, read: the one order for the page and the command line."""

    @pytest.fixture
    def scan(self):
        return read_scan(encoded(film(40)))

    @pytest.fixture
    def checking(self, reader, gate):
        return ready(reader, gate)

    @pytest.fixture
    def turned(self, scan):
        return replace(scan, pixels=np.ascontiguousarray(np.rot90(scan.pixels)))

    def test_an_upright_scan_is_read_as_it_is(self, checking, scan):
        reading = checking.examine(scan, correct=True)
        assert isinstance(reading, Reading) and reading.correction == ""
        assert reading.probabilities == checking.read(scan).probabilities

    @pytest.mark.parametrize("source", ["header", "picture"])
    def test_a_mirrored_film_is_uncertain_until_it_is_read_mirrored(self, checking, scan, source, monkeypatch):
        if source == "header":
            mirrored = replace(scan, metadata={"PatientOrientation": "R\\F"})
        else:
            mirrored = replace(scan, pixels=np.ascontiguousarray(scan.pixels[:, ::-1]))
            monkeypatch.setattr(InputCheck, "looks_mirrored", lambda _, pixels: np.array_equal(pixels, mirrored.pixels))
        reading = checking.examine(mirrored)
        assert (reading.is_confident, reading.suggested_correction) == (False, MIRRORED)
        assert reading.warnings[0] == MIRRORED_WARNING
        for correct in (True, MIRRORED):
            corrected = checking.examine(mirrored, correct=correct)
            assert (corrected.correction, corrected.suggested_correction) == (MIRRORED, "")
            assert MIRRORED_WARNING not in corrected.warnings
        if source == "picture":
            assert corrected.probabilities == checking.examine(scan).probabilities

    def test_rows_towards_the_left_are_as_they_should_be(self, checking, scan):
        reading = checking.examine(replace(scan, metadata={"PatientOrientation": "L\\F"}))
        assert reading.suggested_correction == ""

    @pytest.mark.parametrize(
        ("change", "words"),
        [({"pixels": noise_image()}, "does not look like a chest X-ray"), ({"colour": 0.2}, "in colour")],
    )
    def test_other_images_are_refused_without_a_correction(self, checking, scan, change, words):
        refusal = checking.examine(replace(scan, **change), correct=True)
        assert isinstance(refusal, Refusal) and words in refusal.reason
        assert refusal.correction is None and refusal.thumbnail is None

    def test_a_correction_is_offered_with_a_thumbnail(self, checking, scan, turned):
        refusal = checking.examine(turned)
        assert isinstance(refusal, Refusal) and "not upright" in refusal.reason
        np.testing.assert_array_equal(apply_correction(turned.pixels, refusal.correction), scan.pixels)
        np.testing.assert_array_equal(refusal.thumbnail, turned.pixels)
        inverted = checking.examine(replace(scan, pixels=255 - scan.pixels))
        assert isinstance(inverted, Refusal) and "black and white exchanged" in inverted.reason

    def test_an_offered_or_a_named_correction_is_applied(self, checking, scan, turned):
        offered = checking.examine(turned).correction
        for correct in (True, offered):
            reading = checking.examine(turned, correct=correct)
            assert isinstance(reading, Reading) and reading.correction == offered
            assert reading.probabilities == checking.read(scan).probabilities
            assert reading.heatmap("OPACITY").shape == scan.pixels.shape

    def test_after_one_correction_no_other_is_offered(self, checking, turned):
        refusal = checking.examine(turned, correct="turned 180°")
        assert isinstance(refusal, Refusal) and refusal.correction is None

    def test_any_image_is_read_with_the_reason_as_first_warning(self, checking, scan):
        reading = checking.examine(replace(scan, pixels=noise_image()), any_image=True)
        assert isinstance(reading, Reading) and "does not look like a chest X-ray" in reading.warnings[0]

    def test_a_model_of_phantoms_says_that_it_knows_nothing_else(self, checking):
        card = checking.card.replace(dataset={"is_phantom": True})
        refusal = Reader(card, checking.network, checking.artifacts).examine(read_scan(encoded(noise_image())))
        assert isinstance(refusal, Refusal) and "choose a model that learned from X-rays" in refusal.reason

    def test_a_model_without_an_input_check_reads_everything_and_says_so(self, reader):
        reading = reader.examine(read_scan(encoded(noise_image())))
        assert isinstance(reading, Reading) and reading.warnings[0] == NO_INPUT_CHECK


def test_an_answer_in_doubt_is_not_sure(reader):
    scan = read_scan(encoded(film()))
    p = reader.read(scan).probabilities["OPACITY"]
    for cut, sure in ((min(p, 1 - p) / 2, False), (0.49, max(p, 1 - p) > 0.51)):
        card = reader.card.replace(
            abstention=ConformalAbstention(alpha=0.05, thresholds=(cut, cut), n_patients=(50, 50))
        )
        assert Reader(card, reader.network).read(scan).is_confident is sure
    assert reader.read(scan).is_confident


def test_probabilities_are_the_calibrated_ones_among_the_readers_own_patients(reader):
    scan = read_scan(encoded(film()))
    p = reader.read(scan).probabilities["OPACITY"]
    odds = p / (1 - p)
    card = reader.card.replace(calibration=Calibration(slope=2.0, offsets=(0.0, 0.0), prevalence=(0.5, 0.5)))
    assert Reader(card, reader.network).read(scan).probabilities["OPACITY"] == pytest.approx(
        odds**2 / (1 + odds**2), abs=1e-5
    )
    card = card.replace(local_prevalence=0.1)
    rarer = Reader(card, reader.network).read(scan)
    assert rarer.probabilities["OPACITY"] == pytest.approx(odds**2 / 9 / (1 + odds**2 / 9), abs=1e-5)
    assert rarer.diagnosis == Reader(card.replace(local_prevalence=None), reader.network).read(scan).diagnosis


def test_a_probability_is_told_in_natural_frequencies(reader):
    scan = read_scan(encoded(film()))
    assert reader.read(scan).frequency == ""  # nobody knows what an uncalibrated one means
    card = reader.card.replace(calibration=Calibration(slope=1.0, offsets=(0.0, 0.0), prevalence=(0.5, 0.5)))
    card = card.replace(dataset={"population": "children of one hospital"})
    found = Reader(card, reader.network).read(scan)
    count = round(100 * found.probabilities["OPACITY"])
    assert (
        found.frequency
        == f"Of 100 children like this, about {count} have opacity, where 50 of 100 who are X-rayed have it."
    )
    rarer = Reader(card.replace(local_prevalence=0.1), reader.network).read(scan)
    assert rarer.frequency.endswith("where 10 of 100 who are X-rayed have it.")
    drawn = card.replace(dataset={"is_phantom": True})
    assert Reader(drawn, reader.network).read(scan).frequency == ""


def test_artifacts_of_another_network_are_refused(home, reader, gate):
    artifacts = ready(reader, gate).artifacts
    model = make_model("other", network="convnet")
    save_artifacts(model, artifacts, model.weights_sha256())
    with pytest.raises(CheckpointError, match=r"artifacts\.safetensors"):
        Reader.open(model)


def test_artifacts_are_read_back(home, reader, gate):
    model = open_checkpoint("m")
    save_artifacts(model, ready(reader, gate).artifacts, model.weights_sha256())
    again, scan = Reader.open(model), read_scan(encoded(film(3)))
    assert NO_INPUT_CHECK not in again.read(scan).warnings
    assert again.read(scan).find_similar(1)[0].row == 3
    assert isinstance(again.examine(scan), Reading)


def test_only_methods_whose_colours_are_anchored_are_offered(home):
    checkpoint = make_model()
    values = json.loads((checkpoint.folder / CARD).read_text())
    (checkpoint.folder / CARD).write_text(
        json.dumps(values | {"heatmap_scale": {"Grad-CAM": values["heatmap_scale"]["CAM"]}})
    )
    reader = Reader.open(checkpoint)
    assert reader.methods == ("Grad-CAM",)


def test_a_card_without_anchors_is_refused(home):
    checkpoint = make_model()
    values = json.loads((checkpoint.folder / CARD).read_text())
    (checkpoint.folder / CARD).write_text(
        json.dumps(values | {"heatmap_scale": {"another": values["heatmap_scale"]["CAM"]}})
    )
    with pytest.raises(CheckpointError, match="how strong a heatmap"):
        Reader.open(checkpoint)


@pytest.mark.real
def test_the_model_in_the_box_on_real_scans(home, real_data):
    shipped = PROJECT_DIR / "checkpoints" / "pneumonia"
    if not (shipped / CARD).is_file():
        pytest.skip("there is no model in checkpoints/pneumonia yet")
    checkpoint = open_checkpoint("pneumonia")
    shutil.copytree(shipped, checkpoint.folder, ignore=shutil.ignore_patterns("state"))
    reader = Reader.open(checkpoint)
    folder = real_data / "datasets" / "originals"
    files = sorted(item for item in folder.rglob("*") if item.suffix.lower() in (".jpg", ".jpeg", ".png"))[::12]
    assert files
    copies = {item.name: item for item in (real_data / "datasets" / "chest_xray" / "train").rglob("*.jpeg")}
    for file in files:
        scan = read_scan(file)
        reading = reader.read(scan)
        assert set(reading.probabilities) == {"NORMAL", "PNEUMONIA"}
        assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert reading.heatmap(reading.diagnosis).shape == scan.pixels.shape
        copy = reader.read(read_scan(copies[file.name]))
        assert copy.probabilities["PNEUMONIA"] == pytest.approx(reading.probabilities["PNEUMONIA"], abs=0.15)
    for file in sorted((real_data / "samples" / "dicom_chest").iterdir()):
        if file.suffix == ".dcm":
            assert reader.read(read_scan(file)).diagnosis in ("NORMAL", "PNEUMONIA")
