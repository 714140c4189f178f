"""The settings of a training run: their limits, their words, and their way through JSON and the command line."""

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from xrai.cli.parser import make_parser
from xrai.core.errors import SettingsError
from xrai.networks.config import ARCHITECTURE_SETTINGS, NETWORKS, WITHOUT_IMAGENET, settings_of
from xrai.training.config import PRESETS, TrainConfig, default_settings, differing_settings, format_value

SETTINGS = settings_of(TrainConfig)
LIMITED = [name for name, item in SETTINGS.items() if item.limits]
WORDS = [name for name, item in SETTINGS.items() if item.choices]

NEEDS = {
    "devices": {"batch_size": 1024},
    "blocks": {"image_size": 512},
    "freeze_epochs": {"weights": "some model", "epochs": 1000},
}
"""What else must be set for a field to go to its limits."""

CHANGED = {
    "network": "convnet",
    "weights": "Röntgen 2",
    "image_size": 96,
    "epochs": 3,
    "batch_size": 6,
    "learning_rate": 1.5e-07,
    "freeze_epochs": 2,
    "finetune_lr_scale": 0.25,
    "optimizer": "sgd",
    "schedule": "cosine",
    "weight_decay": 0.1,
    "label_smoothing": 0.05,
    "class_balance": "loss",
    "augment_strength": 0.123456789012345,
    "erase_prob": 0.5,
    "hflip": True,
    "mixup_alpha": 0.2,
    "ema_decay": 0.998,
    "normalize": "image",
    "ensemble_size": 1,
    "border_prob": 0.4,
    "quality_prob": 0.3,
    "appearance_transfer_prob": 0.2,
    "aspect_jitter_prob": 0.6,
    "patience": 4,
    "select_by": "loss",
    "seed": 2**31 - 1,
    "precision": "bf16",
    "devices": 2,
    "blocks": 3,
    "filters": 8,
    "dense_layers": 2,
    "dense_units": 32,
    "activation": "gelu",
    "dropout": 0.3,
}

STARTS = [
    {"weights": "imagenet"},
    {"weights": "imagenet", "freeze_epochs": 3, "finetune_lr_scale": 0.05},
    {"weights": "pneumonia"},
    {"weights": "my model", "network": "convnet", "freeze_epochs": 1, "epochs": 2},
    {"network": "resnet18_half", "ensemble_size": 4},
    {"weights": "m", "network": "densenet121", "image_size": 224, "blocks": 3},
]
"""Runs that start from something learned."""


def config_of(**values: Any) -> TrainConfig:
    return TrainConfig(**values)


def parsed(arguments):
    """The settings that the command line makes of some arguments."""
    options = make_parser().parse_args(["train", "some.hdf5", "--name", "some", *arguments])
    given = {name: getattr(options, name) for name in SETTINGS}
    return config_of(**{name: value for name, value in given.items() if value is not None})


class TestLimits:
    def test_every_number_has_limits_and_every_word_its_choices(self):
        for name, item in SETTINGS.items():
            if type(item.default) in (int, float):
                assert item.limits[0] < item.limits[1]
            elif type(item.default) is str and name != "weights":  # which may name a model
                assert item.default in item.choices
            assert item.label[0].isupper() and item.help.endswith(".")

    @pytest.mark.parametrize("name", LIMITED)
    def test_a_number_at_its_limits_is_taken_and_one_beyond_is_refused(self, name):
        rules, kind = SETTINGS[name], type(SETTINGS[name].default)
        step = 1 if kind is int else 1e-3
        others = NEEDS.get(name, {})
        for limit, beyond in ((rules.limits[0], rules.limits[0] - step), (rules.limits[1], rules.limits[1] + step)):
            assert getattr(config_of(**{name: kind(limit)}, **others), name) == limit
            with pytest.raises(SettingsError, match=re.escape(SETTINGS[name].label)) as error:
                config_of(**{name: kind(beyond)}, **others)
            assert f"must lie between {rules.limits[0]} and {rules.limits[1]}" in str(error.value)

    @pytest.mark.parametrize("name", LIMITED)
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10**400, -(10**400)])
    def test_what_is_no_number_or_endless_is_refused(self, name, value):
        with pytest.raises(SettingsError, match=re.escape(SETTINGS[name].label)):
            config_of(**{name: value})

    @pytest.mark.parametrize("name", WORDS)
    def test_an_unknown_word_is_refused_with_the_known_ones(self, name):
        with pytest.raises(SettingsError, match="must be one of: ") as error:
            config_of(**{name: "nonsense"})
        assert all(choice in str(error.value) for choice in SETTINGS[name].choices)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            (name, value)
            for name, item in SETTINGS.items()
            for value in (None, [], "3.5", True, 1.5, b"x")
            if type(value) is not type(item.default)
        ],
    )
    def test_another_type_is_refused(self, name, value):
        with pytest.raises(SettingsError, match=re.escape(SETTINGS[name].label)):
            config_of(**{name: value})

    def test_a_whole_number_does_for_a_broken_one(self):
        config = TrainConfig(learning_rate=1)
        assert type(config.learning_rate) is float

    def test_it_cannot_be_changed(self):
        with pytest.raises(ValidationError):
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

    def test_members_do_not_begin_alike(self):
        with pytest.raises(SettingsError, match="would start equal and stay equal"):
            TrainConfig(network="resnet18", ensemble_size=2, weights="imagenet")

    @pytest.mark.parametrize(("network", "said"), WITHOUT_IMAGENET.items())
    def test_some_have_no_imagenet_weights(self, network, said):
        with pytest.raises(SettingsError, match=re.escape(said)):
            TrainConfig(network=network, weights="imagenet")

    def test_the_convnet_has_those_of_ones_own_models(self):
        config = TrainConfig(network="convnet", weights="my model", freeze_epochs=2)
        assert (config.weights, config.source_model) == ("my model", "my model")

    @pytest.mark.parametrize("network", sorted(set(NETWORKS) - set(WITHOUT_IMAGENET)))
    def test_the_others_have(self, network):
        assert TrainConfig(network=network, weights="imagenet").weights == "imagenet"

    @pytest.mark.parametrize("weights", ["pneumonia", "Röntgen 2", "ImageNet 2", "x" * 80])
    def test_weights_may_be_those_of_any_model(self, weights):
        assert TrainConfig(weights=weights).weights == weights

    @pytest.mark.parametrize("weights", ["", " ", "\n"])
    def test_weights_of_no_name_are_refused(self, weights):
        with pytest.raises(SettingsError, match="“Initial weights” is empty: choose scratch"):
            TrainConfig(weights=weights)

    @pytest.mark.parametrize(("weights", "model"), [("scratch", None), ("imagenet", None), ("mine", "mine")])
    def test_the_model_that_a_run_starts_from(self, weights, model):
        assert TrainConfig(weights=weights).source_model == model

    def test_a_head_does_not_learn_alone_on_a_network_that_knows_nothing(self):
        with pytest.raises(SettingsError, match="cannot be frozen: set “Freeze epochs” to 0"):
            TrainConfig(freeze_epochs=1)
        assert TrainConfig(freeze_epochs=0).freeze_epochs == 0

    @pytest.mark.parametrize("weights", ["imagenet", "mine"])
    def test_an_epoch_is_left_for_the_whole_network(self, weights):
        assert TrainConfig(weights=weights, epochs=4, freeze_epochs=3).freeze_epochs == 3
        for too_many in (4, 5):
            with pytest.raises(SettingsError, match=f"Of 4 epochs, {too_many} frozen ones leave none"):
                TrainConfig(weights=weights, epochs=4, freeze_epochs=too_many)

    def test_the_shape_of_a_network(self):
        """What a run takes over from a model: its layers, and what they see."""
        convnet = config_of(**CHANGED)
        assert convnet.shape == {name: CHANGED[name] for name in ARCHITECTURE_SETTINGS if name != "ensemble_size"}
        assert set(ARCHITECTURE_SETTINGS) < set(SETTINGS)
        convnet_only = {name for name, item in SETTINGS.items() if item.help.startswith("Plain convnet only")}
        assert set(ARCHITECTURE_SETTINGS) == {"network", "image_size", "normalize", "ensemble_size", *convnet_only}
        for network in set(NETWORKS) - {"convnet"}:
            config = TrainConfig(network=network, image_size=64, blocks=3)
            members = {"ensemble_size": 1} if network.startswith("resnet") else {}
            assert config.shape == {"network": network, "image_size": 64, "normalize": "dataset", **members}

    @pytest.mark.parametrize("preset", PRESETS)
    def test_presets_are_settings(self, preset):
        assert config_of(**PRESETS[preset]) != TrainConfig()


def test_early_stopping_and_keeping_the_last_epoch_do_not_go_together():
    with pytest.raises(SettingsError, match="Early stopping waits for a better epoch"):
        config_of(select_by="last", patience=3)
    assert config_of(select_by="loss", patience=3).patience == 3


def test_the_scale_after_the_freeze_epochs_says_that_it_needs_them():
    """Whoever varied it alone trained the same model several times, and nothing said so."""
    assert "No effect without freeze epochs" in SETTINGS["finetune_lr_scale"].help


class TestRoundTrips:
    def test_all_settings_are_tried_here(self):
        assert set(CHANGED) == set(SETTINGS)
        unchanged = {name for name, value in CHANGED.items() if value == default_settings()[name]}
        assert unchanged == {"ensemble_size"}  # which no convnet has: it is tried in STARTS

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
        "arguments", [["--hflip", "maybe"], ["--epochs", "3.5"], ["--network", "vgg"], ["--depth", "3"]]
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

    def test_the_settings_in_which_runs_differ(self):
        one, two = TrainConfig(), TrainConfig(epochs=99, network="convnet")
        assert differing_settings([one.to_dict(), two.to_dict(), one.to_dict()]) == ["network", "epochs"]
        assert differing_settings([{"epochs": TrainConfig().epochs}, {}]) == []
        assert differing_settings([{}, {"epochs": 99}]) == ["epochs"]
        assert differing_settings([]) == differing_settings([{"epochs": 3}]) == []

    def test_a_setting_that_is_missing_takes_its_default(self):
        assert TrainConfig.from_dict({"epochs": 3}) == TrainConfig(epochs=3)
