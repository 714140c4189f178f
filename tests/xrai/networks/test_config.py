"""Tests of `xrai.networks.config`: what decides a network's layers."""

import pytest

from xrai.core.errors import SettingsError
from xrai.networks.config import MAX_DENSE_WEIGHTS, NetworkConfig, convnet_filters
from xrai.training.config import TrainConfig


@pytest.mark.parametrize("network", ["convnet", "densenet121"])
def test_only_resnets_learn_side_by_side(network):
    with pytest.raises(SettingsError, match="Only ResNets"):
        NetworkConfig(network=network, ensemble_size=2)


def test_blocks_must_leave_something_of_the_image():
    assert NetworkConfig(network="convnet", image_size=32, blocks=4).blocks == 4
    with pytest.raises(SettingsError, match="at least 64"):
        NetworkConfig(network="convnet", image_size=32, blocks=5)
    assert NetworkConfig(network="resnet18", image_size=32, blocks=5).blocks == 5


def test_a_convnet_too_large_for_any_memory_is_refused():
    large = {"network": "convnet", "image_size": 512, "blocks": 1, "filters": 128, "dense_units": 2048}
    with pytest.raises(SettingsError, match="17,180 million weights"):
        NetworkConfig(**large)
    assert NetworkConfig(**large | {"dense_layers": 0}).filters == 128
    assert 128 * 256**2 * 1 <= MAX_DENSE_WEIGHTS < 128 * 256**2 * 2048


def test_filters_double_up_to_512():
    assert [convnet_filters(16, block) for block in range(7)] == [16, 32, 64, 128, 256, 512, 512]


def test_the_network_s_part_of_a_training_configuration():
    config = TrainConfig(network="convnet", blocks=3, epochs=4)
    assert config.network_config == NetworkConfig(network="convnet", blocks=3)
    assert type(config.network_config) is NetworkConfig
    assert NetworkConfig.from_dict(config.network_config.to_dict()) == config.network_config


def test_a_copy_with_other_values_is_checked():
    assert NetworkConfig().replace(image_size=64).image_size == 64
    with pytest.raises(SettingsError, match="Image size"):
        NetworkConfig().replace(image_size=5)


def test_a_training_setting_is_no_network_setting():
    with pytest.raises(SettingsError, match="'epochs'"):
        NetworkConfig.from_dict({"epochs": 3})
