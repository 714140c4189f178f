"""The page Diagnose under test."""

import io
from types import SimpleNamespace

import numpy as np
from PIL import Image
from streamlit.testing.v1 import AppTest

from xrai.core.paths import PROJECT_DIR
from xrai.scans.phantoms import draw_thorax

MEASURED = {
    "n": 20,
    "accuracy": 0.5,
    "accuracy_interval": (0.3, 0.7),
    "auc": 0.5,
    "auc_interval": (0.3, 0.7),
    "loss": 1,
}

TRUST = {"when": "2026-11-21", "rows": [{"what": "x", "value": "1", "aim": ""}], "threshold": 0.5, "alpha": 0.03}
LOOK = {"dataset": "d", "split": "test", "when": "2026-01-01T00:00:00", "fingerprint": "f", "threshold": 0.5} | {
    name: value for name, value in MEASURED.items() if name != "loss"
}

NAMES = ("Normal", "chance")
"""What reads the same in both languages."""


def film(seed=3):
    return draw_thorax(np.random.default_rng(seed), opacity=True, size=128)


def as_png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def changed(model, **values):
    model.write_card(model.read_card().replace(**values))


def opened(*files):
    app = AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600).run()
    if files:
        app.file_uploader[0].set_value([(name, content, "image/png") for name, content in files]).run()
    assert not app.exception
    return app


def texts(app):
    kinds = (app.markdown, app.caption, app.info, app.error, app.warning, app.success, app.subheader)
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def button(app, label):
    return next(item for item in app.button if item.label.startswith(label))


def reading_of(share, *, sure=True, diagnosis="PNEUMONIA"):
    other = "NORMAL" if diagnosis == "PNEUMONIA" else "PNEUMONIA"
    probabilities = {diagnosis: share, other: 1 - share}
    return SimpleNamespace(
        diagnosis=diagnosis, probabilities=probabilities, is_confident=sure, is_outside_population=False
    )


def with_similar_open(*files):
    app = opened(*files)
    app.session_state["diagnose_similar_open"] = True
    app.run()
    assert not app.exception
    return app
