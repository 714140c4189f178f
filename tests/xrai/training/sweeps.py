from xrai.core.json_files import write_json
from xrai.training.sweep import BestMetrics

TINY = {
    "network": "convnet",
    "image_size": 32,
    "blocks": 2,
    "filters": 2,
    "dense_units": 4,
    "epochs": 1,
    "batch_size": 16,
}
VAL = {"n": 9, "loss": 0.4, "accuracy": 0.8, "accuracy_interval": [0.7, 0.9], "auc": 0.9, "auc_interval": [0.8, 1.0]}
BEST_VALUES = {"epoch": 2, "accuracy": 0.8, "accuracy_interval": [0.7, 0.9], "auc": 0.9, "auc_interval": [0.8, 1.0]}
BEST = BestMetrics(**BEST_VALUES)
EPOCH = {
    "kind": "epoch",
    "epoch": 2,
    "best": True,
    "val": VAL,
    "learning_rate": 0.1,
    "seconds": 1.0,
    "train": {"loss": 0.4, "accuracy": 0.8, "auc": 0.9},
}


def assert_one_sentence(error, *words):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert text.count(". ") == 0
    for word in words:
        assert word in text


def write_json_in(file, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, values)
