"""The Diagnose page: what is refused, mended, in doubt, and the second looks at an answer."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from xrai.calibration import Calibration, Doubt
from xrai.checkpoint import Card, Checkpoint
from xrai.config import TrainConfig
from xrai.kit import Kit, Validation, save_kit
from xrai.neighbours import fit_neighbours
from xrai.networks import build_network
from xrai.phantoms import draw_thorax
from xrai.preprocessing import Preprocessing
from xrai.settings import PROJECT, checkpoints_dir

MEASURED = {
    "n": 20,
    "accuracy": 0.5,
    "accuracy_interval": (0.3, 0.7),
    "auc": 0.5,
    "auc_interval": (0.3, 0.7),
    "loss": 1,
}


def film(seed=3):
    return draw_thorax(np.random.default_rng(seed), opacity=True, size=128)


def as_png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def model(home, gate):
    """A model that never learned, but has everything that a training leaves."""
    torch.manual_seed(0)
    config, steps = TrainConfig(network="resnet18", image_size=64), Preprocessing(64, 64, 0.5, 0.25)
    network = build_network(config, 2).eval()
    checkpoint = Checkpoint(checkpoints_dir() / "chance")
    checkpoint.folder.mkdir(parents=True)
    checkpoint.save_network(network)
    checkpoint.write_card(
        Card(
            name="chance", created="2026-01-01T00:00:00+00:00", classes=("NORMAL", "PNEUMONIA"), config=config,
            preprocessing=steps, threshold={"class": "PNEUMONIA", "value": 0.5, "chosen": "fixed"}, training={},
            dataset={"name": "chest", "population": "children of one hospital", "drawings": False, "fingerprint": "f"},
            validation=MEASURED, versions={}, calibration=Calibration(1.0, (0.0, 0.0), (0.5, 0.5)),
            heatmap={name: {"NORMAL": 0.1, "PNEUMONIA": 0.1} for name in ("Fused CAM", "CAM", "Grad-CAM")},
        )
    )  # fmt: skip
    inputs = torch.cat([steps(film(seed)) for seed in range(8)])
    with torch.inference_mode():
        logits, vectors = (item.numpy() for item in network.answer(inputs))
    labels = np.arange(8) % 2
    neighbours = fit_neighbours(vectors, labels, np.arange(8), np.arange(8))
    save_kit(checkpoint, Kit(gate, neighbours, Validation(logits, logits[None], labels, labels)))
    return checkpoint


def changed(model, **values):
    model.write_card(replace(model.card(), **values))


def opened(*files):
    app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=60).run()
    if files:
        app.file_uploader[0].set_value([(name, content, "image/png") for name, content in files]).run()
    assert not app.exception
    return app


def texts(app):
    kinds = (app.markdown, app.caption, app.info, app.error, app.warning, app.success, app.subheader)
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def button(app, label):
    return next(item for item in app.button if item.label.startswith(label))


def test_a_photo_is_refused_with_the_reason(model):
    rng = np.random.default_rng(0)
    photo = np.kron(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((20, 20, 1), np.uint8))
    app = opened(("cat.png", as_png(photo)))
    assert "was not read" in app.error[0].value and "in colour" in app.error[0].value
    assert not app.subheader


def test_a_turned_film_is_offered_mended_and_read_then(model):
    app = opened(("turned.png", as_png(np.rot90(film()))))
    assert "not upright" in app.warning[0].value and not app.subheader
    button(app, "Read it turned 90").click().run()
    assert not app.exception
    assert app.subheader and "This scan was read turned 90° right, as you chose." in texts(app)


def test_an_inverted_film_is_offered_mended(model):
    app = opened(("negative.png", as_png(255 - film())))
    assert "black and white exchanged" in app.warning[0].value
    button(app, "Read it inverted").click().run()
    assert "This scan was read inverted" in texts(app)


def test_of_several_files_those_that_can_be_are_read(model):
    noise = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
    app = opened(("a.png", as_png(film())), ("noise.png", as_png(noise)))
    table = app.dataframe[-1].value
    assert table["Diagnosis"].tolist()[1] == "not read"
    assert len(app.error) == 1 and len(app.subheader) == 1


def test_a_doubtful_scan_is_not_sure_and_says_where_it_leans(model):
    changed(model, doubt=Doubt(0.05, (0.01, 0.01), (100, 100)))
    app = opened(("a.png", as_png(film())))
    assert app.subheader[0].value.replace("\\", "") == "Not sure: ask a radiologist"
    said = texts(app)
    assert re.search(r"leans towards \*\*(Normal|Pneumonia)", said)
    assert "Between 1 % and 99 % the model is not sure" in said.replace("\\", "")
    assert "at most 5 got a wrong firm answer" in said


def test_the_threshold_in_the_card_decides(model):
    called = {}
    for value in (0.001, 0.999):
        changed(model, threshold={"class": "PNEUMONIA", "value": value, "chosen": "in a test"})
        called[value] = opened(("a.png", as_png(film()))).subheader[0].value
    assert "Pneumonia" in called[0.001] and "Normal" in called[0.999]


def test_probabilities_come_in_natural_frequencies_for_the_readers_own_patients(model):
    said = texts(opened(("a.png", as_png(film()))))
    assert re.search(r"Of 100 children like this, about \d+ have pneumonia, where 50 of 100 who are X.?-rayed", said)
    changed(model, prevalence=0.1)
    assert "where 10 of 100" in texts(opened(("a.png", as_png(film()))))


def test_the_hot_area_is_hidden_and_the_scan_read_again(model):
    app = opened(("a.png", as_png(film())))
    assert "before:" not in texts(app)
    button(app, "Hide it and read again").click().run()
    assert not app.exception
    said = texts(app)
    assert "hidden place" in said or "nothing to hide" in said


def test_similar_training_scans_and_their_labels_are_told(model):
    said = texts(opened(("a.png", as_png(film()))))
    assert "Of the 6 training scans that look most like this one" in said
    assert "They can be shown where the dataset “chest” is on this computer" in said


def test_what_a_check_of_the_data_found_and_what_was_measured_are_told(model):
    audit = [{"severity": "serious", "title": "Copies", "sentence": "Six scans stand in training and test."}]
    card = model.card()
    changed(
        model, dataset=card.dataset | {"audit": audit},
        trust={"when": "2026-11-21", "rows": [{"what": "Test films refused", "value": "1 of 624", "aim": ""}]},
    )  # fmt: skip
    app = opened()
    assert "Six scans stand in training and test" in texts(app)
    assert "1 of 624" in app.dataframe[-1].value.to_string()


def test_a_model_without_kit_says_that_it_does_not_notice_other_pictures(model):
    (model.folder / "kit.safetensors").unlink()
    assert "does not notice when a picture is no chest X" in texts(opened(("a.png", as_png(film()))))
