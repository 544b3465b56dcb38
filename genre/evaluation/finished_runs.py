"""Read finished runs from their folders, to compare them."""

import glob
import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from genre.config.records import flatten, read_record
from genre.errors import UserError
from genre.files import read_csv_records
from genre.paths import RECORD
from genre.redaction import redacted

Shared = TypeVar("Shared", bound=Hashable)

PRECISION = "trainer.precision"
IGNORED_KEYS = ("seed", "folder", "resume", "debug", "profile", "data.cache", "trainer.enable_progress_bar")


class Section(NamedTuple):
    """The properties that runs must share to be ranked.

    Args:
        split: its kind.
        seed: of the split.
        folds: of a cross-validation; 0 for a single split.
        held_out: the tracks that were held out; empty for none.
        task: multiclass or multilabel.
        tested: digest of the test tracks and their genres; empty without any.
    """

    split: str
    seed: int
    folds: int
    held_out: str
    task: str
    tested: str


@dataclass(frozen=True)
class Run:
    """A finished run read from its folder, or all folds of a cross-validation.

    Args:
        folders: of its files, one per fold.
        name: of the run's configuration.
        seed: of the run.
        settings: all other settings that define the model, by dotted key.
        metrics: as in metrics.json.
        section: the runs that it may be ranked with.
        tested: test track -> (true genres, predicted genres).
        groups: test track -> group that its split kept together.
    """

    folders: tuple[Path, ...]
    name: str
    seed: int
    settings: dict[str, Any]
    metrics: dict[str, Any]
    section: Section
    tested: dict[str, tuple[str, str]]
    groups: dict[str, str]

    @property
    def correct(self) -> dict[str, bool]:
        """Test track -> whether its predicted genres are exactly the true ones."""
        return {track: true == predicted for track, (true, predicted) in self.tested.items()}


def find_runs(pattern: str) -> tuple[list[Run], list[str]]:
    """Return the finished runs that match, and why other folders are skipped; of repeated runs the last is used."""
    literal = Path(pattern).expanduser()
    folders = [literal] if literal.is_dir() else map(Path, sorted(glob.glob(str(literal))))
    runs: dict[str, Run] = {}
    skipped = []
    for folder in folders:
        if not (folder / RECORD).is_file() and not (folder / "metrics.json").is_file():
            continue  # not a run
        run = read_run(folder)
        if isinstance(run, str):
            skipped.append(f"{folder} ({run})")
            continue
        same = json.dumps([run.settings, run.seed, run.section], sort_keys=True)
        if same in runs:
            skipped.append(f"{runs[same].folders[0]} (repeated with the same seed by {folder})")
        runs[same] = run
    return list(runs.values()), skipped


def read_run(folder: Path) -> Run | str:
    """Return a run from its folder, or why it cannot be compared."""
    for name, why in ((RECORD, "no run"), ("metrics.json", "unfinished")):
        if not (folder / name).is_file():
            return f"{why}: it has no {name}"
    try:
        values = redacted(read_record(folder))
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        settings = {key: value for key, value in flatten(values) if key not in IGNORED_KEYS}
        settings[PRECISION] = metrics.get("precision", settings.get(PRECISION))  # measured, where it was 'auto'
        tested = {row["track"]: (row["true"], row["predicted"]) for row in read_csv_records(folder / "predictions.csv")}
        groups = {row["track"]: row.get("group", row["track"]) for row in read_csv_records(folder / "splits.csv")}
        groups = {track: groups.get(track, track) for track in tested}
        section = section_of(settings, tested)
        return Run((folder,), str(values["name"]), values["seed"], settings, metrics, section, tested, groups)
    except (UserError, KeyError, TypeError, ValueError) as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__} "
        return f"damaged, or of another version: {kind}{error}".splitlines()[0]


def section_of(settings: Mapping[str, Any], tested: Mapping[str, tuple[str, str]]) -> Section:
    """Return the section of a run."""
    truth = json.dumps(sorted((track, true) for track, (true, _) in tested.items()))
    return Section(
        split=settings["split.kind"],
        seed=settings["split.seed"],
        folds=settings.get("split.folds") or 0,
        held_out=str(settings["split.hold_out"] or ""),
        task=str(settings["task._target_"]).rsplit(".", 1)[-1].lower(),
        tested=hashlib.sha256(truth.encode()).hexdigest()[:8] if tested else "",
    )


def group_by(runs: Iterable[Run], key: Callable[[Run], Shared]) -> dict[Shared, list[Run]]:
    """Return runs by the value of ``key``, in the order of first occurrence."""
    groups: dict[Shared, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups
