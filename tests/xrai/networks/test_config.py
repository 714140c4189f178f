"""The settings of a training run: their limits, their words, and their way through JSON and the command line."""

import json
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from xrai.cli.parser import make_parser
from xrai.core.errors import SettingsError
from xrai.networks.config import ARCHITECTURE_SETTINGS, MAX_DENSE_WEIGHTS, NETWORKS, WITHOUT_IMAGENET, convnet_filters
from xrai.training.config import PRESETS, TrainConfig, default_settings, format_value

FIELDS = {item.name: item for item in fields(TrainConfig)}
LIMITED = [name for name, item in FIELDS.items() if item.metadata["low"] is not None]
WORDS = [name for name, item in FIELDS.items() if item.metadata["choices"]]

NEEDS = {
    "devices": {"batch_size": 1024},
    "blocks": {"image_size": 512},
    "head_epochs": {"weights": "some model", "epochs": 1000},
}
"""What else must be set for a field to go to its limits."""

CHANGED = {
    "network": "convnet", "weights": "Röntgen 2", "image_size": 96, "epochs": 3, "batch_size": 6,
    "learning_rate": 1.5e-07, "head_epochs": 2, "fine_tune": 0.25, "optimizer": "sgd", "schedule": "cosine",
    "weight_decay": 0.1, "label_smoothing": 0.05, "balance": "loss", "augment": 0.123456789012345, "erase": 0.5,
    "flip": True, "mixup": 0.2, "ema": 0.998, "greys": "scan", "members": 1, "border": 0.4, "quality": 0.3,
    "borrow": 0.2, "stretch": 0.6, "patience": 4, "keep": "loss", "seed": 2**31 - 1, "precision": "bf16", "devices": 2,
    "blocks": 3, "filters": 8, "dense_layers": 2, "dense_units": 32, "activation": "gelu", "dropout": 0.3,
}  # fmt: skip

STARTS = [
    {"weights": "imagenet"}, {"weights": "imagenet", "head_epochs": 3, "fine_tune": 0.05}, {"weights": "pneumonia"},
    {"weights": "my model", "network": "convnet", "head_epochs": 1, "epochs": 2},
    {"network": "resnet18_half", "members": 4},
    {"weights": "m", "network": "densenet121", "image_size": 224, "blocks": 3},
]  # fmt: skip
"""Runs that start from something learned."""


def config_of(**values: Any) -> TrainConfig:
    return TrainConfig(**values)


def parsed(arguments):
    """The settings that the command line makes of some arguments."""
    options = make_parser().parse_args(["train", "some.hdf5", "--name", "some", *arguments])
    given = {name: getattr(options, name) for name in FIELDS}
    return config_of(**{name: value for name, value in given.items() if value is not None})


class TestLimits:
    def test_every_number_has_limits_and_every_word_its_choices(self):
        for item in FIELDS.values():
            rules = item.metadata
            if type(item.default) in (int, float):
                assert rules["low"] < rules["high"]
            elif type(item.default) is str and item.name != "weights":  # which may name a model
                assert item.default in rules["choices"]
            assert rules["help"]

    @pytest.mark.parametrize("name", LIMITED)
    def test_a_number_at_its_limits_is_taken_and_one_beyond_is_refused(self, name):
        rules, kind = FIELDS[name].metadata, type(FIELDS[name].default)
        step = 1 if kind is int else 1e-3
        others = NEEDS.get(name, {})
        for limit, beyond in ((rules["low"], rules["low"] - step), (rules["high"], rules["high"] + step)):
            assert getattr(config_of(**{name: kind(limit)}, **others), name) == limit
            with pytest.raises(SettingsError, match=name.replace("_", " ")) as error:
                config_of(**{name: kind(beyond)}, **others)
            assert f"must lie between {rules['low']} and {rules['high']}" in str(error.value)

    @pytest.mark.parametrize("name", LIMITED)
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10**400, -(10**400)])
    def test_what_is_no_number_or_endless_is_refused(self, name, value):
        with pytest.raises(SettingsError, match=name.replace("_", " ")):
            config_of(**{name: value})

    @pytest.mark.parametrize("name", WORDS)
    def test_an_unknown_word_is_refused_with_the_known_ones(self, name):
        with pytest.raises(SettingsError, match="must be one of: ") as error:
            config_of(**{name: "nonsense"})
        assert all(choice in str(error.value) for choice in FIELDS[name].metadata["choices"])

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            (name, value)
            for name, item in FIELDS.items()
            for value in (None, [], "3.5", True, 1.5, b"x")
            if type(value) is not type(item.default)
        ],
    )
    def test_another_type_is_refused(self, name, value):
        with pytest.raises(SettingsError, match=name.replace("_", " ")):
            config_of(**{name: value})

    def test_a_whole_number_does_for_a_broken_one(self):
        config = TrainConfig(learning_rate=1)
        assert type(config.learning_rate) is float

    def test_it_cannot_be_changed(self):
        with pytest.raises(FrozenInstanceError):
            TrainConfig().epochs = 3  # type: ignore[misc]


class TestWhatGoesTogether:
    def test_a_batch_is_shared_equally(self):
        with pytest.raises(SettingsError, match="multiple of 3"):
            TrainConfig(batch_size=32, devices=3)
        assert TrainConfig(batch_size=33, devices=3).devices == 3

    def test_every_device_gets_two_scans(self):
        with pytest.raises(SettingsError, match="at least 8"):
            TrainConfig(batch_size=4, devices=4)
        assert TrainConfig(batch_size=8, devices=4).batch_size == 8

    @pytest.mark.parametrize("network", ["convnet", "densenet121"])
    def test_only_resnets_learn_side_by_side(self, network):
        with pytest.raises(SettingsError, match="Only ResNets"):
            TrainConfig(network=network, members=2)

    def test_members_do_not_begin_alike(self):
        with pytest.raises(SettingsError, match="all members would begin alike"):
            TrainConfig(network="resnet18", members=2, weights="imagenet")

    @pytest.mark.parametrize(("network", "said"), WITHOUT_IMAGENET.items())
    def test_some_have_no_imagenet_weights(self, network, said):
        with pytest.raises(SettingsError, match=said):
            TrainConfig(network=network, weights="imagenet")

    def test_the_convnet_has_those_of_ones_own_models(self):
        config = TrainConfig(network="convnet", weights="my model", head_epochs=2)
        assert (config.weights, config.source_model) == ("my model", "my model")

    @pytest.mark.parametrize("network", sorted(set(NETWORKS) - set(WITHOUT_IMAGENET)))
    def test_the_others_have(self, network):
        assert TrainConfig(network=network, weights="imagenet").weights == "imagenet"

    def test_blocks_must_leave_something_of_the_image(self):
        assert TrainConfig(network="convnet", image_size=32, blocks=4).blocks == 4
        with pytest.raises(SettingsError, match="at least 64"):
            TrainConfig(network="convnet", image_size=32, blocks=5)
        assert TrainConfig(network="resnet18", image_size=32, blocks=5).blocks == 5

    def test_a_convnet_too_large_for_any_memory_is_refused(self):
        large = {"network": "convnet", "image_size": 512, "blocks": 1, "filters": 128, "dense_units": 2048}
        with pytest.raises(SettingsError, match="17,180 million weights"):
            config_of(**large)
        assert config_of(**large | {"dense_layers": 0}).filters == 128
        assert 128 * 256**2 * 1 <= MAX_DENSE_WEIGHTS < 128 * 256**2 * 2048

    def test_filters_double_up_to_512(self):
        assert [convnet_filters(16, block) for block in range(7)] == [16, 32, 64, 128, 256, 512, 512]

    @pytest.mark.parametrize("weights", ["pneumonia", "Röntgen 2", "ImageNet 2", "x" * 80])
    def test_weights_may_be_those_of_any_model(self, weights):
        assert TrainConfig(weights=weights).weights == weights

    @pytest.mark.parametrize("weights", ["", " ", "\n"])
    def test_weights_of_no_name_are_refused(self, weights):
        with pytest.raises(SettingsError, match="“weights” is empty: choose scratch, imagenet, or one of your models"):
            TrainConfig(weights=weights)

    @pytest.mark.parametrize(("weights", "model"), [("scratch", None), ("imagenet", None), ("mine", "mine")])
    def test_the_model_that_a_run_starts_from(self, weights, model):
        assert TrainConfig(weights=weights).source_model == model

    def test_a_head_does_not_learn_alone_on_a_network_that_knows_nothing(self):
        with pytest.raises(SettingsError, match="has learned nothing: set “head epochs” to 0"):
            TrainConfig(head_epochs=1)
        assert TrainConfig(head_epochs=0).head_epochs == 0

    @pytest.mark.parametrize("weights", ["imagenet", "mine"])
    def test_an_epoch_is_left_for_the_whole_network(self, weights):
        assert TrainConfig(weights=weights, epochs=4, head_epochs=3).head_epochs == 3
        for too_many in (4, 5):
            with pytest.raises(SettingsError, match=f"Of 4 epochs, {too_many} for the last layer alone leave none"):
                TrainConfig(weights=weights, epochs=4, head_epochs=too_many)

    def test_the_shape_of_a_network(self):
        """What a run takes over from a model: its layers, and what they see."""
        convnet = config_of(**CHANGED)
        assert convnet.shape == {name: CHANGED[name] for name in ARCHITECTURE_SETTINGS if name != "members"}
        assert set(ARCHITECTURE_SETTINGS) < set(FIELDS)
        convnet_only = {name for name, item in FIELDS.items() if item.metadata["help"].startswith("convnet only")}
        assert set(ARCHITECTURE_SETTINGS) == {"network", "image_size", "greys", "members", *convnet_only}
        for network in set(NETWORKS) - {"convnet"}:
            config = TrainConfig(network=network, image_size=64, blocks=3)
            members = {"members": 1} if network.startswith("resnet") else {}
            assert config.shape == {"network": network, "image_size": 64, "greys": "set", **members}

    @pytest.mark.parametrize("preset", PRESETS)
    def test_presets_are_settings(self, preset):
        assert config_of(**PRESETS[preset]) != TrainConfig()


def test_early_stopping_and_keeping_the_last_epoch_do_not_go_together():
    with pytest.raises(SettingsError, match="Early stopping waits for a better epoch"):
        config_of(keep="last", patience=3)
    assert config_of(keep="loss", patience=3).patience == 3


def test_the_share_after_the_head_epochs_says_that_it_needs_them():
    """Whoever varied it alone trained the same model several times, and nothing said so."""
    assert "without head epochs it changes nothing" in FIELDS["fine_tune"].metadata["help"]


class TestRoundTrips:
    def test_all_settings_are_tried_here(self):
        assert set(CHANGED) == set(FIELDS)
        unchanged = {name for name, value in CHANGED.items() if value == default_settings()[name]}
        assert unchanged == {"members"}  # which no convnet has: it is tried in STARTS

    @pytest.mark.parametrize("values", [{}, CHANGED, *STARTS, *PRESETS.values()])
    def test_json(self, values):
        config = config_of(**values)
        assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config

    @pytest.mark.parametrize("values", [{}, CHANGED, *STARTS, *PRESETS.values()])
    def test_command_line(self, values):
        config = config_of(**values)
        assert parsed(config.to_arguments()) == config

    @pytest.mark.parametrize("network", ["resnet18", "convnet"])
    def test_the_arguments_of_a_run_that_starts_from_a_model_name_its_shape(self, network):
        """What they leave out would be taken over from that model, which may be another by then."""
        config = TrainConfig(network=network, weights="mine")
        arguments = config.to_arguments()
        said = dict(zip(arguments[::2], arguments[1::2], strict=True))
        shape = {f"--{name.replace('_', '-')}": str(value) for name, value in config.shape.items()}
        assert said == {"--weights": "mine"} | shape
        assert config.shape["image_size"] == default_settings()["image_size"]

    @pytest.mark.parametrize("weights", ["scratch", "imagenet"])
    def test_the_arguments_of_others_leave_out_the_defaults(self, weights):
        assert len(TrainConfig(weights=weights).to_arguments()) == (0 if weights == "scratch" else 2)

    def test_defaults_need_no_flags(self):
        assert TrainConfig().to_arguments() == []
        assert config_of(**default_settings()) == TrainConfig()

    @pytest.mark.parametrize(
        "arguments", [["--flip", "maybe"], ["--epochs", "3.5"], ["--network", "vgg"], ["--depth", "3"]]
    )
    def test_wrong_usage_ends_with_2(self, arguments, capsys):
        with pytest.raises(SystemExit) as ended:
            parsed(arguments)
        assert ended.value.code == 2
        assert arguments[0] in capsys.readouterr().err

    @pytest.mark.parametrize(("value", "typed"), [(True, "yes"), (False, "no"), (0, "0"), (0.5, "0.5"), ("sgd", "sgd")])
    def test_a_value_is_worded_as_it_is_typed(self, value, typed):
        assert format_value(value) == typed

    def test_an_unknown_setting_is_named(self):
        with pytest.raises(SettingsError, match="'depth'"):
            TrainConfig.from_dict({"epochs": 3, "depth": 18})

    def test_a_setting_that_is_missing_takes_its_default(self):
        assert TrainConfig.from_dict({"epochs": 3}) == TrainConfig(epochs=3)

    def test_settings_from_before_runs_started_from_models(self):
        values = {name: value for name, value in default_settings().items() if name not in ("head_epochs", "fine_tune")}
        config = TrainConfig.from_dict(values | {"weights": "imagenet", "epochs": 1})
        assert (config.head_epochs, config.source_model) == (0, None)
        assert config == TrainConfig(weights="imagenet", epochs=1)
