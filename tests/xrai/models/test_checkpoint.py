import json
import os
from pathlib import Path

import pytest
import torch
from filelock import Timeout
from safetensors.torch import load_file, save_file

from xrai.core.errors import CheckpointError
from xrai.core.paths import PROJECT_DIR
from xrai.models.card import CARD_VERSION, Card
from xrai.models.checkpoint import (
    CARD,
    CARD_LOCK,
    CONFIG,
    HISTORY_FILE,
    WEIGHTS,
    Checkpoint,
    list_checkpoints,
    list_models,
    open_checkpoint,
)
from xrai.networks.build import build_network, count_parameters
from xrai.networks.config import NETWORKS
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig, read_train_config

CONFIG_OF = TrainConfig(network="convnet", blocks=2, filters=4, dense_units=8, image_size=32)


MEASURED = {
    "loss": 0.5,
    "n": 9,
    "accuracy": 0.8,
    "accuracy_interval": [0.7, 0.9],
    "auc": 0.9,
    "auc_interval": [0.8, 1.0],
}
METRICS = {name: value for name, value in MEASURED.items() if name != "loss"}
EVALUATED = METRICS | {"dataset": "d", "split": "test", "when": "2026-11-21T10:00:00+00:00", "fingerprint": "f"}


def a_card(config=CONFIG_OF, **changes):
    values = {
        "name": "m",
        "created": "2026-11-21T09:00:00+00:00",
        "classes": ("CLEAR", "OPACITY"),
        "network": config.network_config,
        "preprocessing": Preprocessing(64, config.image_size, 0.5, 0.25),
        "dataset": {"name": "d", "is_phantom": True},
        "threshold": {"class_name": "OPACITY", "value": 0.5, "description": "beforehand"},
        "training": {"best_epoch": 1, "settings": config.to_dict()},
        "validation": MEASURED,
        "heatmap_scale": {"Grad-CAM": {"CLEAR": 1.0, "OPACITY": 2.0}},
        "versions": {"xrai": "0.1.0"},
        "notes": ("Research software, no medical device.",),
    }
    if "classes" in changes:
        values |= {"threshold": None, "heatmap_scale": {}}
    return Card(**values | changes)


def a_network(config=CONFIG_OF, n_classes=2):
    torch.manual_seed(0)
    return build_network(config, n_classes).eval()


@pytest.fixture
def model(home):
    checkpoint = open_checkpoint("m")
    checkpoint.folder.mkdir()
    checkpoint.save_network(a_network())
    checkpoint.write_card(a_card())
    return checkpoint


def edit_card(checkpoint, **changes):
    file = checkpoint.folder / CARD
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def assert_one_sentence(error, *words):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert text.count(". ") == 0
    for word in words:
        assert word in text


def test_card_comes_back_as_it_was_written(model):
    assert model.read_card() == a_card()
    assert model.read_card().threshold_value == 0.5
    assert a_card(threshold=None).threshold_value is None


def test_card_is_json_with_its_format_and_version(model):
    values = json.loads((model.folder / CARD).read_text(encoding="utf-8"))
    assert (values["format"], values["version"]) == ("xrai-model", CARD_VERSION)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_cards_of_earlier_versions_are_not_read(model, version):
    edit_card(model, version=version)
    with pytest.raises(CheckpointError) as caught:
        model.read_card()
    assert_one_sentence(caught, "“m”", "earlier version")


@pytest.mark.parametrize("name", ["pneumonia", "covid19"])
def test_the_shipped_models_are_read(name):
    shipped = Checkpoint(PROJECT_DIR / "checkpoints" / name)
    assert shipped.load_network(shipped.read_card()).has_global_pooling


def test_the_card_of_a_renamed_model_has_its_new_name(model):
    model.folder.rename(model.folder.with_name("Röntgen 2"))
    renamed = open_checkpoint("Röntgen 2")
    assert renamed.read_card() == a_card(name="Röntgen 2")
    assert json.loads((renamed.folder / CARD).read_text(encoding="utf-8"))["name"] == "m"
    assert [item.read_card().name for item in list_models()] == ["Röntgen 2"]


@pytest.mark.parametrize(
    ("classes", "names", "order"),
    [
        (("NORMAL", "PNEUMONIA"), ("NORMAL", "PNEUMONIA"), [0, 1]),
        (("NORMAL", "PNEUMONIA"), ("PNEUMONIA", "NORMAL"), [1, 0]),
        (("Normal", "Viral Pneumonia"), ("VIRAL_PNEUMONIA", "normal"), [1, 0]),
        (("COVID-19", "NORMAL", "Lung_Opacity"), ("lung opacity", "Covid19", "Normal"), [2, 0, 1]),
        (("Gesund", "Größe"), ("GRÖSSE", "gesund"), [1, 0]),
        (("健康", "肺炎"), ("肺炎", "健康"), [1, 0]),
        (("A b", "A_b"), ("A_b", "A b"), [1, 0]),  # the spellings differ in nothing else: only the very names will do
        (("A b", "A_b", "C"), ("C", "A b", "A_b"), [2, 0, 1]),
        (("+", "-"), ("-", "+"), [1, 0]),
        (("A b", "A_b"), ("A b", "a_B"), None),
        (("A b", "A_b"), ("A-b", "C"), None),
        (("AB", "C"), ("A b", "A_b"), None),
        (("AB", "C"), ("A b", "A_b", "C"), None),
        (("AB", "C"), ("AB",), None),
        (("AB", "C"), ("AB", "C", "D"), None),
        (("AB", "C"), ("AB", "D"), None),
        (("AB", "C"), ("AB", "AB", "C"), None),
        (("AB", "C"), (), None),
    ],
    ids=str,
)
def test_order_of_classes_by_their_names(classes, names, order):
    assert a_card(classes=classes).class_permutation(names) == order


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<5 mm", ">5 mm"), ("COVID (+)", "COVID (-)"), ("1.0", "10"), ("Grade 1-2", "Grade 12"), ("1,5 cm", "15 cm"),
        ("Grade 1 2", "Grade 12"), ("CT -5", "CT 5"), ("A/B", "AB"), ("T1.0", "T10"), ("HER2+", "HER2"), ("?", ""),
    ],
)  # fmt: skip
def test_signs_that_carry_meaning_are_not_dropped(one, other):
    """`<5 mm` and `>5 mm` came out as spellings of one name, so that a model was measured against the wrong classes."""
    assert a_card(classes=("normal", one)).class_permutation(("normal", other)) is None
    assert a_card(classes=("normal", one)).class_permutation((one, "NORMAL")) == [1, 0]


@pytest.mark.parametrize(
    "names",
    [
        ("COVID-19", "Covid19", "covid 19", "COVID_19", "covid\u201019", "covid.19"),
        ("Viral Pneumonia", "VIRAL_PNEUMONIA", "viral-pneumonia", " viral \u00a0 _pneumonia ", "ViralPneumonia"),
        ("<5 mm", "< 5 MM", "<5_mm", "<5mm"),
        ("Grade 1-2", "grade_1-2", "GRADE1-2", "grade-1-2"),
        ("Stage 1 2", "stage_1_2", "Stage 1 _2"),
        ("COVID (+)", "covid(+)", "Covid_(+)"),
    ],
    ids=str,
)
def test_spellings_of_one_name(names):
    for name in names:
        assert a_card(classes=("normal", names[0])).class_permutation((name, "Normal")) == [1, 0], name


def test_classes_that_differ_in_a_sign_alone_are_not_the_same():
    """`HER2+` is not `HER2-`: what is told apart by a sign is not a spelling of one name."""
    assert a_card(classes=("normal", "COVID+")).class_permutation(("normal", "COVID-")) is None


def test_network_comes_back_in_half_precision(model):
    scans = torch.rand(3, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(model.load_network(model.read_card())(scans), a_network()(scans), atol=5e-3)


@pytest.mark.parametrize("weights", ["imagenet", "another model", "m"])
def test_a_network_comes_back_whatever_it_started_from(model, no_network, weights):
    """The weights are its own: neither those that it started from nor the internet is needed."""
    config = CONFIG_OF.replace(network="resnet18", weights=weights, freeze_epochs=2)
    model.save_network(a_network(config))
    model.write_card(a_card(config))
    network = model.load_network(model.read_card())
    assert model.read_card().network == config.network_config
    assert not network.freeze_features
    assert all(item.requires_grad for item in network.parameters())


def test_loaded_network_is_ready_to_read(model):
    network = model.load_network(model.read_card())
    assert not network.training
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_weights_take_two_bytes_a_number(home):
    config = TrainConfig(network="resnet18", image_size=32)
    checkpoint = open_checkpoint("resnet")
    checkpoint.folder.mkdir()
    network = a_network(config)
    checkpoint.save_network(network)
    size = (checkpoint.folder / WEIGHTS).stat().st_size
    assert 2 * count_parameters(network) < size < 2.02 * count_parameters(network)
    assert size < 25 * 1024**2


def test_a_weight_too_large_for_half_precision_is_kept_in_full(model):
    network = a_network()
    with torch.no_grad():
        network.head[0].weight[0, 0] = 1e6
    model.save_network(network)
    assert model.load_network(model.read_card()).head[0].weight[0, 0] == 1e6


@pytest.mark.skipif(os.name == "nt", reason="rights are of another kind on Windows")
def test_weights_can_be_read_by_whoever_can_read_the_card(model):
    rights = {name: (model.folder / name).stat().st_mode & 0o777 for name in (CARD, WEIGHTS)}
    assert rights[WEIGHTS] == rights[CARD]


def test_weights_are_saved_whole_or_not_at_all(model, monkeypatch):
    before = (model.folder / WEIGHTS).read_bytes()

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        model.save_network(a_network())
    assert (model.folder / WEIGHTS).read_bytes() == before
    assert sorted(item.name for item in model.folder.iterdir()) == [CARD, WEIGHTS]


def test_whoever_is_reading_the_weights_keeps_the_old_ones(model):
    before = (model.folder / WEIGHTS).read_bytes()
    os.link(model.folder / WEIGHTS, model.folder / "read")
    torch.manual_seed(1)
    model.save_network(build_network(CONFIG_OF, 2))
    assert (model.folder / "read").read_bytes() == before != (model.folder / WEIGHTS).read_bytes()


def test_card_is_saved_whole_or_not_at_all(model):
    before = (model.folder / CARD).read_bytes()
    with pytest.raises(ValueError):
        model.write_card(a_card().replace(notes=(object(),)))
    assert (model.folder / CARD).read_bytes() == before
    assert sorted(item.name for item in model.folder.iterdir()) == [CARD, WEIGHTS]


def test_no_such_model_names_those_that_there_are(model):
    with pytest.raises(CheckpointError) as error:
        open_checkpoint("other").read_card()
    assert_one_sentence(error, "no model “other”", "are: m.")


def test_no_model_at_all(home):
    with pytest.raises(CheckpointError) as error:
        open_checkpoint("other").read_config()
    assert_one_sentence(error, "none yet")


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_missing_file(model, name):
    card = model.read_card()
    (model.folder / name).unlink()
    assert not model.is_model
    with pytest.raises(CheckpointError) as error:
        model.read_card()
        model.load_network(card)
    assert_one_sentence(error, f"has no {name}")


FOREIGN = {
    "empty": b"",
    "text": b"hello",
    "binary": bytes(range(256)),
    "a list": b"[1, 2]",
    "a number": b"7",
    "another's JSON": b'{"format": "other", "version": 1}',
    "no version": b'{"format": "xrai-model"}',
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_card(model, content):
    (model.folder / CARD).write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        model.read_card()
    assert_one_sentence(error, CARD, "copy the whole folder again")


def test_card_cut_short(model):
    whole = (model.folder / CARD).read_bytes()
    (model.folder / CARD).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError) as error:
        model.read_card()
    assert_one_sentence(error, CARD)


THRESHOLD = {"class_name": "OPACITY", "value": 0.5, "description": "beforehand"}
STEPS = a_card().preprocessing.to_dict()
NONSENSE = {
    "one class": {"classes": ["CLEAR"]},
    "the same class twice": {"classes": ["CLEAR", "CLEAR"]},
    "classes of no words": {"classes": [1, 2]},
    "a threshold beyond 1": {"threshold": THRESHOLD | {"value": 1.5}},
    "a threshold without value": {"threshold": {"class_name": "OPACITY", "description": ""}},
    "an unknown network": {"network": CONFIG_OF.network_config.to_dict() | {"network": "alexnet"}},
    "an unknown setting": {"network": CONFIG_OF.network_config.to_dict() | {"colour": "blue"}},
    "another size than the network's": {"preprocessing": STEPS | {"input_size": 64}},
    "no size": {"preprocessing": STEPS | {"stored_size": 0}},
    "a spread of nothing": {"preprocessing": STEPS | {"std": 0.0}},
    "greys measured otherwise than in training": {"preprocessing": STEPS | {"per_scan": True}},
    "no word on how greys are measured": {"preprocessing": STEPS | {"per_scan": "false"}},
    "an anchor of nothing": {"heatmap_scale": {"Grad-CAM": {"CLEAR": 1.0, "OPACITY": 0.0}}},
    "an anchor missing": {"heatmap_scale": {"Grad-CAM": {"CLEAR": 1.0}}},
    "no dataset": {"dataset": None},
    "evaluations of something else": {"evaluations": [{}]},
    "evaluations of no list": {"evaluations": 3},
    "a threshold of another class": {"threshold": THRESHOLD | {"class_name": "CLEAR"}},
    "a threshold in words": {"threshold": THRESHOLD | {"value": "high"}},
    "no validation": {"validation": {}},
    "a validation in words": {"validation": MEASURED | {"accuracy": "good"}},
    "an accuracy of nothing": {"validation": MEASURED | {"accuracy": None}},
    "an AUC that is no number": {"validation": MEASURED | {"auc": float("nan")}},
    "half an interval": {"validation": MEASURED | {"auc_interval": [0.8]}},
    "an interval in words": {"validation": MEASURED | {"accuracy_interval": "ab"}},
    "half a scan": {"validation": MEASURED | {"n": 0.5}},
    "an evaluation without a moment": {"evaluations": [{k: v for k, v in EVALUATED.items() if k != "when"}]},
    "an evaluation on a number": {"evaluations": [EVALUATED | {"dataset": 3}]},
    "an evaluation without measures": {"evaluations": [{k: v for k, v in EVALUATED.items() if k not in MEASURED}]},
    "a note that is a list": {"notes": [["x"]]},
    "a population that is a number": {"dataset": {"name": "d", "population": 3}},
    "a licence that is nothing": {"dataset": {"name": "d", "licence": None}},
    "a name that is a number": {"name": 3},
}


@pytest.mark.parametrize("changes", NONSENSE.values(), ids=NONSENSE.keys())
def test_card_that_makes_no_sense(model, changes):
    edit_card(model, **changes)
    with pytest.raises(CheckpointError) as error:
        model.read_card()
    assert_one_sentence(error, CARD)


def test_card_with_undefined_measures_is_borne(model):
    lacking = MEASURED | {"auc": None, "auc_interval": None}
    edit_card(
        model,
        validation=lacking,
        evaluations=[EVALUATED, EVALUATED | {"auc": None, "auc_interval": None}],
        threshold=None,
    )
    evaluations = model.read_card().evaluations
    assert [item.auc for item in evaluations] == [0.9, None]
    assert model.read_card().validation.auc_interval is None


@pytest.mark.parametrize(
    ("interval", "doubtful"), [([0.51, 0.9], False), ([0.5, 0.9], True), ([0.2, 0.9], True), (None, True)]
)
def test_a_card_says_where_chance_could_explain_its_validation_auc(interval, doubtful):
    card = a_card(validation=MEASURED | {"auc_interval": interval})
    assert bool(card.weakness_warning) is doubtful
    assert not doubtful or "no better than guessing" in str(card.weakness_warning)


def test_the_card_is_locked_for_one_at_a_time(model):
    with model.card_lock(0), pytest.raises(Timeout), model.card_lock(0):
        pass
    with model.card_lock(0):
        assert (model.folder / CARD_LOCK).is_file()


def test_card_of_a_newer_version(model):
    edit_card(model, version=CARD_VERSION + 1, config={"a setting": "of later on"})
    with pytest.raises(CheckpointError) as error:
        model.read_card()
    assert_one_sentence(error, "newer version", "update")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04\x95", b"\xff" * 1000])
def test_foreign_weights(model, content):
    (model.folder / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        model.load_network(model.read_card())
    assert_one_sentence(error, WEIGHTS)


def test_pickled_weights_are_not_read(model, tmp_path):
    """A pickle runs whatever its maker wants: it must be refused before it is opened."""
    trace = tmp_path / "ran"

    class Harm:
        def __reduce__(self):
            return (os.mkdir, (str(trace),))

    torch.save({"head.weight": Harm()}, model.folder / WEIGHTS)
    with pytest.raises(CheckpointError):
        model.load_network(model.read_card())
    assert not trace.exists()


def test_weights_cut_short(model):
    whole = (model.folder / WEIGHTS).read_bytes()
    (model.folder / WEIGHTS).write_bytes(whole[:-10])
    with pytest.raises(CheckpointError) as error:
        model.load_network(model.read_card())
    assert_one_sentence(error, WEIGHTS)


@pytest.mark.parametrize("changes", [{"blocks": 3}, {"filters": 8}, {"dense_units": 16}])
def test_weights_of_another_network(model, changes):
    model.save_network(a_network(TrainConfig(**CONFIG_OF.to_dict() | changes)))
    with pytest.raises(CheckpointError) as error:
        model.load_network(model.read_card())
    assert_one_sentence(error, WEIGHTS)


def test_weights_with_a_tensor_too_few_or_too_many(model):
    tensors = load_file(model.folder / WEIGHTS)
    tensors = {name: value.clone() for name, value in tensors.items()}
    fewer = {name: value for name, value in tensors.items() if name != "head.0.bias"}
    for changed in (fewer, tensors | {"more": torch.zeros(1)}):
        save_file(changed, model.folder / WEIGHTS)
        with pytest.raises(CheckpointError):
            model.load_network(model.read_card())


def test_weights_that_are_no_numbers(model):
    """They fit in shape, and every reading with them would fail."""
    tensors = {name: value.clone() for name, value in load_file(model.folder / WEIGHTS).items()}
    tensors["head.0.bias"][0] = float("nan")
    save_file(tensors, model.folder / WEIGHTS)
    with pytest.raises(CheckpointError) as error:
        model.load_network(model.read_card())
    assert_one_sentence(error, WEIGHTS)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_just_as_when_it_was_built_with_numbers(home, name):
    config = TrainConfig(network=name, image_size=64)
    checkpoint = open_checkpoint("m")
    checkpoint.folder.mkdir()
    checkpoint.save_network(a_network(config, 3))
    card = a_card(config, classes=("A", "B", "C"), threshold=None, heatmap_scale={})
    found, expected = checkpoint.load_network(card), build_network(config, 3)
    expected.load_state_dict(load_file(checkpoint.folder / WEIGHTS))
    expected.float().eval()
    assert str(found) == str(expected)
    for one, other in zip(found.modules(), expected.modules(), strict=True):
        assert one.training is other.training is False
    for items in ("named_parameters", "named_buffers"):
        pairs = list(zip(getattr(found, items)(), getattr(expected, items)(), strict=True))
        assert pairs
        for (one, value), (other, wanted) in pairs:
            assert one == other
            assert type(value) is type(wanted)
            assert torch.equal(value, wanted)
            assert (value.dtype, value.requires_grad, value.stride(), value.device, value.is_leaf) == (
                wanted.dtype, wanted.requires_grad, wanted.stride(), wanted.device, wanted.is_leaf
            )  # fmt: skip
    scans = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(found(scans), expected(scans))


def test_a_card_that_speaks_of_a_huge_network_fills_no_memory(model):
    """A few kilobytes of an import made the server build 33.6 GB of weights before it looked at the weights file."""
    resource = pytest.importorskip("resource")
    huge = CONFIG_OF.replace(blocks=1, filters=128, image_size=512, dense_layers=0)
    card = a_card(huge, classes=tuple(map(str, range(1000))), threshold=None, heatmap_scale={})
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (24 * 1024**3, before[1]))
    try:
        with pytest.raises(CheckpointError) as error:
            model.load_network(card)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert_one_sentence(error, WEIGHTS)


def test_what_is_loaded_does_not_look_into_its_file(model):
    """A file that somebody looks into cannot be replaced on Windows."""
    network = model.load_network(model.read_card())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    file = model.folder / WEIGHTS
    with file.open("r+b") as opened:
        opened.write(b"\x01" * file.stat().st_size)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "odd",
    [torch.ones(2, dtype=torch.int64), torch.ones(2, dtype=torch.bool), torch.ones(2, dtype=torch.complex64),
     torch.full((2,), 1e300, dtype=torch.float64), torch.ones(1, 2), torch.ones(0)],
    ids=lambda value: f"{value.dtype} {tuple(value.shape)}",
)  # fmt: skip
def test_weights_of_another_kind(model, odd):
    tensors = {name: value.clone() for name, value in load_file(model.folder / WEIGHTS).items()}
    save_file(tensors | {"head.3.bias": odd}, model.folder / WEIGHTS)
    with pytest.raises(CheckpointError) as error:
        model.load_network(model.read_card())
    assert_one_sentence(error, WEIGHTS)


def test_config_comes_back(model):
    (model.folder / CONFIG).write_text(json.dumps({"dataset": "data/d.hdf5", "train": CONFIG_OF.to_dict()}))
    assert model.read_config() == {"dataset": "data/d.hdf5", "train": CONFIG_OF.to_dict()}


OTHER_VERSION = b'{"dataset": "d", "train": {"colour": "blue"}}'


def test_config_that_leaves_out_settings_has_their_defaults(model):
    (model.folder / CONFIG).write_text('{"dataset": "data/d.hdf5", "train": {"epochs": 3}}')
    assert read_train_config(model) == TrainConfig(epochs=3)


@pytest.mark.parametrize(
    ("files", "taken", "resumable"),
    [
        ([], False, False), ([CONFIG], False, True), ([CARD], True, False), ([CONFIG, WEIGHTS], True, False),
        ([CONFIG, "state/values.json"], True, True), (["state.old/values.json"], True, True),
        ([CONFIG, CARD, WEIGHTS, "state/values.json"], True, True), ([CONFIG, "job.json"], False, True),
    ],
)  # fmt: skip
def test_a_name_is_taken_and_a_run_can_go_on(home, files, taken, resumable):
    checkpoint = open_checkpoint("m")
    for name in files:
        (checkpoint.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (checkpoint.folder / name).touch()
    assert (checkpoint.is_taken, checkpoint.can_resume) == (taken, resumable)


def test_weights_wait_for_a_reader_as_other_files_do(model, monkeypatch):
    """On Windows a file that somebody reads cannot be replaced for that moment."""
    real, refusals = Path.replace, iter([True, True])

    def replace(self, target):
        if next(refusals, False):
            raise PermissionError(13, "in use")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    model.save_network(a_network())
    assert next(refusals, None) is None
    assert model.is_model


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'{"dataset": "d", "train": 3}', OTHER_VERSION, b'{"dataset": "d", "train": {"epochs": 0}}'],
)
def test_foreign_config(model, content):
    (model.folder / CONFIG).write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        read_train_config(model)
    assert_one_sentence(error, CONFIG)


@pytest.mark.parametrize("name", ["scratch", "imagenet", "Scratch", "ImageNet", "IMAGENET"])
def test_names_that_say_where_a_run_starts_are_none_of_a_model(home, name):
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(name)
    assert_one_sentence(error, f"“{name}” cannot be a model's name", "where a run starts", "choose another")
    assert open_checkpoint(f"{name} 2").name == f"{name} 2"


@pytest.mark.parametrize("name", ["pneumonia", "Röntgen 2", "a", "résumé_1.5+x", "2026-11-21", "x" * 80, "console"])
def test_names(home, name):
    checkpoint = open_checkpoint(name)
    assert checkpoint.name == name
    assert checkpoint.folder.parent == home / "checkpoints"
    checkpoint.folder.mkdir()


@pytest.mark.parametrize(
    "name",
    [
        "", " ", ".", "..", "../x", "a/b", "a\\b", "/etc", "C:\\x", "C:", ".hidden", "-x", " x", "x ", "x.", "x\n",
        "x\0", "x" * 81, "𝔸" * 80, "CON", "nul", "Aux.1", "com1", "LPT9.txt", "a:b", "a*", "a?", "<x>", "~",
    ],
)  # fmt: skip
def test_names_refused(home, name):
    with pytest.raises(CheckpointError, match=r"cannot be a model's name"):
        open_checkpoint(name)
    assert not any((home / "checkpoints").glob("*"))


def test_list_is_newest_first_and_knows_runs_from_models(model):
    base = (model.folder / CARD).stat().st_mtime
    for age, name in enumerate(["run", "older"], start=1):
        folder = open_checkpoint(name).folder
        folder.mkdir()
        (folder / CONFIG).write_text("{}")
        os.utime(folder / CONFIG, (base - age, base - age))
    (open_checkpoint("empty").folder).mkdir()
    assert [item.name for item in list_checkpoints()] == ["m", "run", "older"]
    (open_checkpoint("older").folder / HISTORY_FILE).write_text("")
    os.utime(open_checkpoint("older").folder / HISTORY_FILE, (base + 5, base + 5))
    assert [item.name for item in list_checkpoints()] == ["older", "m", "run"]
    assert [item.name for item in list_models()] == ["m"]


def test_list_bears_files_that_are_just_being_replaced(model):
    """A card's temporary file may be gone between being listed and being looked at."""
    (model.folder / f"{CARD}.123.partial").symlink_to(model.folder / "gone")
    assert [item.name for item in list_checkpoints()] == ["m"]
