"""Results of a reading: heatmaps, occlusion test and similar cases."""

import numpy as np
import pytest
from PIL import Image

from tests.xrai.reading.reading_models import encoded, film, make_model, ready
from xrai.explain.cam import compute_cams
from xrai.explain.occlusion import occlude
from xrai.explain.overlay import draw_overlay, draw_side_by_side
from xrai.reading.reader import Reader
from xrai.reading.result_card import save_heatmap
from xrai.scans import read_scan


@pytest.mark.parametrize("network", ["resnet18", "convnet"])
def test_heatmap_lies_over_the_scan(home, network):
    reader = Reader.open(make_model(network=network))
    scan = read_scan(encoded(film()[:200]))
    reading = reader.read(scan)
    for method in reader.methods:
        heat = reading.heatmap("OPACITY", method)
        assert heat.shape == scan.pixels.shape == (200, 256)
        assert heat.dtype == np.float32
        assert 0 <= heat.min() <= heat.max() <= 1
    np.testing.assert_array_equal(reading.heatmap("OPACITY"), reading.heatmap("OPACITY", reader.methods[0]))


@pytest.mark.parametrize("classes", [("CLEAR", "OPACITY"), ("CLEAR", "OPACITY", "OTHER")])
@pytest.mark.parametrize("first", ["Fused CAM", "CAM", "HiResCAM"])
def test_what_a_reading_found_is_not_looked_for_again(home, monkeypatch, first, classes):
    opened = Reader.open(make_model(network="convnet" if first == "HiResCAM" else "resnet18", classes=classes))
    anchors = {method: dict.fromkeys(classes, 0.5) for method in (first, "Grad-CAM")}
    reader = Reader(opened.card.replace(heatmap_scale=anchors), opened.network)
    assert reader.methods == (first, "Grad-CAM")
    scan, looked = read_scan(encoded(film())), []
    reading = reader.read(scan)
    afresh = {
        (name, method): reader.heatmap(scan.pixels, name, method) for name in classes for method in reader.methods
    }
    assert max(heat.max() for heat in afresh.values()) > 0

    def counted(network, inputs, labels, method):
        looked.append((classes[labels[0]], method))
        return compute_cams(network, inputs, labels, method)

    monkeypatch.setattr("xrai.reading.reader.compute_cams", counted)
    for (name, method), heat in afresh.items():
        np.testing.assert_allclose(reading.heatmap(name, method), heat, atol=1e-5)
    known = [reading.diagnosis] if len(classes) == 3 else classes
    assert looked == [item for item in afresh if item[1] != first or item[0] not in known]
    looked.clear()
    occlusion = reading.occlude(scan, reading.diagnosis)
    assert looked == [(looked[0][0], first)]  # of the scan that is read again
    np.testing.assert_array_equal(occlusion.mask, occlude(scan.pixels, afresh[reading.diagnosis, first])[1])


def test_heatmap_is_weaker_the_more_evidence_full_colour_stands_for(reader):
    scan = read_scan(encoded(film()))
    name = max(reader.card.classes, key=lambda item: reader.heatmap(scan.pixels, item).max())
    found = reader.heatmap(scan.pixels, name)
    assert found.max() > 0
    anchors = {method: dict.fromkeys(reader.card.classes, 1e4) for method in reader.methods}
    weaker = Reader(reader.card.replace(heatmap_scale=anchors), reader.network).heatmap(scan.pixels, name)
    assert 0 < weaker.max() < 0.1 * found.max()


def test_similar_cases_are_training_scans_with_their_labels(reader, gate):
    scan = read_scan(encoded(film(3)))
    assert reader.read(scan).find_similar() == []
    cases = ready(reader, gate).read(scan).find_similar(4)
    assert cases[0].row == 3 and cases[0].class_name == "OPACITY" and cases[0].similarity > 0.99
    assert len({case.row for case in cases}) == 4


def test_without_its_hot_area_a_scan_is_read_again(reader):
    scan = read_scan(encoded(film(1)))
    reading = reader.read(scan)
    occlusion = reading.occlude(scan, "OPACITY")
    assert occlusion.pixels.shape == scan.pixels.shape and 0 < occlusion.mask.mean() <= 0.16
    np.testing.assert_array_equal(occlusion.pixels[~occlusion.mask], scan.pixels[~occlusion.mask])
    assert occlusion.reading.probabilities["OPACITY"] != reading.probabilities["OPACITY"]


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
    heat = reader.heatmap(scan.pixels, "OPACITY")
    save_heatmap(tmp_path / "x.png", scan.pixels, heat)
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (512, 256)
        np.testing.assert_array_equal(np.asarray(image), draw_side_by_side(scan.pixels, heat))


def test_of_two_classes_the_map_of_the_one_looked_for_is_shown_first(reader):
    for seed in range(4):
        assert reader.read(read_scan(encoded(film(seed)))).default_class == "OPACITY"


def test_a_map_can_be_made_at_the_size_of_a_screen(reader):
    scan = read_scan(encoded(film(3)))
    reading = reader.read(scan)
    small = reading.heatmap("OPACITY", shape=(40, 50))
    assert small.shape == (40, 50)
    assert abs(small.mean() - reading.heatmap("OPACITY").mean()) < 0.02
