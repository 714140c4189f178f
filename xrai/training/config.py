"""Training configuration: all settings of a training run, their defaults and presets.

The declaration of each setting generates its command-line flag and its control on the Train page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import model_validator

from xrai.core.errors import SettingsError
from xrai.models.checkpoint import CONFIG, Checkpoint
from xrai.networks.config import IMAGENET, SCRATCH, WITHOUT_IMAGENET, NetworkConfig, setting, settings_of

PRESETS: dict[str, dict[str, Any]] = {
    "Quick look": {
        "network": "convnet",
        "image_size": 96,
        "epochs": 25,
        "batch_size": 16,
        "augment_strength": 0.5,
        "erase_prob": 0.0,
        "blocks": 5,
        "dropout": 0.0,
    },
    "Balanced": {"network": "resnet18", "image_size": 128, "epochs": 12},
    "Best": {
        "network": "resnet18_half",
        "ensemble_size": 4,
        "image_size": 128,
        "epochs": 28,
        "batch_size": 64,
        "learning_rate": 0.002,
        "normalize": "image",
        "quality_prob": 0.3,
        "appearance_transfer_prob": 0.3,
        "aspect_jitter_prob": 1.0,
        "ema_decay": 0.998,
        "select_by": "last",
    },
    "Transfer learning": {
        "network": "resnet101",
        "weights": IMAGENET,
        "image_size": 224,
        "epochs": 15,
        "freeze_epochs": 3,
        "finetune_lr_scale": 0.1,
    },
}
"""Settings for a few minutes, for an hour, for the best result on an ordinary computer, and for a graphics card."""

FROM_MODEL_PRESET: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 0.001,
    "freeze_epochs": 2,
    "finetune_lr_scale": 0.5,
    "ema_decay": 0.98,
}
"""Settings for fine-tuning one's own model on few scans."""


class TrainConfig(NetworkConfig):
    """All settings of a training run, apart from the dataset and the model's name.

    Raises:
        SettingsError: a value is outside its limits, or two values exclude each other.
    """

    weights: str = setting("Initial weights", SCRATCH)
    """Where training starts: from random weights (scratch), from weights pretrained on ImageNet photographs
    (imagenet, downloaded once), or from one of your models by name (transfer learning)."""
    epochs: int = setting("Epochs", 10, limits=(1, 1000))
    """How many times training passes through all training scans. Too few epochs underfit; too many can overfit."""
    batch_size: int = setting("Batch size", 32, limits=(2, 1024))
    """Number of scans used for each weight update. Larger batches give steadier updates and need more memory."""
    learning_rate: float = setting("Learning rate", 0.001, limits=(1e-07, 10.0))
    """Size of each weight update. Too low learns slowly; too high does not converge."""
    freeze_epochs: int = setting("Freeze epochs", 0, limits=(0, 999))
    """With pretrained weights: the number of first epochs in which only the classification head is trained and the
    feature layers are frozen."""
    finetune_lr_scale: float = setting("Fine-tuning learning-rate scale", 0.1, limits=(0.001, 1.0))
    """After the freeze epochs, the whole network is trained with the learning rate multiplied by this factor, so
    that pretrained features are kept. No effect without freeze epochs."""
    optimizer: str = setting("Optimizer", "adamw", choices=("adamw", "adam", "sgd"))
    """The algorithm that updates the weights. AdamW suits most cases; SGD needs a higher learning rate."""
    schedule: str = setting("Learning-rate schedule", "one-cycle", choices=("one-cycle", "cosine", "constant"))
    """How the learning rate changes during training: warm-up then decay (one-cycle), decay only (cosine), or no
    change (constant)."""
    weight_decay: float = setting("Weight decay (L2)", 0.05, limits=(0.0, 1.0))
    """L2 regularization of the weights. Higher values reduce overfitting; too high a value causes underfitting."""
    label_smoothing: float = setting("Label smoothing", 0.0, limits=(0.0, 0.5))
    """Replaces hard labels by slightly softened ones, so that the model is less overconfident."""
    class_balance: str = setting("Class balancing", "sampling", choices=("sampling", "loss", "none"))
    """How class imbalance is handled: oversampling of rarer classes (sampling), class weights in the loss (loss),
    or none."""
    augment_strength: float = setting("Augmentation strength", 1.0, limits=(0.0, 2.0))
    """Strength of random rotation, translation, scaling and contrast changes of training scans. 0 turns them off."""
    erase_prob: float = setting("Random erasing probability", 0.25, limits=(0, 1))
    """Probability that a random rectangle of a training scan is blanked out, so that no single region decides the
    result."""
    border_prob: float = setting("Border masking probability", 0.0, limits=(0, 1))
    """Probability that the border of a training scan is blanked out, up to one sixth of the side at each edge, so
    that markers, shoulders and film edges do not decide the result."""
    quality_prob: float = setting("Image quality augmentation probability", 0.0, limits=(0, 1))
    """Probability that a training scan is blurred or sharpened and given noise, so that the device and the file
    format do not decide the result."""
    appearance_transfer_prob: float = setting("Appearance transfer probability", 0.0, limits=(0, 1))
    """Probability that a training scan takes on the histogram of another scan and, each drawn separately with the
    same probability, its sharpness, its border and its shading."""
    aspect_jitter_prob: float = setting("Aspect-ratio jitter probability", 0.0, limits=(0, 1))
    """Probability that the aspect ratio of a training scan is changed, up to a factor of 1.5, so that the original
    film format does not decide the result."""
    hflip: bool = setting("Horizontal flip", False)
    """Mirror half of the training scans left to right. The heart then appears on the wrong side."""
    mixup_alpha: float = setting("Mixup alpha", 0.0, limits=(0.0, 1.0))
    """Blends pairs of training scans and their labels; alpha is the parameter of the Beta distribution of the
    mixing ratio. 0 turns it off; 0.2 is usual."""
    ema_decay: float = setting("Weight averaging (EMA decay)", 0.0, limits=(0.0, 0.9999))
    """Keeps an exponential moving average of the weights with this decay and uses it as the model. 0 turns it off."""
    select_by: str = setting("Checkpoint selection", "auc", choices=("auc", "loss", "last"))
    """Which epoch's weights are kept: the highest validation AUC (auc), the lowest validation loss (loss), or the
    last epoch (last), which is steadier with few validation scans."""
    patience: int = setting("Early-stopping patience", 0, limits=(0, 999))
    """Stop training after this many epochs without improvement on the validation set. 0 turns early stopping off."""
    seed: int = setting("Random seed", 0, limits=(0, 2**31 - 1))
    """Start value of the random number generators. The same seed and settings reproduce the same run on the same
    machine."""
    precision: str = setting("Numerical precision", "auto", choices=("auto", "32", "bf16"))
    """Number format of the computation: 32-bit floating point or bf16 mixed precision. Auto uses bf16 where the
    hardware is fast at it."""
    devices: int = setting("Devices", 1, limits=(1, 64))
    """Number of processes or graphics cards (GPUs) that share each batch."""

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        self._check_batch()
        self._check_initial_weights()
        if self.patience and self.select_by == "last":
            raise SettingsError(
                "Early stopping waits for a better epoch, but checkpoint selection keeps the last one: "
                "set “Early-stopping patience” to 0, or “Checkpoint selection” to auc or loss."
            )
        return self

    @property
    def source_model(self) -> str | None:
        """The name of the model whose weights the run starts from, if any."""
        return None if self.weights in (SCRATCH, IMAGENET) else self.weights

    def to_arguments(self) -> list[str]:
        """The command-line arguments that give these settings."""
        explicit = self.shape if self.source_model else {}  # without these flags, the run would inherit the model's
        defaults = default_settings()
        arguments: list[str] = []
        for name, value in self:
            if name in explicit or value != defaults[name]:
                arguments += [flag_name(name), format_value(value)]
        return arguments

    def _check_batch(self) -> None:
        if self.batch_size % self.devices:
            raise SettingsError(
                "A batch of {batch_size} cannot be shared equally by {devices} devices: "
                "choose a batch size that is a multiple of {devices}.",
                batch_size=self.batch_size,
                devices=self.devices,
            )
        if self.batch_size < 2 * self.devices:
            raise SettingsError(
                "A batch of {batch_size} leaves each of {devices} devices a single scan, from which it "
                "cannot learn: choose a batch size of at least {min_size}.",
                batch_size=self.batch_size,
                devices=self.devices,
                min_size=2 * self.devices,
            )

    def _check_initial_weights(self) -> None:
        if not self.weights.strip():
            raise SettingsError("“Initial weights” is empty: choose scratch, imagenet, or one of your models.")
        if self.freeze_epochs and self.weights == SCRATCH:
            raise SettingsError(
                "Random feature layers cannot be frozen: "
                "set “Freeze epochs” to 0, or start from ImageNet weights or one of your models."
            )
        if self.freeze_epochs >= self.epochs:
            raise SettingsError(
                "Of {epochs} epochs, {freeze_epochs} frozen ones leave none for the whole "
                "network: choose more epochs, or fewer freeze epochs.",
                epochs=self.epochs,
                freeze_epochs=self.freeze_epochs,
            )
        if self.weights == IMAGENET and self.network in WITHOUT_IMAGENET:
            raise SettingsError(WITHOUT_IMAGENET[self.network])
        if self.weights == IMAGENET and self.ensemble_size > 1:
            raise SettingsError(
                "From ImageNet weights all networks of an ensemble would start equal and stay equal: "
                "choose scratch, or set “Ensemble size” to 1."
            )


def read_train_config(checkpoint: Checkpoint) -> TrainConfig:
    """The settings of a run, from its `config.json`.

    Raises:
        CheckpointError: the file is missing, damaged, or of another version.
    """
    values = checkpoint.read_config()["train"]
    with checkpoint.convert_read_errors(CONFIG):
        try:
            return TrainConfig.from_dict(values)
        except SettingsError as error:
            raise ValueError(error.message) from error


def default_settings() -> dict[str, Any]:
    """The default of every training setting."""
    return {name: item.default for name, item in settings_of(TrainConfig).items()}


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which some runs differ; a missing one has its default."""
    return [
        name
        for name, default in default_settings().items()
        if any(config.get(name, default) != configs[0].get(name, default) for config in configs[1:])
    ]


def flag_name(name: str) -> str:
    """The command-line flag of a setting."""
    return f"--{name.replace('_', '-')}"


def format_value(value: Any) -> str:
    """A setting's value as it is typed on the command line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
