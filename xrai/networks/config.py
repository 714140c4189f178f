"""Network configuration: the settings that decide a network's layers and the images that it sees."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from xrai.core.errors import SettingsError
from xrai.core.language import N_, Message
from xrai.core.records import Record

NETWORKS: dict[str, str] = {
    "convnet": N_("Plain convnet: convolution and max-pooling blocks, then dense layers; small and fast to train"),
    "resnet18": N_("ResNet-18: a good first choice on an ordinary computer"),
    "resnet18_half": N_("ResNet-18 half: half the filters, heatmaps twice as fine, more than twice as fast to train"),
    "resnet50": N_("ResNet-50: deeper; needs a graphics card"),
    "resnet101": N_("ResNet-101: deeper still; needs a graphics card"),
    "densenet121": N_("DenseNet-121: the classic of chest X-ray research; slow without a graphics card"),
    "mobilenet_v3_small": N_("MobileNetV3 small: the fastest"),
    "efficientnet_b0": N_("EfficientNet-B0: small, slow to train"),
}
"""Every network that can be trained, with a one-line description."""

WITHOUT_IMAGENET = {
    "convnet": N_("The plain convnet has no ImageNet weights: choose scratch, or another network."),
    "resnet18_half": N_("The half ResNet-18 has no ImageNet weights: choose scratch, or another network."),
}
"""Networks without ImageNet weights, with the error message."""

SCRATCH, IMAGENET = "scratch", "imagenet"
"""Initial weights other than those of a trained model."""

CONVNET_SETTINGS = ("blocks", "filters", "dense_layers", "dense_units", "activation")
ARCHITECTURE_SETTINGS = ("network", "image_size", "normalize", "ensemble_size", *CONVNET_SETTINGS)
"""Settings that a run inherits from the model whose weights it starts from."""

MAX_DENSE_WEIGHTS = 100_000_000


class Setting(NamedTuple):
    """The declaration of a setting, which generates its command-line flag and its form control.

    Attributes:
        default: also gives the type.
        label: capitalised.
        help: one or two sentences.
        limits: lowest and highest value of a number.
        choices: of a word; empty where any word will do.
    """

    default: Any
    label: Message
    help: Message
    limits: tuple[float, float] | None
    choices: tuple[str, ...]


def setting(
    label: str, default: Any, *, limits: tuple[float, float] | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """A pydantic field that declares a setting; the docstring below the field is the help text."""
    return Field(default, title=label, json_schema_extra={"limits": limits, "choices": choices})  # type: ignore[dict-item]


class NetworkConfig(Record):
    """What decides a network's layers and what they see.

    Raises:
        SettingsError: a value is outside its limits; the message names the setting, the value and the limits.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    network: str = setting("Network architecture", "resnet18", choices=tuple(NETWORKS))
    """The type of neural network to train. Larger networks can learn finer differences, but train more slowly."""
    image_size: int = setting("Image size", 128, limits=(32, 512))
    """Side length, in pixels, of the images the network sees. Larger images show finer detail and make training
    slower."""
    normalize: str = setting("Intensity normalization", "dataset", choices=("dataset", "image"))
    """Normalize pixel values with the mean and standard deviation of the whole training set (dataset), or with
    those of each image (image), so that exposure differences matter less."""
    ensemble_size: int = setting("Ensemble size", 1, limits=(1, 8))
    """How many networks are trained side by side; the model's answer is the mean of theirs. A larger ensemble is
    more stable and slower. Residual networks (ResNet) only, and not with ImageNet weights."""
    blocks: int = setting("Convolution blocks", 4, limits=(1, 7))
    """Plain convnet only: number of convolution and pooling blocks. Each block doubles the field of view and halves
    the resolution of the feature maps."""
    filters: int = setting("Filters in the first block", 16, limits=(2, 128))
    """Plain convnet only: number of filters in the first block; it doubles in each following block."""
    dense_layers: int = setting("Hidden dense layers", 1, limits=(0, 4))
    """Plain convnet only: number of fully connected hidden layers after the convolution blocks."""
    dense_units: int = setting("Units per dense layer", 64, limits=(2, 2048))
    """Plain convnet only: number of units in each hidden dense layer. More units can learn more, and overfit more
    easily."""
    activation: str = setting("Activation function", "relu", choices=("relu", "leaky_relu", "elu", "gelu", "silu"))
    """Plain convnet only: the nonlinear function after each layer. ReLU sets negative values to zero; the others
    let part of them through."""
    dropout: float = setting("Dropout", 0.2, limits=(0.0, 0.9))
    """Fraction of the last layer's inputs that is set to zero at random during training. Higher values reduce
    overfitting."""

    @field_validator("*", mode="before")
    @classmethod
    def _check_field(cls, value: Any, info: ValidationInfo) -> Any:
        return _check_value(settings_of(cls)[str(info.field_name)], value)

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        if self.ensemble_size > 1 and not applies_to("ensemble_size", self.network):
            raise SettingsError(
                "Only ResNets can be trained as an ensemble: choose one of them, or set “Ensemble size” to 1."
            )
        if self.network == "convnet":
            self._check_convnet()
        return self

    @property
    def shape(self) -> dict[str, Any]:
        """The settings that a run which starts from this network's weights inherits."""
        return {name: getattr(self, name) for name in ARCHITECTURE_SETTINGS if applies_to(name, self.network)}

    @property
    def layer_settings(self) -> tuple[str, ...]:
        """The names of the settings that decide the layers; only a convnet's depend on the image size."""
        if self.network == "convnet":
            return ("network", "image_size", *CONVNET_SETTINGS)
        return ("network", "ensemble_size")

    @property
    def network_config(self) -> NetworkConfig:
        """The network's settings alone."""
        return NetworkConfig(**{name: getattr(self, name) for name in NetworkConfig.model_fields})

    def replace(self, **changes: Any) -> Self:
        """A validated copy with other values."""
        return type(self)(**{**dict(self), **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The settings read back from a file.

        Raises:
            SettingsError: a name is unknown or a value is outside its limits.
        """
        if unknown := sorted(set(values) - set(cls.model_fields)):
            raise SettingsError(
                "Unknown training setting {name}: the file was written by another version of XRAI.",
                name=repr(unknown[0]),
            )
        return cls(**values)

    def _check_convnet(self) -> None:
        """Refuse a plain convnet that cannot be built.

        Raises:
            SettingsError: its blocks leave nothing of the image, or its first dense layer does not fit into memory.
        """
        if self.image_size < (min_size := 2 ** (self.blocks + 1)):
            raise SettingsError(
                "{blocks} blocks halve {image_size} pixels down to nothing: "
                "use fewer blocks, or an image size of at least {min_size}.",
                blocks=self.blocks,
                image_size=self.image_size,
                min_size=min_size,
            )
        channels = convnet_filters(self.filters, self.blocks - 1)
        side = self.image_size // 2**self.blocks
        n_weights = channels * side**2 * (self.dense_units if self.dense_layers else 1)
        if n_weights > MAX_DENSE_WEIGHTS:
            raise SettingsError(
                "The convnet's first dense layer would have {millions:,.0f} million weights, more than "
                "fits into an ordinary memory: use more blocks, fewer filters or dense units, or a smaller image.",
                millions=n_weights / 1e6,
            )


def convnet_filters(first: int, block: int) -> int:
    """Filters of a convnet's block, counted from 0: doubled from block to block, up to 512."""
    return min(first * 2**block, 512)


def applies_to(name: str, network: str) -> bool:
    """Whether a setting has an effect on a network."""
    if name in CONVNET_SETTINGS:
        return network == "convnet"
    return name != "ensemble_size" or network.startswith("resnet")


@cache
def settings_of(config: type[NetworkConfig]) -> dict[str, Setting]:
    """The declaration of every setting of a configuration, by name."""
    return {
        name: Setting(
            item.default,
            Message(item.title or ""),
            Message(" ".join((item.description or "").split())),
            **item.json_schema_extra,  # type: ignore[arg-type]
        )
        for name, item in config.model_fields.items()
    }


def _check_value(declaration: Setting, value: Any) -> Any:
    """The value in its setting's type.

    Raises:
        SettingsError: it has another type, or lies outside the limits.
    """
    label, value_type = declaration.label, type(declaration.default)
    if value_type is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not value_type:
        raise SettingsError(
            "The setting “{setting}” must be a {type}, but it is {value}.",
            setting=label,
            type=_TYPE_NAMES[value_type],
            value=repr(value),
        )
    if declaration.choices and value not in declaration.choices:
        raise SettingsError(
            "The setting “{setting}” is {value}, but must be one of: {choices}.",
            setting=label,
            value=repr(value),
            choices=declaration.choices,
        )
    if (limits := declaration.limits) and not limits[0] <= value <= limits[1]:  # also refuses nan
        raise SettingsError(
            "The setting “{setting}” is {value}, but must lie between {low} and {high}.",
            setting=label,
            value=value,
            low=limits[0],
            high=limits[1],
        )
    return value


_TYPE_NAMES = {int: N_("whole number"), float: N_("number"), str: N_("word"), bool: N_("yes or no")}
