"""The settings of every command: Hydra's configuration becomes typed, frozen values here, before any data is read.

Pydantic rather than Hydra's structured configs: those know types but neither ranges nor alternatives, and would repeat
every constructor. Here a group with a ``_target_`` is checked against the constructor itself, whose annotations give
the ranges (``genre.ranges``).
"""

import csv
import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from genre.config.components import Component, component, construct, import_target
from genre.config.compose import OWN_KEYS, composed
from genre.config.errors import first_error, show
from genre.config.records import Record, flatten, plain
from genre.config.trust import Trust, check_targets
from genre.data.ballroom import read_ballroom
from genre.data.catalogue import Catalogue, read_folder, read_logmel
from genre.data.fma import read_fma
from genre.data.hub import read_hf
from genre.data.jamendo import read_mtg_jamendo
from genre.data.library import read_library
from genre.data.metadata import check_metadata_names
from genre.data.splits import RANDOM_KINDS, Split
from genre.data.synthetic import read_synthetic
from genre.errors import UserError
from genre.paths import AUTO, expanded
from genre.ranges import (
    STRICT,
    Count,
    DropoutProbability,
    Duration,
    FoldCount,
    NonNegative,
    Port,
    Positive,
    PositiveShare,
    Seed,
    Share,
    WholeNumber,
)
from genre.redaction import is_redacted
from genre.tasks import Task
from genre.transforms.augment import Augment
from genre.transforms.spectrogram import ArchiveSpectrogram, DocumentSpectrogram, NetworkInput
from genre.transforms.views import View
from genre.transforms.waveform import WaveformInput

Group = TypeVar("Group", bound="SettingsGroup")
WITHOUT_GTZAN = (read_ballroom, read_fma, read_folder, read_hf, read_library, read_mtg_jamendo, read_synthetic)
CALLBACK, LOGGER = "lightning.Callback", "lightning.pytorch.loggers.Logger"


def expand(value: Any) -> Any:
    """A text as a path, with ~ expanded; anything else as it is."""
    return expanded(value) if isinstance(value, str) else value


FilePath = Annotated[Path, BeforeValidator(expand)]


def default_cache() -> Path:
    """The user's cache folder, as conf/data/*.yaml has it."""
    return expanded(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "genre"


def node(base: type[Any]) -> BeforeValidator:
    """Validate a group with a ``_target_`` into a component whose target is a ``base``."""

    def read(value: Any, info: ValidationInfo) -> Any:
        return value if isinstance(value, Component) or value is None else component(str(info.field_name), value, base)

    return BeforeValidator(read)


def nodes(base: str) -> BeforeValidator:
    """Validate a mapping from names to such groups, whose base is a class of Lightning's: it takes long to import."""

    def read(value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Mapping):
            return value
        group = str(info.field_name)
        given = {name: inner for name, inner in value.items() if inner}
        return {name: component(f"{group}.{name}", inner, import_target(group, base)) for name, inner in given.items()}

    return BeforeValidator(read)


class SettingsGroup(BaseModel):
    """A group of keys; every error is a sentence that names the key."""

    model_config = ConfigDict(frozen=True, **STRICT)


def section(kind: type[Group]) -> BeforeValidator:
    """Validate a nested group of keys, whose errors name the whole key."""

    def read(value: Any, info: ValidationInfo) -> Any:
        return parse(kind, value, str(info.field_name)) if isinstance(value, Mapping) else value

    return BeforeValidator(read)


def parse(kind: type[Group], values: Mapping[str, Any], key: str = "") -> Group:
    """Validate the values of a group.

    Raises:
        UserError: naming the first key that is unknown, missing or out of range.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        fields = {field.alias or name: full_annotation(field) for name, field in kind.model_fields.items()}
        raise UserError(first_error(error, key, fields, values)) from error


def full_annotation(field: Any) -> Any:
    """The annotation of a field together with its range, which Pydantic takes apart."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


class DataSettings(SettingsGroup):
    """Which music is read, and what of it is cached."""

    reader: Component[Catalogue]
    cache: FilePath = Field(default_factory=default_cache)
    keep: bool = True
    limit_tracks: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def separate_reader(cls, values: Any) -> Any:
        """Give every key that is not ours to the reader that ``_target_`` names."""
        if not isinstance(values, Mapping) or "reader" in values:
            return values
        own = {name: value for name, value in values.items() if name in cls.model_fields}
        rest = {name: value for name, value in values.items() if name not in own}
        return {**own, "reader": component("data", rest, Catalogue)}


class MetadataSettings(SettingsGroup):
    """What a model uses beside the music: the keys of the group ``model`` that are not the network's.

    Args:
        columns: of the catalogue.
        dropout: probability that a track's value in one of them is left out in training.
    """

    columns: Sequence[str] = Field(default=(), alias="metadata")
    dropout: DropoutProbability = Field(default=0.5, alias="metadata_dropout")


class OptimizerSettings(SettingsGroup):
    """An optimiser of PyTorch's; keys that it knows beyond these may be added."""

    model_config = ConfigDict(frozen=True, **{**STRICT, "extra": "allow"})
    target: str = Field(alias="_target_")
    lr: Positive
    weight_decay: NonNegative = 0.0

    @property
    def component(self) -> Component[Optimizer]:
        """The optimiser, waiting for the parameters."""
        return component("optimizer", self.model_dump(by_alias=True), Optimizer)


class SchedulerSettings(SettingsGroup):
    """A learning-rate schedule of PyTorch's; further keys belong to it.

    Args:
        interval: what it counts: epochs, or training batches ('step').
    """

    model_config = ConfigDict(frozen=True, **{**STRICT, "extra": "allow"})
    target: str = Field(alias="_target_")
    interval: Literal["epoch", "step"] = "epoch"

    @property
    def component(self) -> Component[LRScheduler]:
        """The schedule, waiting for the optimiser."""
        values = self.model_dump(by_alias=True)
        return component("scheduler", {name: v for name, v in values.items() if name != "interval"}, LRScheduler)

    def build(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        """Build the schedule of an optimiser.

        Args:
            total_steps: of the whole training, for schedules whose ``total_steps`` is not given.
        """
        schedule = self.component
        if schedule.accepts("total_steps") and not {"total_steps", "epochs"} & schedule.arguments.keys():
            return schedule.build(optimizer, total_steps=total_steps)
        return schedule.build(optimizer)


class StoppingSettings(SettingsGroup):
    """When training stops, and which epoch is the best one.

    Args:
        monitor: a logged metric; the best checkpoint has the lowest loss, or the highest value of any other.
        patience: epochs without a better one; None never stops early.
    """

    monitor: str
    patience: WholeNumber | None

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether the monitored value is better when it is lower or higher."""
        return "min" if self.monitor.endswith("loss") else "max"


class TrainerSettings(SettingsGroup):
    """The arguments of Lightning's Trainer; those that it knows beyond these may be added."""

    model_config = ConfigDict(frozen=True, **{**STRICT, "extra": "allow"})
    max_epochs: Count | Literal[-1] | None = None
    max_steps: Count | Literal[-1] = -1
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    accelerator: str = "auto"
    devices: Count | Literal["auto", -1] | Sequence[WholeNumber] = 1
    num_nodes: Count = 1
    strategy: str = "auto"
    deterministic: bool | Literal["warn"] = True
    enable_progress_bar: bool = True
    enable_model_summary: bool = True

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for Lightning's Trainer."""
        return self.model_dump()


class Settings(SettingsGroup):
    """The settings of a command.

    Args:
        folder: of all files that are written.
        debug: True shows the traceback of a user's mistake.
    """

    folder: FilePath
    debug: bool = False


class TrainSettings(Settings):
    """One training run.

    Args:
        profile: whether a few steps are profiled.
        record: the same as plain values, which a checkpoint and hparams.yaml carry.
    """

    name: str
    resume: FilePath | None = None
    init_from: FilePath | None = None
    seed: Seed
    batch_size: Count
    data: Annotated[DataSettings, section(DataSettings)]
    split: Annotated[Split, BeforeValidator(lambda value: construct("split", Split, value))]
    spectrogram: Annotated[Component[NetworkInput], node(NetworkInput)]
    view: Annotated[Component[View], node(View)]
    augment: Annotated[Component[Augment], node(Augment)]
    model: Annotated[Component[nn.Module], node(nn.Module)]
    metadata: MetadataSettings
    task: Annotated[Component[Task], node(Task)]
    optimizer: Annotated[OptimizerSettings, section(OptimizerSettings)]
    scheduler: Annotated[SchedulerSettings | None, section(SchedulerSettings)]
    stopping: Annotated[StoppingSettings, section(StoppingSettings)]
    trainer: Annotated[TrainerSettings, section(TrainerSettings)]
    callbacks: Annotated[dict[str, Component[Any]], nodes(CALLBACK)] = Field(default_factory=dict)
    logger: Annotated[dict[str, Component[Any]], nodes(LOGGER)] = Field(default_factory=dict)
    profile: bool = False
    record: Record = Field(default_factory=dict, repr=False)

    @model_validator(mode="before")
    @classmethod
    def separate_metadata(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give every key of ``model`` that is not ours to the network."""
        if "metadata" in values:
            raise UserError("there is no key metadata; did you mean model.metadata?")
        model = values.get("model")
        keys = model if isinstance(model, Mapping) else {}
        own = {name: value for name, value in keys.items() if name in OWN_KEYS["model"]}
        network = {name: value for name, value in keys.items() if name not in own}
        return {**values, "model": network or model, "metadata": parse(MetadataSettings, own, "model")}

    def replace(self, **changes: Any) -> "TrainSettings":
        """The settings with other values under dotted keys, written with two underscores: ``trainer__precision``."""
        values = deepcopy(dict(self.record))
        for key, value in changes.items():
            *groups, name = key.split("__")
            group: Any = values
            for part in groups:
                group = group[part]
            group[name] = value
        return train_settings(values)


class PrepareSettings(Settings):
    """The preparation of a training's data.

    Args:
        name: of the folder.
        shard: number of one of the jobs that prepare together.
        base: the training.
    """

    name: str
    shard: WholeNumber
    base: TrainSettings


class ResumeSettings(SettingsGroup):
    """What a command line says about a run that it resumes, and no record.

    Args:
        trust: modules beside this program's whose classes the run may name.
    """

    trust: Trust


class EvaluateSettings(Settings):
    """The measurement of one run, or the comparison of many.

    Args:
        run: folder of one run.
        runs: instead of it, a pattern of many.
        reference: the row of their table from which differences are measured; None is the best.
        data: another catalogue than the run's own.
        subset: None is 'test', or 'all' of another catalogue.
        exclude_seen: whether tracks that the run trained or validated on are skipped in another catalogue.
        trust: modules beside this program's whose classes the run may name.
    """

    run: FilePath | None
    runs: str | None
    reference: str | None
    data: Annotated[DataSettings | None, section(DataSettings)]
    subset: Literal["train", "val", "test", "all"] | None
    exclude_seen: bool
    accelerator: str
    trust: Trust


def several_paths(value: Any) -> Any:
    """A path, or several in brackets, as a list: '[a.mp3,"b, c.mp3"]' -> ['a.mp3', 'b, c.mp3']; null is none."""
    if not isinstance(value, str | Path):
        return [] if value is None else value
    text = str(value)
    if not (text.startswith("[") and text.endswith("]")) or expanded(text).exists():
        return [value]
    (parts,) = csv.reader([text[1:-1]], skipinitialspace=True)
    return [part.strip() for part in parts if part.strip()]


class PredictSettings(Settings):
    """The prediction of genres for files of one's own.

    Args:
        run: folder of a run.
        input: audio files, folders with audio anywhere below them, playlists.
        format: of the predictions.
        top: genres per file that are named as the most probable.
        min_probability: genres that are less probable are not named.
        timeline: whether genres over time are written, too.
        hop: seconds between its windows; None is half a window.
        neighbours: similar tracks that are named per file.
        collection: folder of an earlier call, whose tracks they are taken from; None takes them from the inputs.
        write_tags: whether the genres are written into the tags of the files.
        dry_run: whether that only shows what would change.
        overwrite: whether it replaces the genre that a file has.
        undo: instead of an input, the tags.csv of an earlier call, whose changes are taken back.
        trust: modules beside this program's whose classes the run may name.
    """

    run: FilePath | None
    input: Annotated[Sequence[FilePath], BeforeValidator(several_paths)]
    format: Literal["csv", "jsonl"]
    top: Count
    min_probability: Share
    timeline: bool
    hop: Duration | None
    neighbours: WholeNumber
    collection: FilePath | None
    write_tags: bool
    dry_run: bool
    overwrite: bool
    undo: FilePath | None
    accelerator: str
    trust: Trust

    @model_validator(mode="after")
    def check_collection(self) -> Self:
        """Refuse a collection of which nothing is asked."""
        if self.collection and not self.neighbours:
            raise ValueError("collection=FOLDER is where neighbours are looked for; add neighbours=5")
        return self

    @model_validator(mode="after")
    def check_tags(self) -> Self:
        """Refuse keys of writing tags without it, and undoing together with predicting."""
        if not self.write_tags and (self.overwrite or not self.dry_run):
            raise ValueError("overwrite=true and dry_run=false need write_tags=true")
        if self.undo and (self.input or self.write_tags):
            raise ValueError("undo=FILE restores tags and predicts nothing; omit input and write_tags")
        return self


class DemoSettings(SettingsGroup):
    """The page on which one hears a song and sees what models say about it.

    Args:
        run: folder of a run.
        runs: a pattern of runs, instead of it or beside it.
        host: that the server listens on.
        port: that it listens on; 0 is any free one.
        max_megabytes: of an uploaded file.
        max_seconds: of a song.
        trust: modules beside this program's whose classes the runs may name.
        debug: True shows the traceback of a user's mistake.
    """

    run: FilePath | None
    runs: str | None
    host: str
    port: Port
    max_megabytes: Positive
    max_seconds: Duration
    accelerator: str
    trust: Trust
    debug: bool


class ExportSettings(Settings):
    """The export of a trained model to one file.

    Args:
        run: folder of a run.
        output: the file; None is a name in ``folder``.
        trust: modules beside this program's whose classes the run may name.
    """

    run: FilePath | None
    format: Literal["onnx", "torch"]
    output: FilePath | None
    trust: Trust


class DuplicateSettings(SettingsGroup):
    """When two tracks count as the same recording.

    Args:
        correlation: of their centred spectrograms.
        overlap: that they must share, in seconds.
        seconds: of each track's middle are compared.
    """

    correlation: PositiveShare
    overlap: Duration
    seconds: Duration

    @model_validator(mode="after")
    def check_overlap(self) -> Self:
        """Refuse an overlap that no two excerpts can have."""
        if self.overlap > self.seconds:
            raise ValueError(f"duplicates.overlap={self.overlap:g} must not exceed duplicates.seconds={self.seconds:g}")
        return self


class ExploreSettings(Settings):
    """The exploration of a collection.

    Args:
        features: a table to draw from instead of music.
        also: further functions of librosa.feature.
        pictures: whether a PNG per track is written.
        examples: tracks per genre on the figure of examples.
        show: the track of the figure of one log-mel; None is the first.
        clipped: share of samples at full scale from which a track counts as clipped.
        few: a genre with fewer tracks is reported.
    """

    name: str
    data: Annotated[DataSettings, section(DataSettings)]
    spectrogram: Annotated[Component[DocumentSpectrogram], node(DocumentSpectrogram)]
    view: Annotated[Component[View], node(View)]
    features: FilePath | None
    also: Sequence[str]
    pictures: bool
    examples: WholeNumber
    show: str | None
    duplicates: Annotated[DuplicateSettings, section(DuplicateSettings)]
    clipped: Share
    few: WholeNumber
    record: Record = Field(default_factory=dict, repr=False)


class GridSettings(SettingsGroup):
    """A grid, and how its points are tried, recorded and selected.

    Args:
        axes: dotted key -> its values.
        sampler: 'grid' tries every point, 'random' and 'tpe' try ``trials`` of them.
        seed: of random and tpe.
        prune: 'median' stops points that are worse than the median at the same epoch, 'halving' all but one in ``eta``.
        first_epochs: after which successive halving judges every point for the first time.
        eta: of successive halving: one point in so many goes on, to so many times as many epochs.
        storage: URL of a database; None is a journal in the folder.
        retries: number of further attempts at a point that failed.
        lease: time without a heartbeat after which a worker is lost, in seconds.
        heads: points of a frozen backbone that train in one pass.
        select_by: the metric of the best epoch that ranks the points.
        finalists: number of best points that are trained again.
        seeds: of the finalists.
        experiment: name of the winner's experiment in conf/experiment.
        publish: whether the winner is written there; otherwise to the sweep's folder only.
    """

    axes: dict[str, Any]
    sampler: Literal["grid", "random", "tpe"]
    trials: Count | None
    seed: Seed
    prune: Literal["median", "halving"] | None
    first_epochs: Count
    eta: FoldCount
    storage: str | None
    retries: WholeNumber
    lease: Duration
    heads: Count
    select_by: Literal["val/accuracy", "val/loss"]
    finalists: WholeNumber
    seeds: Sequence[Seed]
    experiment: str | None
    publish: bool

    @model_validator(mode="after")
    def check_combinations(self) -> Self:
        """Refuse keys that do not go together."""
        if self.publish and self.experiment is None:
            raise ValueError("grid.publish=true needs grid.experiment=NAME, what the winner becomes in conf/experiment")
        if self.experiment is not None and not re.fullmatch(r"[\w-]+(/[\w-]+)*", self.experiment):
            raise ValueError(f"grid.experiment={self.experiment} must be a name such as document/tuned")
        if (self.trials is None) != (self.sampler == "grid"):
            raise ValueError(
                f"grid.sampler={self.sampler} does not go with grid.trials={show(self.trials)}: random and tpe need "
                "grid.trials=N, the grid takes every point"
            )
        if self.prune == "median" and self.sampler == "grid":
            raise ValueError("grid.prune=median goes with grid.sampler=random or tpe; to prune a grid, use halving")
        return self


class SweepSettings(Settings):
    """A sweep over configuration keys.

    Args:
        worker: number of this worker among those of one command.
        template: the configuration that train.py would run, in which a point replaces values.
    """

    name: str
    worker: WholeNumber
    grid: Annotated[GridSettings, section(GridSettings)]
    base: TrainSettings
    template: DictConfig

    @model_validator(mode="after")
    def check_epochs(self) -> Self:
        """Refuse successive halving of runs that end before anything is judged."""
        epochs, grid = self.base.trainer.max_epochs, self.grid
        if grid.prune == "halving" and epochs is not None and -1 < epochs <= grid.first_epochs:
            raise ValueError(
                f"grid.prune=halving stops points after grid.first_epochs={grid.first_epochs} epochs, and "
                f"trainer.max_epochs={epochs} is not more; raise it or lower grid.first_epochs"
            )
        return self


class ShareSettings(SettingsGroup):
    """What a learning curve trains.

    Args:
        shares: of the training tracks; each is trained on in every fold.
        folds: of the cross-validation.
    """

    shares: Sequence[PositiveShare]
    folds: FoldCount

    @model_validator(mode="after")
    def check_shares(self) -> Self:
        """Refuse too few shares to fit a curve with three parameters to, or unsorted ones."""
        if len(self.shares) < 3 or list(self.shares) != sorted(set(self.shares)):
            raise ValueError(
                f"curve.shares=[{','.join(f'{share:g}' for share in self.shares)}] must be three or more rising shares "
                "of the training tracks, such as [0.125,0.25,0.5,1]"
            )
        return self


class CurveSettings(Settings):
    """A learning curve.

    Args:
        curve: its shares and folds.
        base: the training run that it repeats.
    """

    name: str
    curve: Annotated[ShareSettings, section(ShareSettings)]
    base: TrainSettings

    @model_validator(mode="after")
    def check_split(self) -> Self:
        """Refuse a split that has no folds, or whose folds and shares were chosen already."""
        split = self.base.split
        if split.folds is not None or split.train_share < 1:
            raise ValueError(
                "a learning curve trains every fold and share: omit split.folds, split.fold and split.train_share, and "
                "set curve.folds and curve.shares"
            )
        if split.kind not in RANDOM_KINDS or split.hold_out:
            given = f"split.hold_out={split.hold_out}" if split.hold_out else f"split={split.kind}"
            raise ValueError(f"a learning curve needs folds, which split=random and split=artist have; omit {given}")
        return self


def train_settings(cfg: "DictConfig | Record | TrainSettings") -> TrainSettings:
    """Read the settings of a training run.

    Raises:
        UserError: naming the first key that is unknown, missing or out of range, or the keys that do not go together.
    """
    if isinstance(cfg, TrainSettings):
        return cfg
    record = train_record(cfg)
    settings = parse(TrainSettings, {**record, "record": record})
    check_combinations(settings.data, settings.spectrogram, settings.split)
    if settings.spectrogram.target is WaveformInput and settings.augment.build().acts:
        raise UserError("augment acts on spectrograms, and the network hears waveforms; set augment=none")
    check_metadata_names(settings.metadata.columns, settings.split.kind)
    return settings


def train_record(cfg: "DictConfig | Record | TrainSettings") -> dict[str, Any]:
    """The plain values of a training run's configuration, not checked yet but for what ``resume=RUN`` may name.

    Raises:
        UserError: if the record of a run that is resumed names a class that is neither known nor trusted, or lacks
            a password that was not recorded.
    """
    if isinstance(cfg, TrainSettings):
        return dict(cfg.record)
    record = plain(composed(cfg)) if isinstance(cfg, DictConfig) else {str(key): value for key, value in cfg.items()}
    trust = record.pop("trust", None)  # of a command line; that of a record would be a stranger's, and is not heard
    if isinstance(cfg, DictConfig) and record.get("resume") not in (None, AUTO):  # auto continues this very command
        check_resumed(record, parse(ResumeSettings, {"trust": trust}).trust)
    return record


def prepare_settings(cfg: DictConfig | PrepareSettings) -> PrepareSettings:
    """Read the settings of a preparation.

    Raises:
        UserError: naming the first key that is unknown, missing or out of range, or the keys that do not go together.
    """
    if isinstance(cfg, PrepareSettings):
        return cfg
    record = plain(composed(cfg))
    base = train_settings({key: value for key, value in record.items() if key not in ("shard", "trust")})
    own = {"name": base.name, "folder": base.folder, "debug": base.debug, "base": base}
    return parse(PrepareSettings, {**own, "shard": record["shard"]})


def check_resumed(record: Record, trust: Sequence[str]) -> None:
    """Refuse the record of a run that is resumed if it names an unknown class, or a secret is missing.

    Raises:
        UserError: naming the key.
    """
    check_targets(record, f"resume={record['resume']}", trust)
    if missing := [key for key, value in flatten(record) if is_redacted(value)]:
        raise UserError(f"{missing[0]} is recorded without its password or token; give {missing[0]}=… again")


def check_combinations(data: DataSettings, spectrogram: Component[Any], split: Split | None = None) -> None:
    """Refuse groups that do not go together.

    Raises:
        UserError: naming them.
    """
    if data.reader.target is read_logmel and spectrogram.target is WaveformInput:
        raise UserError("data=logmel contains spectrograms; a network that hears waveforms needs the music itself")
    if data.reader.target is read_logmel and spectrogram.target is not ArchiveSpectrogram:
        raise UserError("data=logmel contains the archive's spectrograms; remove spectrogram=document")
    if split and "fault_filtered" in (split.kind, split.among) and data.reader.target in WITHOUT_GTZAN:
        name = data.reader.target.__name__.removeprefix("read_")
        key = "split.among" if split.among else "split"
        raise UserError(f"{key}=fault_filtered lists GTZAN's tracks; data={name} has others")


def evaluate_settings(cfg: DictConfig | EvaluateSettings) -> EvaluateSettings:
    """Read the settings of an evaluation.

    Raises:
        UserError: naming the first key that is unknown, missing or out of range.
    """
    if isinstance(cfg, EvaluateSettings):
        return cfg
    values = plain(composed(cfg))
    for brought in ("spectrogram", "split"):  # by data=logmel and data=library; those of the run count
        values.pop(brought, None)
    return parse(EvaluateSettings, values)


def predict_settings(cfg: DictConfig | PredictSettings) -> PredictSettings:
    """Read the settings of a prediction.

    Raises:
        UserError: naming the first key that is unknown, missing or out of range.
    """
    return cfg if isinstance(cfg, PredictSettings) else parse(PredictSettings, plain(composed(cfg)))


def demo_settings(cfg: DictConfig | DemoSettings) -> DemoSettings:
    """Read the settings of the page.

    Raises:
        UserError: naming the first key that is unknown, missing or out of range.
    """
    return cfg if isinstance(cfg, DemoSettings) else parse(DemoSettings, plain(composed(cfg)))


def export_settings(cfg: DictConfig | ExportSettings) -> ExportSettings:
    """Read the settings of an export.

    Raises:
        UserError: naming the first key that is unknown, missing or out of range.
    """
    return cfg if isinstance(cfg, ExportSettings) else parse(ExportSettings, plain(composed(cfg)))


def explore_settings(cfg: DictConfig | ExploreSettings) -> ExploreSettings:
    """Read the settings of an exploration.

    Raises:
        UserError: naming the first key that is unknown, missing or out of range, or the keys that do not go together.
    """
    if isinstance(cfg, ExploreSettings):
        return cfg
    record = plain(composed(cfg))
    record.pop("split", None)  # which data=library brings along
    settings = parse(ExploreSettings, {**record, "record": record})
    if settings.features is None:
        check_combinations(settings.data, settings.spectrogram)
    return settings


def sweep_settings(cfg: DictConfig | SweepSettings) -> SweepSettings:
    """Read the settings of a sweep.

    Raises:
        UserError: naming the first key that is unknown, missing or out of range, or the keys that do not go together.
    """
    if isinstance(cfg, SweepSettings):
        return cfg
    shared_keys = [str(key) for key in cfg if key not in ("grid", "worker", "trust")]
    template: Any = OmegaConf.masked_copy(composed(cfg), shared_keys)
    OmegaConf.set_struct(template, True)
    base = train_settings(template)
    own: Any = OmegaConf.masked_copy(cfg, ["grid", "worker"])
    shared = {"name": base.name, "folder": str(base.folder), "debug": base.debug}
    return parse(SweepSettings, plain(own) | {**shared, "base": base, "template": template})


def curve_settings(record: Record) -> CurveSettings:
    """Read the settings of a learning curve from its record (``train_record``).

    Raises:
        UserError: naming the first key that is unknown, missing or out of range, or the keys that do not go together.
    """
    base = train_settings({key: value for key, value in record.items() if key != "curve"})
    own = {"folder": base.folder, "debug": base.debug, "name": base.name, "base": base}
    return parse(CurveSettings, {**own, "curve": record["curve"]})
