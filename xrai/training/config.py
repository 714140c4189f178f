"""Training configuration: all settings of a training run, their defaults and presets.

The declaration of each setting generates its command-line flag and its control on the Train page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import model_validator

from xrai.core.errors import SettingsError
from xrai.core.language import N_
from xrai.models.checkpoint import CONFIG, Checkpoint
from xrai.networks.config import IMAGENET, SCRATCH, WITHOUT_IMAGENET, NetworkConfig, setting, settings_of

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
"""Settings for a few minutes, for an hour, for the best result on an ordinary computer, and for a graphics card."""

FROM_MODEL_PRESET: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 0.001,
    "head_epochs": 2,
    "fine_tune": 0.5,
    "ema": 0.98,
}
"""Settings for fine-tuning one's own model on few scans."""


class TrainConfig(NetworkConfig):
    """All settings of a training run, apart from the dataset and the model's name.

    Raises:
        SettingsError: a value is outside its limits, or two values exclude each other.
    """

    weights: str = setting(
        SCRATCH,
        N_("Initial weights"),
        N_(
            "Where training starts: from random weights (scratch), from weights pretrained on ImageNet photographs (imagenet, downloaded once), or from one of your models by name (transfer learning)."
        ),
    )
    epochs: int = setting(
        10,
        N_("Epochs"),
        N_("How many times training passes through all training scans. Too few epochs underfit; too many can overfit."),
        low=1,
        high=1000,
    )
    batch_size: int = setting(
        32,
        N_("Batch size"),
        N_("Number of scans used for each weight update. Larger batches give steadier updates and need more memory."),
        low=2,
        high=1024,
    )
    learning_rate: float = setting(
        0.001,
        N_("Learning rate"),
        N_("Size of each weight update. Too low learns slowly; too high does not converge."),
        low=1e-07,
        high=10.0,
    )
    head_epochs: int = setting(
        0,
        N_("Freeze epochs"),
        N_(
            "With pretrained weights: the number of first epochs in which only the classification head is trained and the feature layers are frozen."
        ),
        low=0,
        high=999,
    )
    fine_tune: float = setting(
        0.1,
        N_("Fine-tuning learning-rate scale"),
        N_(
            "After the freeze epochs, the whole network is trained with the learning rate multiplied by this factor, so that pretrained features are kept. No effect without freeze epochs."
        ),
        low=0.001,
        high=1.0,
    )
    optimizer: str = setting(
        "adamw",
        N_("Optimizer"),
        N_("The algorithm that updates the weights. AdamW suits most cases; SGD needs a higher learning rate."),
        choices=("adamw", "adam", "sgd"),
    )
    schedule: str = setting(
        "one-cycle",
        N_("Learning-rate schedule"),
        N_(
            "How the learning rate changes during training: warm-up then decay (one-cycle), decay only (cosine), or no change (constant)."
        ),
        choices=("one-cycle", "cosine", "constant"),
    )
    weight_decay: float = setting(
        0.05,
        N_("Weight decay (L2)"),
        N_("L2 regularization of the weights. Higher values reduce overfitting; too high a value causes underfitting."),
        low=0.0,
        high=1.0,
    )
    label_smoothing: float = setting(
        0.0,
        N_("Label smoothing"),
        N_("Replaces hard labels by slightly softened ones, so that the model is less overconfident."),
        low=0.0,
        high=0.5,
    )
    balance: str = setting(
        "sampling",
        N_("Class balancing"),
        N_(
            "How class imbalance is handled: oversampling of rarer classes (sampling), class weights in the loss (loss), or none."
        ),
        choices=("sampling", "loss", "none"),
    )
    augment: float = setting(
        1.0,
        N_("Augmentation strength"),
        N_(
            "Strength of random rotation, translation, scaling and contrast changes of training scans. 0 turns them off."
        ),
        low=0.0,
        high=2.0,
    )
    erase: float = setting(
        0.25,
        N_("Random erasing probability"),
        N_(
            "Probability that a random rectangle of a training scan is blanked out, so that no single region decides the result."
        ),
        low=0,
        high=1,
    )
    border: float = setting(
        0.0,
        N_("Border masking probability"),
        N_(
            "Probability that the border of a training scan is blanked out, up to one sixth of the side at each edge, so that markers, shoulders and film edges do not decide the result."
        ),
        low=0,
        high=1,
    )
    quality: float = setting(
        0.0,
        N_("Image quality augmentation probability"),
        N_(
            "Probability that a training scan is blurred or sharpened and given noise, so that the device and the file format do not decide the result."
        ),
        low=0,
        high=1,
    )
    borrow: float = setting(
        0.0,
        N_("Appearance transfer probability"),
        N_(
            "Probability that a training scan takes on the histogram of another scan and, each drawn separately with the same probability, its sharpness, its border and its shading."
        ),
        low=0,
        high=1,
    )
    stretch: float = setting(
        0.0,
        N_("Aspect-ratio jitter probability"),
        N_(
            "Probability that the aspect ratio of a training scan is changed, up to a factor of 1.5, so that the original film format does not decide the result."
        ),
        low=0,
        high=1,
    )
    flip: bool = setting(
        False,
        N_("Horizontal flip"),
        N_("Mirror half of the training scans left to right. The heart then appears on the wrong side."),
    )
    mixup: float = setting(
        0.0,
        N_("Mixup alpha"),
        N_(
            "Blends pairs of training scans and their labels; alpha is the parameter of the Beta distribution of the mixing ratio. 0 turns it off; 0.2 is usual."
        ),
        low=0.0,
        high=1.0,
    )
    ema: float = setting(
        0.0,
        N_("Weight averaging (EMA decay)"),
        N_(
            "Keeps an exponential moving average of the weights with this decay and uses it as the model. 0 turns it off."
        ),
        low=0.0,
        high=0.9999,
    )
    keep: str = setting(
        "auc",
        N_("Checkpoint selection"),
        N_(
            "Which epoch's weights are kept: the highest validation AUC (auc), the lowest validation loss (loss), or the last epoch (last), which is steadier with few validation scans."
        ),
        choices=("auc", "loss", "last"),
    )
    patience: int = setting(
        0,
        N_("Early-stopping patience"),
        N_(
            "Stop training after this many epochs without improvement on the validation set. 0 turns early stopping off."
        ),
        low=0,
        high=999,
    )
    seed: int = setting(
        0,
        N_("Random seed"),
        N_(
            "Start value of the random number generators. The same seed and settings reproduce the same run on the same machine."
        ),
        low=0,
        high=2**31 - 1,
    )
    precision: str = setting(
        "auto",
        N_("Numerical precision"),
        N_(
            "Number format of the computation: 32-bit floating point or bf16 mixed precision. Auto uses bf16 where the hardware is fast at it."
        ),
        choices=("auto", "32", "bf16"),
    )
    devices: int = setting(
        1, N_("Devices"), N_("Number of processes or graphics cards (GPUs) that share each batch."), low=1, high=64
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        self._check_batch()
        self._check_initial_weights()
        if self.patience and self.keep == "last":
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
        if self.head_epochs and self.weights == SCRATCH:
            raise SettingsError(
                "Random feature layers cannot be frozen: "
                "set “Freeze epochs” to 0, or start from ImageNet weights or one of your models."
            )
        if self.head_epochs >= self.epochs:
            raise SettingsError(
                "Of {epochs} epochs, {freeze_epochs} frozen ones leave none for the whole "
                "network: choose more epochs, or fewer freeze epochs.",
                epochs=self.epochs,
                freeze_epochs=self.head_epochs,
            )
        if self.weights == IMAGENET and self.network in WITHOUT_IMAGENET:
            raise SettingsError(WITHOUT_IMAGENET[self.network])
        if self.weights == IMAGENET and self.members > 1:
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
