import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from xrai.calibration import Calibration, ConformalAbstention
from xrai.core.errors import CheckpointError, RefusedError
from xrai.core.paths import PROJECT_DIR
from xrai.data.sources import KAGGLE_SETS
from xrai.explain.cam import compute_cams
from xrai.explain.overlay import draw_overlay, draw_side_by_side
from xrai.explain.similar_cases import fit_neighbour_index
from xrai.input_check import apply_correction
from xrai.models.artifacts import Artifacts, ValidationOutputs, save_artifacts
from xrai.models.checkpoint import CARD, Card, open_checkpoint
from xrai.networks.build import build_network
from xrai.reading.reader import NO_INPUT_CHECK, Reader, save_heatmap
from xrai.scans import read_scan
from xrai.scans.phantoms import draw_thorax
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

VALIDATION = {"n": 20, "accuracy": 0.5, "accuracy_interval": [0.3, 0.7], "auc": None, "auc_interval": None}


def make_model(name="m", network="resnet18", classes=("CLEAR", "OPACITY"), drawings=False):
    """A network that has learned nothing, whose answers differ from scan to scan all the same."""
    config = TrainConfig(network=network, blocks=3, filters=4, image_size=64)
    torch.manual_seed(0)
    built, steps = build_network(config, len(classes)).eval(), Preprocessing(128, 64, 0.4, 0.2)
    head = built.head if isinstance(built.head, torch.nn.Linear) else built.head[-1]
    with torch.no_grad():  # the answers on the drawn films are spread out round “undecided”
        logits = built(torch.cat([steps(film(seed)) for seed in range(8)]))
        spread = (logits[:, 1] - logits[:, 0]).std()
        head.weight.div_(spread)
        head.bias.copy_((head.bias - logits.mean(0)) / spread)
    checkpoint = open_checkpoint(name)
    checkpoint.folder.mkdir()
    checkpoint.save_network(built)
    methods = ("CAM", "Grad-CAM") if network != "convnet" else ("HiResCAM", "Grad-CAM")
    checkpoint.write_card(
        Card(
            name=name,
            created="2026-11-21",
            classes=classes,
            network=config.network_config,
            preprocessing=steps,
            dataset={"name": "d", "drawings": drawings},
            threshold={"class": classes[1], "value": 0.5, "chosen": "in a test"} if len(classes) == 2 else None,
            training={"best_epoch": 1, "settings": config.to_dict()},
            validation=VALIDATION,
            heatmap={method: {name: 2.0 + i for i, name in enumerate(classes)} for method in methods},
            versions={},
        )
    )
    return checkpoint


@pytest.fixture
def reader(home):
    return Reader.open(make_model())


def ready(reader, gate):
    """With all that a training leaves beside the weights."""
    scans = [read_scan(encoded(film(seed))) for seed in range(24)]
    inputs = torch.cat([reader.card.preprocessing(scan.pixels) for scan in scans])
    with torch.inference_mode():
        logits, vectors = (item.numpy() for item in reader.network.answer(inputs))
    labels = np.arange(24) % 2
    neighbours = fit_neighbour_index(vectors, labels, np.arange(24), [f"p{i}" for i in range(24)])
    return Reader(
        reader.card,
        reader.network,
        Artifacts(gate, neighbours, ValidationOutputs(logits, logits[None], labels, labels)),
    )


def film(seed=0, size=256):
    return draw_thorax(np.random.default_rng(seed), opacity=bool(seed % 2), size=size)


def encoded(pixels, form="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def as_dicom(pixels, photometric="MONOCHROME2"):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = uid.ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    ds = Dataset()
    ds.file_meta, ds.preamble = meta, b"\0" * 128
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, "CR"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *pixels.shape, 1, photometric
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    stored = 255 - pixels if photometric == "MONOCHROME1" else pixels
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OB"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


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
        card = replace(reader.card, threshold={"class": "OPACITY", "value": value})
        assert Reader(card, reader.network, reader.artifacts).read(scan).diagnosis == called


def test_reading_is_that_of_the_plain_network(reader):
    scan = read_scan(encoded(film(3)))
    with torch.inference_mode():
        shares = reader.network(reader.card.preprocessing(scan.pixels)).softmax(1)[0]
    assert list(reader.read(scan).probabilities.values()) == pytest.approx(shares.tolist(), abs=1e-5)


@pytest.mark.parametrize("network", ["resnet18", "convnet"])
def test_heatmap_lies_over_the_scan(home, network):
    reader = Reader.open(make_model(network=network))
    scan = read_scan(encoded(film()[:200]))
    for method in reader.methods:
        heat = reader.heatmap(scan, "OPACITY", method)
        assert heat.shape == scan.pixels.shape == (200, 256)
        assert heat.dtype == np.float32
        assert 0 <= heat.min() <= heat.max() <= 1
    np.testing.assert_array_equal(reader.heatmap(scan, "OPACITY"), reader.heatmap(scan, "OPACITY", reader.methods[0]))


@pytest.mark.parametrize("classes", [("CLEAR", "OPACITY"), ("CLEAR", "OPACITY", "OTHER")])
@pytest.mark.parametrize("first", ["Fused CAM", "CAM", "HiResCAM"])
def test_what_a_reading_found_is_not_looked_for_again(home, monkeypatch, first, classes):
    opened = Reader.open(make_model(network="convnet" if first == "HiResCAM" else "resnet18", classes=classes))
    anchors = {method: dict.fromkeys(classes, 0.5) for method in (first, "Grad-CAM")}
    reader = Reader(replace(opened.card, heatmap=anchors), opened.network)
    assert reader.methods == (first, "Grad-CAM")
    scan, looked = read_scan(encoded(film())), []
    reading = reader.read(scan)
    afresh = {(name, method): reader.heatmap(scan, name, method) for name in classes for method in reader.methods}
    assert max(heat.max() for heat in afresh.values()) > 0

    def counted(network, inputs, labels, method):
        looked.append((classes[labels[0]], method))
        return compute_cams(network, inputs, labels, method)

    monkeypatch.setattr("xrai.reading.reader.compute_cams", counted)
    for (name, method), heat in afresh.items():
        np.testing.assert_allclose(reader.heatmap(scan, name, method, reading=reading), heat, atol=1e-5)
    known = [reading.diagnosis] if len(classes) == 3 else classes
    assert looked == [item for item in afresh if item[1] != first or item[0] not in known]
    looked.clear()
    _, mask, _ = reader.read_occluded(scan, reading.diagnosis, reading)
    assert looked == [(looked[0][0], first)]  # of the scan that is read again
    np.testing.assert_array_equal(mask, reader.read_occluded(scan, reading.diagnosis)[1])


def test_heatmap_is_weaker_the_more_evidence_full_colour_stands_for(reader):
    scan = read_scan(encoded(film()))
    name = max(reader.card.classes, key=lambda item: reader.heatmap(scan, item).max())
    found = reader.heatmap(scan, name)
    assert found.max() > 0
    anchors = {method: dict.fromkeys(reader.card.classes, 1e4) for method in reader.methods}
    weaker = Reader(replace(reader.card, heatmap=anchors), reader.network).heatmap(scan, name)
    assert 0 < weaker.max() < 0.1 * found.max()


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
        return reader.read(scan), reader.heatmap(scan, name, reader.methods[number % len(reader.methods)])

    alone = [read(number) for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(read, range(12)))
    for (reading, heat), (expected, expected_heat) in zip(together, alone, strict=True):
        assert reading.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        np.testing.assert_allclose(heat, expected_heat, atol=1e-4)


def test_what_is_no_upright_film_is_refused_or_offered_mended(reader, gate):
    reader = ready(reader, gate)
    scan = read_scan(encoded(film(40)))
    reader.check(scan)
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    with pytest.raises(RefusedError, match="does not look like a chest X-ray") as refused:
        reader.check(replace(scan, pixels=noise))
    assert refused.value.correction is None
    with pytest.raises(RefusedError, match="not upright") as refused:
        reader.check(replace(scan, pixels=np.ascontiguousarray(np.rot90(scan.pixels))))
    np.testing.assert_array_equal(apply_correction(np.rot90(scan.pixels), refused.value.correction), scan.pixels)
    with pytest.raises(RefusedError, match="black and white exchanged"):
        reader.check(replace(scan, pixels=255 - scan.pixels))
    with pytest.raises(RefusedError, match="in colour"):
        reader.check(replace(scan, colour=0.2))


def test_a_model_of_drawings_says_that_it_knows_nothing_else(reader, gate):
    drawn = ready(reader, gate)
    drawn = Reader(replace(drawn.card, dataset={"drawings": True}), drawn.network, drawn.artifacts)
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    with pytest.raises(RefusedError, match="choose a model that learned from X-rays"):
        drawn.check(read_scan(encoded(noise)))


def test_a_patient_outside_the_population_is_not_counted_among_it(reader):
    card = replace(reader.card, calibration=Calibration(1.0, (0.0, 0.0), (0.5, 0.5)))
    card = replace(card, dataset={"population": "children of one hospital"})
    scan = read_scan(encoded(film()))
    assert "children like this" in Reader(card, reader.network).read(scan).frequency
    assert Reader(card, reader.network).read(replace(scan, metadata={"PatientAge": "047Y"})).frequency == ""


def test_a_model_without_a_gate_says_so(reader):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    scan = read_scan(encoded(noise))
    reader.check(scan)
    assert reader.read(scan).warnings[0] == NO_INPUT_CHECK


def test_an_answer_in_doubt_is_not_sure(reader):
    scan = read_scan(encoded(film()))
    p = reader.read(scan).probabilities["OPACITY"]
    for cut, sure in ((min(p, 1 - p) / 2, False), (0.49, max(p, 1 - p) > 0.51)):
        card = replace(reader.card, doubt=ConformalAbstention(0.05, (cut, cut), (50, 50)))
        assert Reader(card, reader.network).read(scan).is_confident is sure
    assert reader.read(scan).is_confident


def test_probabilities_are_the_calibrated_ones_among_the_readers_own_patients(reader):
    scan = read_scan(encoded(film()))
    p = reader.read(scan).probabilities["OPACITY"]
    odds = p / (1 - p)
    card = replace(reader.card, calibration=Calibration(2.0, (0.0, 0.0), (0.5, 0.5)))
    assert Reader(card, reader.network).read(scan).probabilities["OPACITY"] == pytest.approx(
        odds**2 / (1 + odds**2), abs=1e-5
    )
    card = replace(card, prevalence=0.1)
    rarer = Reader(card, reader.network).read(scan)
    assert rarer.probabilities["OPACITY"] == pytest.approx(odds**2 / 9 / (1 + odds**2 / 9), abs=1e-5)
    assert rarer.diagnosis == Reader(replace(card, prevalence=None), reader.network).read(scan).diagnosis


def test_a_probability_is_told_in_natural_frequencies(reader):
    scan = read_scan(encoded(film()))
    assert reader.read(scan).frequency == ""  # nobody knows what an uncalibrated one means
    card = replace(reader.card, calibration=Calibration(1.0, (0.0, 0.0), (0.5, 0.5)))
    card = replace(card, dataset={"population": "children of one hospital"})
    found = Reader(card, reader.network).read(scan)
    count = round(100 * found.probabilities["OPACITY"])
    assert (
        found.frequency
        == f"Of 100 children like this, about {count} have opacity, where 50 of 100 who are X-rayed have it."
    )
    rarer = Reader(replace(card, prevalence=0.1), reader.network).read(scan)
    assert rarer.frequency.endswith("where 10 of 100 who are X-rayed have it.")
    drawn = replace(card, dataset={"drawings": True})
    assert Reader(drawn, reader.network).read(scan).frequency == ""


def test_similar_cases_are_training_scans_with_their_labels(reader, gate):
    assert reader.find_similar(read_scan(encoded(film(3)))) == []
    cases = ready(reader, gate).find_similar(read_scan(encoded(film(3))), 4)
    assert cases[0].row == 3 and cases[0].class_name == "OPACITY" and cases[0].similarity > 0.99
    assert len({case.row for case in cases}) == 4


def test_without_its_hot_area_a_scan_is_read_again(reader):
    scan = read_scan(encoded(film(1)))
    pixels, mask, again = reader.read_occluded(scan, "OPACITY")
    assert pixels.shape == scan.pixels.shape and 0 < mask.mean() <= 0.16
    np.testing.assert_array_equal(pixels[~mask], scan.pixels[~mask])
    assert again.probabilities["OPACITY"] != reader.read(scan).probabilities["OPACITY"]


def test_heat_at_the_border_raises_an_alarm():
    pixels = film()
    heat = np.zeros(pixels.shape, np.float32)
    assert not Reader.is_outside_body(pixels, heat)
    heat[:20] = 1
    assert Reader.is_outside_body(pixels, heat)
    heat = np.zeros(pixels.shape, np.float32)
    heat[100:150, 60:110] = 1
    assert not Reader.is_outside_body(pixels, heat)


def test_a_kit_of_another_network_is_refused(home, reader, gate):
    kit = ready(reader, gate).artifacts
    model = make_model("other", network="convnet")
    save_artifacts(model, kit, model.weights_sha256())
    with pytest.raises(CheckpointError, match=r"kit\.safetensors"):
        Reader.open(model)


def test_a_kit_is_read_back(home, reader, gate):
    model = open_checkpoint("m")
    save_artifacts(model, ready(reader, gate).artifacts, model.weights_sha256())
    again, scan = Reader.open(model), read_scan(encoded(film(3)))
    assert NO_INPUT_CHECK not in again.read(scan).warnings
    assert again.find_similar(scan, 1)[0].row == 3
    again.check(scan)


def test_warnings(home, gate):
    reader = ready(Reader.open(make_model(drawings=True)), gate)
    (warning,) = reader.read(read_scan(encoded(film()))).warnings
    assert "drawings" in warning
    reader = ready(Reader.open(make_model("small")), gate)
    assert reader.read(read_scan(encoded(film()))).warnings == ()
    card = replace(reader.card, preprocessing=replace(reader.card.preprocessing, input_size=300))
    (warning,) = Reader(card, reader.network, reader.artifacts).read(read_scan(encoded(film()))).warnings
    assert "256 × 256" in warning


def test_what_a_model_learned_from_may_rob_its_answers_of_meaning(home, gate):
    reader = ready(Reader.open(make_model()), gate)
    covid = next(known.population for known in KAGGLE_SETS if "covid" in known.handle)
    card = replace(reader.card, dataset=reader.card.dataset | {"population": covid})
    (warning,) = Reader(card, reader.network, reader.artifacts).read(read_scan(encoded(film()))).warnings
    assert "no clinical meaning" in warning
    card = replace(reader.card, dataset=reader.card.dataset | {"population": "adults of two hospitals"})
    assert not Reader(card, reader.network, reader.artifacts).read(read_scan(encoded(film()))).warnings


def test_only_methods_whose_colours_are_anchored_are_offered(home):
    checkpoint = make_model()
    values = json.loads((checkpoint.folder / CARD).read_text())
    (checkpoint.folder / CARD).write_text(json.dumps(values | {"heatmap": {"Grad-CAM": values["heatmap"]["CAM"]}}))
    reader = Reader.open(checkpoint)
    assert reader.methods == ("Grad-CAM",)
    assert reader.method_descriptions.count("\n") == 0


def test_a_card_without_anchors_is_refused(home):
    checkpoint = make_model()
    values = json.loads((checkpoint.folder / CARD).read_text())
    (checkpoint.folder / CARD).write_text(json.dumps(values | {"heatmap": {"another": values["heatmap"]["CAM"]}}))
    with pytest.raises(CheckpointError, match="how strong a heatmap"):
        Reader.open(checkpoint)


def test_pixels_without_heat_stay_as_they_are(reader):
    pixels = film()
    heat = np.zeros(pixels.shape, np.float32)
    np.testing.assert_array_equal(draw_overlay(pixels, heat), np.repeat(pixels[..., None], 3, axis=2))
    heat[:50] = 1
    drawn = draw_overlay(pixels, heat, 1.0)
    np.testing.assert_array_equal(drawn[50:], np.repeat(pixels[50:, :, None], 3, axis=2))
    assert (drawn[:50] == (220, 20, 20)).all()
    np.testing.assert_array_equal(draw_overlay(pixels, heat, 0.0), np.repeat(pixels[..., None], 3, axis=2))


def test_saved_heatmap_is_the_scan_beside_itself_with_heat(reader, tmp_path):
    scan = read_scan(encoded(film()))
    heat = reader.heatmap(scan, "OPACITY")
    save_heatmap(tmp_path / "x.png", scan, heat)
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (512, 256)
        np.testing.assert_array_equal(np.asarray(image), draw_side_by_side(scan.pixels, heat))


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
        assert reader.heatmap(scan, reading.diagnosis).shape == scan.pixels.shape
        copy = reader.read(read_scan(copies[file.name]))
        assert copy.probabilities["PNEUMONIA"] == pytest.approx(reading.probabilities["PNEUMONIA"], abs=0.15)
    for file in sorted((real_data / "samples" / "dicom_chest").iterdir()):
        if file.suffix == ".dcm":
            assert reader.read(read_scan(file)).diagnosis in ("NORMAL", "PNEUMONIA")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"ViewPosition": "LL"}, "from another side"),
        ({"BodyPartExamined": "KNEE"}, "another part of the body"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "raw picture"),
    ],
)
def test_a_dicom_that_says_it_is_no_frontal_chest_is_warned_of(reader, facts, words, gate):
    reader = ready(reader, gate)
    [warning] = reader.read(replace(read_scan(encoded(film())), metadata=facts)).warnings
    assert words in warning


def test_an_adult_is_warned_of_where_the_model_knows_children(reader, gate):
    reader = ready(reader, gate)
    card = replace(reader.card, dataset=reader.card.dataset | {"population": "children of one to five years"})
    scan = read_scan(encoded(film()))
    [warning] = (
        Reader(card, reader.network, reader.artifacts).read(replace(scan, metadata={"PatientAge": "047Y"})).warnings
    )
    assert "47 years old" in warning
    for age in ("004Y", "030M", "odd"):
        assert (
            Reader(card, reader.network, reader.artifacts).read(replace(scan, metadata={"PatientAge": age})).warnings
            == ()
        )
    assert reader.read(replace(scan, metadata={"PatientAge": "047Y"})).warnings == ()


def test_of_two_classes_the_map_of_the_one_looked_for_is_shown_first(reader):
    for seed in range(4):
        assert reader.default_class(reader.read(read_scan(encoded(film(seed))))) == "OPACITY"


def test_a_dicom_of_a_frontal_chest_is_not_warned_of(reader, gate):
    reader = ready(reader, gate)
    facts = {"ViewPosition": "PA", "BodyPartExamined": "CHEST", "PresentationIntentType": "FOR PRESENTATION"}
    assert reader.read(replace(read_scan(encoded(film())), metadata=facts)).warnings == ()


def test_a_map_can_be_made_at_the_size_of_a_screen(reader):
    scan = read_scan(encoded(film(3)))
    small = reader.heatmap(scan, "OPACITY", shape=(40, 50))
    assert small.shape == (40, 50)
    assert abs(small.mean() - reader.heatmap(scan, "OPACITY").mean()) < 0.02
