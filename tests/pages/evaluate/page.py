"""The page Evaluate opened in a test, its controls, and models and measurements to show on it."""

import json
import re

import numpy as np
from streamlit.testing.v1 import AppTest

from xrai.calibration import ConformalAbstention
from xrai.core.paths import PROJECT_DIR, checkpoints_dir
from xrai.data.dataset import open_dataset
from xrai.evaluation.store import REPORT_FILE
from xrai.models.artifacts import Artifacts, ValidationOutputs, save_artifacts
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.models.operating_point import fit_operating_point
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

EVALUATE = "pages/lab/evaluate/page.py"


CLASSES = ("CLEAR", "OPACITY")


DOUBT = ConformalAbstention(alpha=0.1, thresholds=(0.4, 0.45), n_patients=(40, 40))


LATER = (
    "reliability",
    "expected_calibration_error_interval",
    "expected_calibration_error_by_chance",
    "calibration",
    "doubt",
    "answered",
)


CHOOSING, USE, BACK = "Decision threshold for Opacity", "Use this to read scans", "Reset"


def opened() -> AppTest:
    app = AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600).run()
    app.switch_page(EVALUATE).run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.info, app.error, app.warning, app.success, app.subheader, app.title)
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def warned(app: AppTest) -> str:
    return "\n".join(item.value for item in app.warning)


def box(app: AppTest, label: str):
    return next(item for item in app.selectbox if item.label == label)


def buttons(app: AppTest) -> list[str]:
    return [item.label for item in app.button]


def plainly(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def is_on(app: AppTest, text: str) -> bool:
    return text in plainly(texts(app))


def make_model(model_name: str, classes=CLASSES, **dataset) -> Checkpoint:
    """A network that never learned."""
    from xrai.networks.build import build_network

    config = TrainConfig(network="convnet", blocks=3, filters=4, image_size=32)
    known = {"name": "d", "population": "children of one hospital", "is_phantom": False} | dataset
    card = Card(
        name=model_name,
        created="2026-01-01T00:00:00+00:00",
        classes=tuple(classes),
        network=config.network_config,
        preprocessing=Preprocessing(64, 32, 0.5, 0.25),
        dataset=known,
        threshold={"class_name": classes[1], "value": 0.5, "description": "fixed"} if len(classes) == 2 else None,
        training={"best_epoch": 1, "settings": config.to_dict()},
        validation={
            "n": 20,
            "loss": 0.7,
            "accuracy": 0.5,
            "accuracy_interval": None,
            "auc": None,
            "auc_interval": None,
        },
        heatmap_scale={method: dict.fromkeys(classes, 1.0) for method in ("HiResCAM", "Grad-CAM")},
        versions={},
        notes=("A note on the model.",),
    )
    checkpoint = Checkpoint(checkpoints_dir() / model_name)
    checkpoint.folder.mkdir(parents=True)
    checkpoint.write_card(card)
    checkpoint.save_network(build_network(config, len(classes)))
    return checkpoint


def make_ready(checkpoint: Checkpoint, only: int | None = None) -> None:
    """Give a model made-up answers to validation scans, and what follows from them."""
    n_classes = len(checkpoint.read_card().classes)
    rng = np.random.default_rng(3)
    labels = np.arange(160) % n_classes if only is None else np.full(160, only)
    logits = (1.5 * np.eye(n_classes)[labels] + rng.normal(0, 1, (160, n_classes))).astype(np.float32)
    patients = labels + n_classes * (np.arange(160) // n_classes // (4 // n_classes)) % 160
    validation = ValidationOutputs(logits, logits[None], labels, patients)
    save_artifacts(checkpoint, Artifacts(validation=validation), checkpoint.weights_sha256())
    checkpoint.write_card(fit_operating_point(checkpoint.read_card(), validation))


def note_look(model, dataset_file, split="test", **more):
    with open_dataset(dataset_file) as dataset:
        fingerprint = dataset.fingerprint
    card = model.read_card()
    look = {
        "dataset": "practice",
        "split": split,
        "fingerprint": fingerprint,
        "when": "2026-02-03T04:05:06+00:00",
        "n": 20,
        "accuracy": 0.61,
        "accuracy_interval": [0.4, 0.8],
        "auc": 0.72,
        "auc_interval": [0.5, 0.9],
        "per_class": {},
    } | more
    model.write_card(card.replace(evaluations=[*card.evaluations, look]))


def change_report(folder, **values):
    report = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    (folder / REPORT_FILE).write_text(json.dumps(report | values), encoding="utf-8")


def shown_figures(app: AppTest) -> dict[str, str]:
    return {item.label: item.value for item in app.metric}


def goal_of(app: AppTest):
    return app.radio[0]


def slider(app: AppTest, number: int):
    """0: the limit of the goal, where it has one; −1: the doubt."""
    return list(app.slider)[number]


def prevalence(app: AppTest):
    return next(item for item in app.number_input if "that you X-ray" in item.label)


def button(app: AppTest, label: str):
    return next(item for item in app.button if item.label == label)


def effects(app: AppTest):
    return next(item.value for item in app.table if "Effect" in item.value.columns)


def drop_later(folder):
    report = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    for name in LATER:
        report.pop(name)
    (folder / REPORT_FILE).write_text(json.dumps(report), encoding="utf-8")


def shown_files(app: AppTest) -> list[str]:
    found = (re.fullmatch(r"(.+), patient .+", plainly(item.value)) for item in app.caption)
    return [match[1] for match in found if match]


def captions(app: AppTest) -> list[str]:
    """What stands below the titles of the charts."""
    return [json.loads(item.proto.spec)["layout"]["title"]["subtitle"]["text"] for item in app.get("plotly_chart")]


def selection(*cells: int):
    return {"selection": {"points": [{"point_index": cell} for cell in cells]}}
