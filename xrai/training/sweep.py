"""Hyper-parameter sweep: grid search, each combination trained as a process of its own.

    checkpoints/.sweeps/NAME/
      sweep.json      the dataset, the settings that all runs share, the values to try, and the runs they make
      job.json …      its job: see `core.jobs`
    checkpoints/NAME-1, NAME-2, …
      its runs, each an ordinary training

A run that is killed for lack of memory does not end the sweep, since it is a process of its own.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from xrai.core import jobs
from xrai.core.errors import CheckpointError, JobError, SettingsError, TrainingError, XraiError
from xrai.core.json_files import HISTORY_FILE, is_file, last_modified, list_folder, write_json
from xrai.core.language import N_, say
from xrai.core.language.field import MessageField
from xrai.core.paths import checkpoints_dir, display_path, home_dir
from xrai.core.records import Count, Number, Record
from xrai.data.dataset import open_dataset
from xrai.models.checkpoint import CONFIG, Checkpoint, open_checkpoint
from xrai.models.history import HistoryEvent, HistoryRecord, NumberPair, best_epoch, read_history
from xrai.networks.config import NetworkConfig, settings_of
from xrai.training.config import TrainConfig, default_settings, format_value, read_train_config

SWEEP = "sweep.json"
MAX_RUNS = 100
POLL_SECONDS = 0.5
"""How often a sweep looks at the run that is training."""

Emit = Callable[[dict[str, Any]], None]
RunStatus = Literal["waiting", "starting", "running", "done", "stopped", "failed", "interrupted"]
"""How a run stands: as its job does, or waiting where it has not begun."""

_SEPARATORS = re.compile(r"[,;\r\n]")
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)")  # so that “1,000” is not taken for 1 and 0
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"(?<![\w.])[0-9]+,[0-9]+(?![\w.])")
_INTERRUPTED_MESSAGE = N_(
    "The run broke off without a word, perhaps because the memory was full or the computer was switched off: "
    "close other programs, or choose a smaller batch or image size, and go on with the sweep."
)


class CombinationError(SettingsError):
    """A combination of a sweep's values that cannot be trained.

    Attributes:
        settings: {setting: value} of those that the sweep varies.
        reason: the sentence that says why.
    """

    def __init__(self, settings: Mapping[str, Any], reason: str) -> None:
        combination = ", ".join(f"{name.replace('_', ' ')} {format_value(value)}" for name, value in settings.items())
        super().__init__(
            say("The combination “{combination}” cannot be trained: {reason}", combination=combination, reason=reason)
        )
        self.settings, self.reason = settings, reason


class PlannedRun(Record):
    """A planned run: the name of its model, and its values of the varied settings."""

    name: str
    settings: dict[str, Any]


class SweepPlan(Record):
    """A sweep as stored in `sweep.json`.

    Attributes:
        dataset: the HDF5 file of all runs, below the home folder if relative.
        base: explicit settings of all runs; the others have their defaults.
        grid: {setting: values to try}.
        runs: every combination, in the order of training.
    """

    dataset: str
    base: dict[str, Any]
    grid: dict[str, list[Any]]
    runs: tuple[PlannedRun, ...]


class BestMetrics(Record):
    """Validation metrics of the best epoch so far; None where undefined."""

    epoch: Count
    accuracy: Number
    accuracy_interval: NumberPair | None
    auc: Number | None
    auc_interval: NumberPair | None


class RunSummary(Record):
    """Status of a run of a sweep.

    Attributes:
        name: of the model.
        settings: its values of the varied settings.
        status: of its job, or "waiting" before it has begun.
        val: None before the first epoch is done.
        error: why it failed or was interrupted, else "".
    """

    name: str
    settings: dict[str, Any]
    status: RunStatus
    val: BestMetrics | None = None
    error: MessageField = ""

    @property
    def has_failed(self) -> bool:
        """Whether it failed or was interrupted."""
        return self.status in ("failed", "interrupted")


class SweepStart(HistoryEvent):
    """A sweep of `runs` runs starts."""

    kind: Literal["start"] = "start"
    runs: Count


class SweepRun(HistoryEvent):
    """A run of a sweep begins ("running") or ends; the other fields are those of `RunSummary`."""

    kind: Literal["run"] = "run"
    number: Count
    runs: Count
    name: str
    settings: dict[str, Any]
    status: RunStatus
    val: BestMetrics | None
    error: MessageField


class SweepEnd(HistoryEvent):
    """A sweep ends, with `done` of its runs done."""

    kind: Literal["end"] = "end"
    reason: Literal["finished", "stopped", "failed"]
    done: Count


@dataclass(frozen=True)
class Sweep:
    """A sweep as its folder describes it.

    Attributes:
        folder: below `checkpoints/.sweeps/`.
        dataset: the HDF5 file that all runs learn from.
        base: the settings that were given for all runs; the others have their defaults.
        grid: {setting: values to try}.
        runs: every combination, in the order of training.
    """

    folder: Path
    dataset: Path
    base: dict[str, Any]
    grid: dict[str, list[Any]]
    runs: tuple[PlannedRun, ...]

    @property
    def name(self) -> str:
        """The folder's name, with which those of its runs begin."""
        return self.folder.name

    @property
    def job(self) -> jobs.Job:
        """The job that trains its runs."""
        return jobs.Job(self.folder)

    def configs(self) -> list[TrainConfig]:
        """All settings of each run."""
        return expand_grid(self.base, self.grid)

    def run_summaries(self) -> list[RunSummary]:
        """How each run stands, in the order of training.

        A run is known by its name, its settings and its dataset: one that was renamed waits again, and one whose name
        another model took meanwhile has failed.
        """
        return [_summarize_run(self, item, config) for item, config in zip(self.runs, self.configs(), strict=True)]


def expand_grid(base: Mapping[str, Any], grid: Mapping[str, Sequence[Any]]) -> list[TrainConfig]:
    """The settings of every combination of the grid's values, the last setting's values changing fastest.

    Args:
        base: settings that all runs share; those that the grid varies are not looked at.
        grid: {setting: values to try}; a value that comes twice counts once.

    Raises:
        SettingsError: nothing is varied, a setting is unknown or has no value, or there are more than `MAX_RUNS`
            combinations.
        CombinationError: one of them cannot be trained.
    """
    if not grid:
        raise SettingsError("The sweep varies no setting: choose at least one, and the values to try.")
    for name in (*base, *grid):
        _default_value(name)
    values_by_setting = {name: list(dict.fromkeys(values)) for name, values in grid.items()}
    if empty := [name for name, values in values_by_setting.items() if not values]:
        raise _missing_value_error(empty[0])
    if (n_runs := math.prod(map(len, values_by_setting.values()))) > MAX_RUNS:
        raise SettingsError(
            "The sweep would be {n_runs:,} runs, more than the {MAX_RUNS} that it can have: "
            "choose fewer values, or vary fewer settings.",
            n_runs=n_runs,
            MAX_RUNS=MAX_RUNS,
        )
    return [
        _combine(base, dict(zip(values_by_setting, values, strict=True)))
        for values in product(*values_by_setting.values())
    ]


def parse_values(name: str, text: str) -> list[Any]:
    """The values for a setting that a person typed, separated by commas, semicolons or line breaks.

    Raises:
        SettingsError: there is no such setting, no value, or one that cannot be read as the setting's.
    """
    kind = type(_default_value(name))
    if kind is float and (match := _DECIMAL_COMMA.search(text)):
        point, apart = match[0].replace(",", "."), match[0].replace(",", ", ")
        raise SettingsError(
            "“{found}” for the setting “{setting}” could be one number or two: "
            "write {point} for the one, or “{apart}” for the two.",
            found=match[0],
            setting=_label(name),
            point=point,
            apart=apart,
        )
    words = [word.strip() for word in _SEPARATORS.split(text)]
    values = [_parse_value(name, kind, word) for word in words if word]
    if not values:
        raise _missing_value_error(name)
    return values


def create_sweep(name: str, dataset: Path | str, base: Mapping[str, Any], grid: Mapping[str, Sequence[Any]]) -> Sweep:
    """Plan a sweep and write it down; nothing is trained yet.

    Raises:
        SettingsError: see `plan`; or a model to start from has another network or other layers than its runs.
        CheckpointError: the sweep or its runs cannot have that name, or it is taken; or a model to start from is
            missing or damaged.
        DatasetError: the dataset is missing or damaged.
        OSError: the disk is full.
    """
    configs = expand_grid(base, grid)
    folder = _sweep_folder(name)
    if (folder / SWEEP).exists():
        raise CheckpointError(
            "There is already a sweep “{name}”: choose another name, or go on with that one.", name=name
        )
    runs = [
        PlannedRun(name=run_name, settings=_varied_settings(config, grid))
        for run_name, config in zip(_run_names(name, len(configs)), configs, strict=True)
    ]
    for item in runs:
        if open_checkpoint(item.name).folder.exists():
            raise CheckpointError(
                "The sweep “{name}” would train “{name2}”, but there is a model or run of that name already: "
                "choose another name for the sweep.",
                name=name,
                name2=item.name,
            )
    # what is missing, damaged or unfit is better said now than by every run
    with open_dataset(dataset):
        pass
    _check_source_models(configs)
    folder.mkdir(parents=True, exist_ok=True)
    plan = SweepPlan(
        dataset=display_path(Path(dataset)),
        base={setting: value for setting, value in base.items() if setting not in grid},
        grid={setting: list(dict.fromkeys(values)) for setting, values in grid.items()},
        runs=tuple(runs),
    )
    write_json(folder / SWEEP, plan.to_dict())
    return _read_sweep(folder)


def open_sweep(name: str) -> Sweep:
    """The sweep of that name.

    Raises:
        CheckpointError: there is none, or its file is damaged.
    """
    folder = _sweep_folder(name)
    if not is_file(folder / SWEEP):
        sweep_names = ", ".join(item.name for item in list_sweeps()) or say("none yet")
        raise CheckpointError(
            "There is no sweep “{name}” in {parent}: the sweeps here are: {known}.",
            name=name,
            parent=folder.parent,
            known=sweep_names,
        )
    return _read_sweep(folder)


def list_sweeps() -> list[Sweep]:
    """Every sweep that can be read, newest first."""
    sweeps = []
    folders = [item for item in list_folder(_sweeps_dir()) if is_file(item / SWEEP)]
    for folder in sorted(folders, key=lambda folder: last_modified(folder, SWEEP, HISTORY_FILE), reverse=True):
        with suppress(CheckpointError):
            sweeps.append(_read_sweep(folder))
    return sweeps


def run_sweep(sweep: Sweep, *, emit: Emit, should_stop: Callable[[], bool]) -> None:
    """Train every run that is not done yet, one after another; within `jobs.running(sweep.folder, …)`.

    A run that was begun goes on, and one that trains already is waited for. A run that fails, or is stopped alone,
    is told of, and the next one begins. A stop of the sweep stops the run that is training, and waits for it.

    Args:
        sweep: to train.
        emit: takes `SweepStart`, then `SweepRun` when a run begins and when it ends, and `SweepEnd`, as values.
        should_stop: asked before each run, and every `POLL_SECONDS` during one.

    Raises:
        TrainingError: every run failed; it quotes the first one's reason.
    """
    summaries: list[RunSummary] = []
    is_stopping = False

    def is_stop_requested() -> bool:
        nonlocal is_stopping
        is_stopping = is_stopping or should_stop()
        return is_stopping

    n_runs = len(sweep.runs)
    emit(SweepStart(runs=n_runs).model_dump())
    for number, (planned_run, config) in enumerate(zip(sweep.runs, sweep.configs(), strict=True), 1):
        if is_stop_requested():
            break
        summary = _summarize_run(sweep, planned_run, config)
        if summary.status != "done" and not _is_foreign(sweep, planned_run, config):
            emit(_run_record(number, n_runs, summary.model_copy(update={"status": "running", "error": ""})))
            summary = _train_run(sweep, planned_run, config, is_stop_requested)
        summaries.append(summary)
        emit(_run_record(number, n_runs, summary))
    failures = [item for item in summaries if item.has_failed]
    n_done = sum(item.status == "done" for item in summaries)
    reason = "failed" if len(failures) == n_runs else "stopped" if is_stopping and n_done < n_runs else "finished"
    emit(SweepEnd(reason=reason, done=n_done).model_dump())
    if reason == "failed":
        raise TrainingError(
            "No run of the sweep “{name}” could be trained; “{run}”: {error}",
            name=sweep.name,
            run=failures[0].name,
            error=failures[0].error,
        )


def _run_record(number: int, n_runs: int, summary: RunSummary) -> dict[str, Any]:
    return SweepRun(number=number, runs=n_runs, **dict(summary)).model_dump()


def _train_run(
    sweep: Sweep, planned_run: PlannedRun, config: TrainConfig, is_stop_requested: Callable[[], bool]
) -> RunSummary:
    """How a run ended, after it was begun or gone on with where no process works on it."""
    checkpoint = open_checkpoint(planned_run.name)
    job = jobs.Job(checkpoint.folder)
    if not job.is_active:  # else it outlived an earlier process of the sweep
        arguments = _train_arguments(sweep, checkpoint, config)
        try:
            jobs.start(arguments, job.folder, title=planned_run.name, details=jobs.JobDetails(sweep=sweep.name))
        except JobError as error:
            if not job.is_active:  # else somebody else was quicker
                summary = _summarize_run(sweep, planned_run, config)
                return summary.model_copy(update={"status": "failed", "error": error.message})
    while job.is_active:
        if is_stop_requested():
            with suppress(JobError):  # asked once more at the next look
                job.stop()
        time.sleep(POLL_SECONDS)
    summary = _summarize_run(sweep, planned_run, config)
    if summary.status == "waiting":  # its folder was deleted or renamed
        return summary.model_copy(update={"status": "interrupted", "error": _INTERRUPTED_MESSAGE})
    return summary


def _train_arguments(sweep: Sweep, checkpoint: Checkpoint, config: TrainConfig) -> list[str]:
    """What the command line is asked for a run."""
    if checkpoint.can_resume:
        return ["train", "--name", checkpoint.name, "--resume"]
    return ["train", str(sweep.dataset), "--name", checkpoint.name, *config.to_arguments()]


def _summarize_run(sweep: Sweep, planned_run: PlannedRun, config: TrainConfig) -> RunSummary:
    checkpoint = open_checkpoint(planned_run.name)
    if _is_foreign(sweep, planned_run, config):
        error = say(
            "Another model or run has the name “{name}” by now: rename it and go on with the sweep.",
            name=planned_run.name,
        )
        return RunSummary(name=planned_run.name, settings=planned_run.settings, status="failed", error=error)
    job = jobs.Job(checkpoint.folder)
    status = _run_status(checkpoint, job)
    error = job.error or _INTERRUPTED_MESSAGE if status in ("failed", "interrupted") else ""
    return RunSummary(
        name=planned_run.name,
        settings=planned_run.settings,
        status=status,
        val=_best_metrics(read_history(job.folder / HISTORY_FILE)),
        error=error,
    )


def _is_foreign(sweep: Sweep, planned_run: PlannedRun, config: TrainConfig) -> bool:
    """Whether what has the name of a planned run is something else, such as an imported model."""
    checkpoint = open_checkpoint(planned_run.name)
    if not checkpoint.is_taken and not (checkpoint.folder / CONFIG).exists():
        return False  # nothing yet, or the job of a process that comes to life
    with suppress(CheckpointError):
        has_other_dataset = checkpoint.read_config()["dataset"] != display_path(sweep.dataset)
        return has_other_dataset or read_train_config(checkpoint) != config
    return True


def _run_status(checkpoint: Checkpoint, job: jobs.Job) -> RunStatus:
    status = job.status
    if status not in (*jobs.ACTIVE_STATUSES, "done") and _is_trained(checkpoint):
        return "done"
    return "waiting" if status == "none" else status


def _is_trained(checkpoint: Checkpoint) -> bool:
    """Whether the card says that the training came to its end."""
    try:
        return checkpoint.read_card().training.end_reason in ("finished", "early")
    except CheckpointError:
        return False


def _best_metrics(history: Sequence[HistoryRecord]) -> BestMetrics | None:
    best = best_epoch(history)
    if best is None:
        return None
    return BestMetrics(epoch=best.epoch, **best.val.model_dump(include=BestMetrics.model_fields.keys() - {"epoch"}))


def _check_source_models(configs: Sequence[TrainConfig]) -> None:
    """Refuse runs that could not start from the models that they are to start from.

    Raises:
        CheckpointError: such a model is missing or damaged.
        SettingsError: it has another network or other layers.
    """
    names = dict.fromkeys(config.source_model for config in configs)
    source_configs = {name: _source_config(name) for name in names if name}
    for config in configs:
        if (name := config.source_model) and (setting := _layer_mismatch(config, source_configs[name])):
            run_value, model_value = (format_value(getattr(item, setting)) for item in (config, source_configs[name]))
            raise SettingsError(
                "A run whose “{setting}” is {asked} cannot start from the model “{name}”, which was trained "
                "with {known}: leave network and layers as that model has them, or start from another.",
                setting=_label(setting),
                asked=run_value,
                name=name,
                known=model_value,
            )


def _source_config(name: str) -> NetworkConfig:
    """The settings of a model to start from.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    checkpoint = open_checkpoint(name)
    card = checkpoint.read_card()
    if not checkpoint.is_model:
        raise CheckpointError(
            "The model “{name}” to start from has no weights: copy its folder again, or train it.", name=name
        )
    return card.network


def _layer_mismatch(config: TrainConfig, source_config: NetworkConfig) -> str | None:
    """The first setting by which two networks have other layers."""
    return next((name for name in config.layer_settings if getattr(config, name) != getattr(source_config, name)), None)


def _read_sweep(folder: Path) -> Sweep:
    """The sweep of a folder.

    Raises:
        CheckpointError: its file is damaged.
    """
    try:
        plan = SweepPlan.model_validate_json((folder / SWEEP).read_bytes())
        configs = expand_grid(plan.base, plan.grid)
        for item in plan.runs:
            open_checkpoint(item.name)  # checks the name
        if [item.settings for item in plan.runs] != [_varied_settings(config, plan.grid) for config in configs]:
            raise ValueError("runs")
        return Sweep(folder, home_dir() / plan.dataset, plan.base, plan.grid, plan.runs)
    except (OSError, ValueError, TypeError, XraiError) as error:
        raise CheckpointError(
            "The file {SWEEP} of the sweep “{name}” is damaged or comes from another version of XRAI: "
            "the models that it trained are whole, and a new sweep can train the others.",
            SWEEP=SWEEP,
            name=folder.name,
        ) from error


def _sweeps_dir() -> Path:
    return checkpoints_dir() / ".sweeps"


def _sweep_folder(name: str) -> Path:
    """The folder of a sweep, which has names as a model has.

    Raises:
        CheckpointError: the name is none that a folder can have here.
    """
    return _sweeps_dir() / open_checkpoint(name).name


def _run_names(name: str, n: int) -> list[str]:
    """NAME-1, NAME-2, …, with zeros in front so that they sort."""
    return [f"{name}-{number:0{len(str(n))}}" for number in range(1, n + 1)]


def _varied_settings(config: TrainConfig, grid: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are varied."""
    return {name: getattr(config, name) for name in grid}


def _combine(base: Mapping[str, Any], settings: Mapping[str, Any]) -> TrainConfig:
    try:
        return TrainConfig(**{**base, **settings})
    except SettingsError as error:
        raise CombinationError(settings, error.message) from error


def _default_value(name: str) -> Any:
    """The default of a setting.

    Raises:
        SettingsError: there is no such setting.
    """
    if name not in (default_values := default_settings()):
        raise SettingsError(
            "There is no training setting “{name}”: the settings are: {names}.", name=name, names=list(default_values)
        )
    return default_values[name]


def _parse_value(name: str, kind: type, word: str) -> Any:
    """One typed value in its setting's type.

    Raises:
        SettingsError: it cannot be read as such.
    """
    if kind is str:
        return word
    if kind is bool and word.lower() in ("yes", "no"):
        return word.lower() == "yes"
    with suppress(ValueError):  # Python reads no whole number of thousands of digits
        if kind is int and _WHOLE.fullmatch(word):
            return int(word)
        if kind is float and _NUMBER.fullmatch(word):
            return float(word)
    raise SettingsError(
        "“{word}” is {problem} for the setting “{setting}”, {hint}.",
        word=word,
        problem=_NOT[kind],
        setting=_label(name),
        hint=_LIKE[kind],
    )


_NOT = {bool: N_("neither yes nor no"), int: N_("no whole number"), float: N_("no number")}
_LIKE = {
    bool: N_("which is either: write yes, no, or both with a comma in between"),
    int: N_("which takes whole numbers: write them as in 8, 16, 32"),
    float: N_("which takes numbers: write them as in 0.001, 0.0003"),
}


def _missing_value_error(name: str) -> SettingsError:
    return SettingsError(
        "There is no value for the setting “{setting}”: give one or more, with commas between.", setting=_label(name)
    )


def _label(name: str) -> str:
    return settings_of(TrainConfig)[name].label
