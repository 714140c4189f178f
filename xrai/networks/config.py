"""What can be asked of a training run: one frozen, validated dataclass that the command line and the page share.

Each field carries its own help text and limits in its metadata, so that a flag of `python -m xrai train`
and a control of the Train page are the same thing said twice by the machine, not by us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any

from xrai.core.errors import SettingsError
from xrai.core.language import N_

NETWORKS: dict[str, str] = {
    "convnet": N_("Plain convnet: convolution and max-pooling blocks, then dense layers; small, and quick to train"),
    "resnet18": N_("ResNet-18: a good first choice on an ordinary computer"),
    "resnet18_half": N_("ResNet-18 half: half its filters, heatmaps twice as fine, more than twice as fast to train"),
    "resnet50": N_("ResNet-50: deeper, wants a graphics card"),
    "resnet101": N_("ResNet-101: deeper still, wants a graphics card"),
    "densenet121": N_("DenseNet-121: the classic of chest X-ray research, slow without a graphics card"),
    "mobilenet_v3_small": N_("MobileNetV3 small: the fastest"),
    "efficientnet_b0": N_("EfficientNet-B0: small, slow to train"),
}
"""Every network that can be trained, and a line for who has to choose."""

WITHOUT_IMAGENET = {
    "convnet": N_("The plain convnet has no ImageNet weights: choose scratch, or another network."),
    "resnet18_half": N_("The half ResNet-18 has no ImageNet weights: choose scratch, or another network."),
}
"""Those that nobody has trained on ImageNet, and what is said to who asks for that."""


SCRATCH, IMAGENET = "scratch", "imagenet"
"""Where weights start when it is not a model of one's own."""

CONVNET_SETTINGS = ("blocks", "filters", "dense_layers", "dense_units", "activation")
ARCHITECTURE_SETTINGS = ("network", "image_size", "greys", "members", *CONVNET_SETTINGS)
"""What a run takes over from the model that it starts from, unless it says otherwise."""

MAX_DENSE_WEIGHTS = 100_000_000

PRESETS: dict[str, dict[str, Any]] = {
    "Quick look": {
        "network": "convnet",
        "image_size": 96,
        "epochs": 25,
        "batch_size": 16,
        "augment": 0.5,
        "erase": 0.0,
        "blocks": 5,
        "dropout": 0.0,
    },
    "Balanced": {"network": "resnet18", "image_size": 128, "epochs": 12},
    "Best": {
        "network": "resnet18_half",
        "members": 4,
        "image_size": 128,
        "epochs": 28,
        "batch_size": 64,
        "learning_rate": 0.002,
        "greys": "scan",
        "quality": 0.3,
        "borrow": 0.3,
        "stretch": 1.0,
        "ema": 0.998,
        "keep": "last",
    },
    "Transfer learning": {
        "network": "resnet101",
        "weights": IMAGENET,
        "image_size": 224,
        "epochs": 15,
        "head_epochs": 3,
        "fine_tune": 0.1,
    },
}
"""Settings that go well together: minutes, an hour, as good as an ordinary computer gets, and for a graphics card."""

FROM_MODEL_PRESET: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 0.001,
    "head_epochs": 2,
    "fine_tune": 0.5,
    "ema": 0.98,
}
"""Settings that go well with a model of one's own as the start, for few scans."""


def _setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run, apart from the dataset and the model's name.

    Raises:
        SettingsError: a value is outside its limits; the message names the field, the value and the limits.
    """

    network: str = _setting("resnet18", N_("which network to train"), choices=tuple(NETWORKS))
    weights: str = _setting(
        SCRATCH,
        N_(
            "where it starts: from nothing (scratch), from what a network learned on a million photos (imagenet, "
            "downloaded once), or from one of your models, by its name"
        ),
    )
    members: int = _setting(
        1,
        N_(
            "ResNets only, and not from imagenet: how many networks learn side by side and answer together, by the "
            "mean of "
            "their answers; more are steadier and slower"
        ),
        low=1,
        high=8,
    )
    image_size: int = _setting(128, N_("side in pixels of what the network sees; finer is slower"), low=32, high=512)
    epochs: int = _setting(
        10,
        N_("how often the run goes through the training split: more learns more, and in the end learns by heart"),
        low=1,
        high=1000,
    )
    batch_size: int = _setting(
        32,
        N_("scans looked at before each correction: more is steadier and takes more memory, fewer corrects more often"),
        low=2,
        high=1024,
    )
    learning_rate: float = _setting(
        1e-3, N_("size of each correction: too small learns slowly, too large never settles"), low=1e-7, high=10.0
    )
    head_epochs: int = _setting(
        0,
        N_(
            "when it starts from learned weights: epochs at first in which only its dense end learns, and the "
            "filters rest"
        ),
        low=0,
        high=999,
    )
    fine_tune: float = _setting(
        0.1,
        N_(
            "after those epochs the whole network learns, with this share of the learning rate, so as not to forget; "
            "without head epochs it changes nothing"
        ),
        low=0.001,
        high=1.0,
    )
    optimizer: str = _setting(
        "adamw",
        N_("rule that turns errors into corrections: adamw suits most, sgd wants a higher learning rate"),
        choices=("adamw", "adam", "sgd"),
    )
    schedule: str = _setting(
        "one-cycle",
        N_("how the learning rate moves over the run: up then down, only down, or not at all"),
        choices=("one-cycle", "cosine", "constant"),
    )
    weight_decay: float = _setting(
        0.05,
        N_("pull towards simple solutions: more hinders learning by heart, too much hinders learning"),
        low=0.0,
        high=1.0,
    )
    label_smoothing: float = _setting(
        0.0, N_("keeps the model from being too sure of itself: more makes its probabilities milder"), low=0.0, high=0.5
    )
    balance: str = _setting(
        "sampling",
        N_("how a rarer class gets its due: shown more often, counted more, or not at all"),
        choices=("sampling", "loss", "none"),
    )
    greys: str = _setting(
        "set",
        N_(
            "what greys are measured against: the mean and spread of all training scans (set), or each scan's own "
            "(scan), "
            "so that lighter, darker and flatter exposures look alike to the network"
        ),
        choices=("set", "scan"),
    )
    augment: float = _setting(
        1.0, N_("how much scans are turned, shifted, scaled and changed in contrast; 0 is off"), low=0.0, high=2.0
    )
    erase: float = _setting(
        0.25, N_("how often a random patch is blanked out, so that no single spot decides"), low=0, high=1
    )
    border: float = _setting(
        0.0,
        N_(
            "how often a border is blanked out, up to a sixth of the side at each edge, so that letters, shoulders "
            "and the "
            "film's edge do not decide"
        ),
        low=0,
        high=1,
    )
    quality: float = _setting(
        0.0,
        N_("how often a scan is made softer or sharper, and grainy, so that the device and the file do not decide"),
        low=0,
        high=1,
    )
    borrow: float = _setting(
        0.0,
        N_(
            "how often a scan takes the exposure of another one and, drawn anew each time, just as often its "
            "sharpness, "
            "its border and its broad shading, so that none of these decides by itself"
        ),
        low=0,
        high=1,
    )
    stretch: float = _setting(
        0.0,
        N_(
            "how often a scan is made wider or narrower, up to one and a half times: all are squeezed into squares, "
            "and "
            "the format that their films had is not to decide"
        ),
        low=0,
        high=1,
    )
    flip: bool = _setting(False, N_("also show scans mirrored left to right (the heart then lies on the wrong side)"))
    mixup: float = _setting(
        0.0, N_("blends pairs of scans and their labels; 0 is off, 0.2 is usual"), low=0.0, high=1.0
    )
    ema: float = _setting(
        0.0, N_("keeps a running average of the weights and uses that; 0 is off"), low=0.0, high=0.9999
    )
    keep: str = _setting(
        "auc",
        N_(
            "which epoch's weights are kept: that with the best validation AUC, that with the lowest validation "
            "loss, or "
            "the last one, which is steadier where validation scans are few"
        ),
        choices=("auc", "loss", "last"),
    )
    patience: int = _setting(0, N_("stop early after so many epochs without a better one; 0 is off"), low=0, high=999)
    seed: int = _setting(0, N_("start of all chance: the same seed gives the same run"), low=0, high=2**31 - 1)
    precision: str = _setting(
        "auto",
        N_("number format of the calculation; auto takes bf16 where the machine is fast at it"),
        choices=("auto", "32", "bf16"),
    )
    devices: int = _setting(1, N_("how many processors or graphics cards share each batch"), low=1, high=64)
    blocks: int = _setting(
        4,
        N_("convnet only: convolution + pooling blocks: each sees patterns twice as large, on half as fine a map"),
        low=1,
        high=7,
    )
    filters: int = _setting(
        16,
        N_("convnet only: filters of the first block, doubled in each next one: more tell more patterns apart"),
        low=2,
        high=128,
    )
    dense_layers: int = _setting(
        1, N_("convnet only: hidden dense layers behind the blocks, which weigh what the filters found"), low=0, high=4
    )
    dense_units: int = _setting(
        64,
        N_("convnet only: units of each hidden dense layer: more can combine more findings, and learn more by heart"),
        low=2,
        high=2048,
    )
    activation: str = _setting(
        "relu",
        N_("convnet only: what a layer passes on: relu cuts off what is below zero, the others let some of it through"),
        choices=("relu", "leaky_relu", "elu", "gelu", "silu"),
    )
    dropout: float = _setting(
        0.2,
        N_("share of the last layer's inputs silenced at random while training: more hinders learning by heart"),
        low=0.0,
        high=0.9,
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, _check_value(item, getattr(self, item.name)))
        if self.batch_size % self.devices:
            raise SettingsError(
                "A batch of {batch_size} cannot be shared equally by {devices} devices: "
                "choose a batch size that is a multiple of {devices2}.",
                batch_size=self.batch_size,
                devices=self.devices,
                devices2=self.devices,
            )
        if self.batch_size < 2 * self.devices:
            raise SettingsError(
                "A batch of {batch_size} leaves each of {devices} devices a single scan, from which it "
                "cannot learn: choose a batch size of at least {x}.",
                batch_size=self.batch_size,
                devices=self.devices,
                x=2 * self.devices,
            )
        if not self.weights.strip():
            raise SettingsError("The setting “weights” is empty: choose scratch, imagenet, or one of your models.")
        if self.head_epochs and self.weights == SCRATCH:
            raise SettingsError(
                "The last layer alone cannot learn from a network that has learned nothing: "
                "set “head epochs” to 0, or start from ImageNet weights or one of your models."
            )
        if self.head_epochs >= self.epochs:
            raise SettingsError(
                "Of {epochs} epochs, {head_epochs} for the last layer alone leave none for the whole "
                "network: choose more epochs, or fewer head epochs.",
                epochs=self.epochs,
                head_epochs=self.head_epochs,
            )
        if self.patience and self.keep == "last":
            raise SettingsError(
                "Early stopping waits for a better epoch, but the last one is to be kept whatever it is: "
                "set “patience” to 0, or “keep” to auc or loss."
            )
        if self.weights == IMAGENET and self.network in WITHOUT_IMAGENET:
            raise SettingsError(WITHOUT_IMAGENET[self.network])
        self._check_ensemble()
        if self.network == "convnet":
            self._check_convnet()

    @property
    def source_model(self) -> str | None:
        """The name of the model whose weights it starts from, if that is where it starts."""
        return None if self.weights in (SCRATCH, IMAGENET) else self.weights

    @property
    def shape(self) -> dict[str, Any]:
        """The settings that decide the network's layers and what they see."""
        return {name: getattr(self, name) for name in ARCHITECTURE_SETTINGS if applies_to(name, self.network)}

    @property
    def layer_settings(self) -> tuple[str, ...]:
        """The names of the settings that decide the network's layers; only a convnet's depend on what it sees."""
        if self.network == "convnet":
            return ("network", "image_size", *CONVNET_SETTINGS)
        return ("network", "members")

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON-able values."""
        return asdict(self)

    def to_arguments(self) -> list[str]:
        """The command-line arguments that give these settings."""
        explicit_settings = self.shape if self.source_model else {}  # what is left out is taken over from that model
        settings = {
            name: value
            for name, value in self.to_dict().items()
            if name in explicit_settings or value != default_settings()[name]
        }
        return [
            word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", format_value(value))
        ]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The settings read back from a run's `config.json`.

        Raises:
            SettingsError: a name is unknown or a value is outside its limits.
        """
        unknown = sorted(set(values) - {item.name for item in fields(cls)})
        if unknown:
            raise SettingsError(
                "Unknown training setting {unknown}: the file was made by another version of XRAI.",
                unknown=repr(unknown[0]),
            )
        return cls(**values)

    def _check_ensemble(self) -> None:
        """Refuse several networks side by side where there is no way to do that, or no use in it.

        Raises:
            SettingsError: only ResNets can, and from the same weights they would stay the same.
        """
        if self.members > 1 and not applies_to("members", self.network):
            raise SettingsError(
                "Only ResNets can learn several side by side: choose one of them as the network, or set “members” to 1."
            )
        if self.members > 1 and self.weights == IMAGENET:
            raise SettingsError(
                "From ImageNet weights all members would begin alike, and stay so: "
                "choose scratch, or set “members” to 1."
            )

    def _check_convnet(self) -> None:
        """Refuse a plain convnet that cannot be built.

        Raises:
            SettingsError: its blocks leave nothing of the image, or its dense layer is larger than a memory.
        """
        if self.image_size < 2 ** (self.blocks + 1):
            raise SettingsError(
                "{blocks} blocks halve {image_size} pixels down to nothing: "
                "use fewer blocks, or an image size of at least {x}.",
                blocks=self.blocks,
                image_size=self.image_size,
                x=2 ** (self.blocks + 1),
            )
        if (n_weights := self._first_dense_weights()) > MAX_DENSE_WEIGHTS:
            raise SettingsError(
                "The convnet's first dense layer would have {x:,.0f} million weights, more than "
                "fits into an ordinary memory: use more blocks, fewer filters or dense units, or a smaller image.",
                x=n_weights / 1e6,
            )

    def _first_dense_weights(self) -> int:
        side = self.image_size // 2**self.blocks
        channels = convnet_filters(self.filters, self.blocks - 1)
        return channels * side * side * (self.dense_units if self.dense_layers else 1)


def convnet_filters(first: int, block: int) -> int:
    """Filters of a convnet's block, counted from 0: doubled from block to block, up to 512."""
    return min(first * 2**block, 512)


def applies_to(setting: str, network: str) -> bool:
    """Whether a setting makes a difference to a network."""
    if setting in CONVNET_SETTINGS:
        return network == "convnet"
    return setting != "members" or network.startswith("resnet")


def default_settings() -> dict[str, Any]:
    """The default of every training setting."""
    return {item.name: item.default for item in fields(TrainConfig) if item.default is not MISSING}


def format_value(value: Any) -> str:
    """A setting's value as it is typed."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _check_value(item: Field[Any], value: Any) -> Any:
    """The value in its field's type.

    Raises:
        SettingsError: it has another type, or lies outside the field's limits.
    """
    setting, limits = item.name.replace("_", " "), item.metadata
    field_type = type(item.default)
    if field_type is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not field_type:
        raise SettingsError(
            "The setting “{setting}” must be a {_WORDS}, but it is {value}.",
            setting=setting,
            _WORDS=_WORDS[field_type],
            value=repr(value),
        )
    if limits["choices"] and value not in limits["choices"]:
        raise SettingsError(
            "The setting “{setting}” is {value}, but must be one of: {join}.",
            setting=setting,
            value=repr(value),
            join=limits["choices"],
        )
    low, high = limits["low"], limits["high"]
    if low is not None and not low <= value <= high:  # what is not a number lies nowhere
        raise SettingsError(
            "The setting “{setting}” is {value}, but must lie between {low} and {high}.",
            setting=setting,
            value=value,
            low=low,
            high=high,
        )
    return value


_WORDS = {int: N_("whole number"), float: "number", str: "word", bool: N_("yes or no")}
