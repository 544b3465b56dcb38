"""One table of many finished runs: what differs beyond noise, on tracks that are the same.

Only what lies in the run folders is read. Runs are laid side by side where they share split, split seed, task and test
tracks; several seeds of one configuration are one row.
"""

import csv
import glob
import hashlib
import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import OmegaConf
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from yaml import YAMLError

from genre.config import flatten_keys
from genre.errors import UserError
from genre.evaluation.arrays import Floats
from genre.evaluation.metrics import LEVEL, RESAMPLES
from genre.files import write_csv, write_text
from genre.paths import RECORD

log = logging.getLogger(__name__)

NO_MATTER = ("seed", "folder", "resume", "debug", "data.cache", "trainer.enable_progress_bar")  # of what a model is
MEASURED = {
    "train accuracy": "train/accuracy", "val accuracy": "val/accuracy", "test accuracy": "test/accuracy",
    "macro precision": "test/macro_precision", "macro recall": "test/macro_recall", "macro F1": "test/macro_f1",
    "seconds": "seconds",
}  # fmt: skip
SHOWN = ("model", "task", "split", *list(MEASURED)[:3], "95 % interval", *list(MEASURED)[3:], "")
SHORT = ("model", "train", "val", "test", "95 % interval", "precision", "recall", "F1", "seconds", "")
UNKNOWN = "its own"
WIDE = 120  # characters, where no terminal says otherwise
REASONS = 3  # that a mistake names


class Section(NamedTuple):
    """What runs must share to be ranked.

    Args:
        split: its kind.
        seed: of the split.
        held_out: what was held out; empty for nothing.
        task: multiclass or multilabel.
        tested: what the test tracks and their genres are, as a digest; empty without any.
    """

    split: str
    seed: int
    held_out: str
    task: str
    tested: str


@dataclass(frozen=True)
class Run:
    """A finished run, as its folder tells it.

    Args:
        folder: of its files.
        name: of the run's configuration.
        seed: of the run.
        settings: all else that makes the model, under dotted keys.
        section: whom it may be ranked with.
        metrics: as in metrics.json.
        right: test track -> whether all that is predicted is right.
    """

    folder: Path
    name: str
    seed: int
    settings: dict[str, Any]
    section: Section
    metrics: dict[str, Any]
    correct: dict[str, bool]


@dataclass
class Row:
    """A configuration in a table: one run, or several seeds.

    Args:
        model: what it is called.
        task: multiclass or multilabel.
        split: kind and seed.
        values: heading -> one number a run.
        interval: of the test accuracy; None where nothing was tested.
        mark: 'best', 'tied' or nothing.
        folders: of its runs; none for the source document.
    """

    model: str
    task: str
    split: str
    values: dict[str, list[float]]
    interval: tuple[float, float] | None = None
    mark: str = ""
    folders: tuple[str, ...] = ()

    def cells(self) -> list[str]:
        """The row as people read it, under ``SHOWN``."""
        numbers = {name: format_mean(values, name == "seconds") for name, values in self.values.items()}
        span = "–" if self.interval is None else f"{100 * self.interval[0]:.1f} to {100 * self.interval[1]:.1f}"
        words = [self.model, self.task, self.split, *(numbers[name] for name in list(MEASURED)[:3])]
        return [*words, span, *(numbers[name] for name in list(MEASURED)[3:]), self.mark]

    def record(self) -> dict[str, Any]:
        """The row as programs read it: shares from 0 to 1, means and deviations of its own."""
        record: dict[str, Any] = {
            "model": self.model,
            "task": self.task,
            "split": self.split,
            "runs": len(self.folders),
        }
        for name, values in self.values.items():
            mean, deviation = mean_and_deviation(values)
            record |= {name.replace(" ", "_"): mean, f"{name.replace(' ', '_')}_sd": deviation}
        low, high = self.interval or (None, None)
        return record | {"ci95_low": low, "ci95_high": high, "mark": self.mark, "folders": " ".join(self.folders)}


DOCUMENT = [
    ("document: base model", "multiclass", (0.8954, 0.68, 0.585)),
    ("document: tuned model", "multiclass", (0.974, 0.70, 0.62)),
    ("document: VGG16", "multiclass", (0.7096, 0.62, 0.665)),
    ("document: several genres, VGG16", "multilabel", (None, None, 0.40)),  # on 50 songs of its own
]


def compare(pattern: str, folder: Path) -> list[dict[str, Any]]:
    """Write results.md and results.csv of all finished runs that a pattern finds, and print the table.

    Raises:
        UserError: if there is none.
    """
    runs, left_out = find_runs(pattern)
    if not runs:
        reasons = f" ({'; '.join(left_out[:REASONS])})" if left_out else ""
        raise UserError(
            f"runs={pattern} finds no finished run{reasons}; name folders that train.py printed, * for any name"
        )
    sections = [(heading(some), table_rows(some)) for some in group_by(runs, lambda run: run.section).values()]
    write_text(folder / "results.md", markdown(sections, left_out))
    records = [{"section": heading, **row.record()} for heading, rows in sections for row in rows]
    write_csv(folder / "results.csv", list(records[0]), (list(record.values()) for record in records))
    for heading, rows in sections:
        print_table(heading, rows)
    for reason in left_out:
        log.warning("left out: %s", reason)
    return records


def find_runs(pattern: str) -> tuple[list[Run], list[str]]:
    """The finished runs of a pattern, and why other folders are left out; of repeated runs the last counts."""
    literally = Path(pattern).expanduser()
    places = [literally] if literally.is_dir() else map(Path, sorted(glob.glob(str(literally))))
    runs: dict[str, Run] = {}
    left_out = []
    for place in places:
        if not (place / RECORD).is_file() and not (place / "metrics.json").is_file():
            continue  # something else beside the runs
        run = read_run(place)
        if isinstance(run, str):
            left_out.append(f"{place} ({run})")
            continue
        same = json.dumps([run.settings, run.seed, run.section], sort_keys=True)
        if same in runs:
            left_out.append(f"{runs[same].folder} (repeated with the same seed by {place})")
        runs[same] = run
    return list(runs.values()), left_out


def read_run(folder: Path) -> Run | str:
    """A run from its folder, or why it is none that can be compared."""
    for name, why in ((RECORD, "no run"), ("metrics.json", "unfinished")):
        if not (folder / name).is_file():
            return f"{why}: it has no {name}"
    try:
        values: Any = OmegaConf.to_container(OmegaConf.load(folder / RECORD), resolve=True)
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        tested = read_predictions(folder / "predictions.csv")
        section = section_of(values, tested)
        settings = {key: value for key, value in flatten_keys(values) if key not in NO_MATTER}
        right = {track: true == said for track, (true, said) in tested.items()}
        return Run(folder, str(values["name"]), values["seed"], settings, section, metrics, right)
    except (KeyError, TypeError, ValueError, YAMLError) as error:
        return f"damaged, or of another version: {type(error).__name__} {error}".splitlines()[0]


def section_of(values: Mapping[str, Any], tested: Mapping[str, tuple[str, str]]) -> Section:
    """Whom a run may be ranked with."""
    split, task = values["split"], str(values["task"]["_target_"]).rsplit(".", 1)[-1].lower()
    truth = json.dumps(sorted((track, true) for track, (true, _) in tested.items()))
    digest = hashlib.sha256(truth.encode()).hexdigest()[:8] if tested else ""
    return Section(split["kind"], split["seed"], str(split["hold_out"] or ""), task, digest)


def read_predictions(path: Path) -> dict[str, tuple[str, str]]:
    """What is true and what was said of each test track; nothing without a test subset."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["track"]: (row["true"], row["predicted"]) for row in csv.DictReader(file)}


def group_by(runs: Iterable[Run], key: Any) -> dict[Any, list[Run]]:
    """Runs that share something, in the order of their first."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups


def heading(runs: Sequence[Run]) -> str:
    """What a section's runs have in common."""
    kind, seed, held, task, tested = runs[0].section
    tracks = f"{len(runs[0].correct)} test tracks ({tested})" if tested else "no test tracks"
    return f"{task}, split {kind} (seed {seed}){f', held out: {held}' if held else ''}, {tracks}"


def table_rows(runs: Sequence[Run]) -> list[Row]:
    """The rows of one section, the best first, those within noise of it marked; the source document's follow."""
    groups = list(group_by(runs, lambda run: json.dumps(run.settings, sort_keys=True)).values())
    names = row_names([group[0] for group in groups])
    tracks = sorted(runs[0].correct)
    rights = [np.array([[run.correct[track] for track in tracks] for run in group], float).mean(0) for group in groups]
    rows = [table_row(*parts) for parts in zip(names, groups, rights, strict=True)]
    if tracks and len(rows) > 1:
        order = sorted(range(len(rows)), key=lambda place: -rights[place].mean())
        rows[order[0]].mark = "best"
        for place in order[1:]:
            rows[place].mark = "tied" if is_tied(rights[order[0]], rights[place]) else ""
        rows = [rows[place] for place in order]
    return rows + document_rows(rows[0].task)


def table_row(name: str, group: Sequence[Run], right: Floats) -> Row:
    """A configuration's row; ``right`` (tracks,) is how often its seeds are right about each track."""
    kind, seed, held, task, _ = group[0].section
    values = {heading: [run.metrics[key] for run in group if key in run.metrics] for heading, key in MEASURED.items()}
    split = f"{kind} ({seed}){', held out' if held else ''}"
    return Row(name, task, split, values, bootstrap_interval(right), folders=tuple(str(run.folder) for run in group))


def document_rows(task: str) -> list[Row]:
    """What the source document reports; on a split of its own, so never ranked."""
    rows = []
    for name, its, accuracies in DOCUMENT:
        if its == task:
            known = zip(list(MEASURED)[:3], accuracies, strict=True)
            values = {heading: [] if value is None else [value] for heading, value in known}
            rows.append(Row(name, task, UNKNOWN, {name: values.get(name, []) for name in MEASURED}))
    return rows


def row_names(runs: Sequence[Run]) -> list[str]:
    """A name for each configuration: the run's, and in brackets what tells it from others of that name."""
    names = []
    for run in runs:
        namesakes = [other.settings for other in runs if other.name == run.name]
        keys = sorted({key for other in namesakes for key in other})
        differing = [key for key in keys if any(other.get(key) != run.settings.get(key) for other in namesakes)]
        told = ", ".join(f"{key}={run.settings.get(key)}" for key in differing)
        names.append(f"{run.name} ({told})" if told else run.name)
    return names


def bootstrap_means(values: Floats, seed: int = 0) -> Floats:
    """The means of values over resampled tracks: (tracks,) -> (resamples,)."""
    tracks = len(values)
    weights = np.random.default_rng(seed).multinomial(tracks, np.full(tracks, 1 / tracks), RESAMPLES)
    means: Floats = weights @ values / tracks
    return means


def bootstrap_interval(right: Floats) -> tuple[float, float] | None:
    """The 95 % bootstrap interval of an accuracy over tracks; None without any."""
    if not len(right):
        return None
    low, high = np.quantile(bootstrap_means(right), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def is_tied(best: Floats, other: Floats) -> bool:
    """Whether the difference of two accuracies on the same tracks may be none: its 95 % interval holds 0."""
    span = bootstrap_interval(best - other)
    return span is not None and span[0] <= 0


def mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The mean of some runs, and for two or more their deviation (of a sample)."""
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def format_mean(values: Sequence[float], seconds: bool) -> str:
    """Per cent, or seconds: '62.5', '61.1 ± 1.4 (3)' of three seeds, '–' where it is missing."""
    mean, deviation = mean_and_deviation(values)
    if mean is None:
        return "–"
    scale, digits = (1, 0) if seconds else (100, 1)
    text = f"{scale * mean:.{digits}f}"
    return text if deviation is None else f"{text} ± {scale * deviation:.{digits}f} ({len(values)})"


NOTE = (
    "Accuracies, precision, recall, F1, intervals in per cent; mean ± deviation (runs) over seeds. Best: the highest "
    "test accuracy of a table; tied: its distance to the best is within the noise of these tracks (paired bootstrap, "
    f"{RESAMPLES} resamples, {LEVEL:.0%}), the noise of other seeds left aside. Each table has its own split and test "
    "tracks; between tables, and with the source document's unknown split, nothing is ranked."
)


def markdown(sections: Sequence[tuple[str, Sequence[Row]]], left_out: Sequence[str]) -> str:
    """All tables as Markdown."""
    lines = ["# Results", "", NOTE, ""]
    for heading, rows in sections:
        numbers = ["---:"] * (len(SHOWN) - 4)
        lines += [f"## {heading}", "", markdown_row(SHOWN), markdown_row(["---", "---", "---", *numbers, "---"])]
        lines += [*(markdown_row(row.cells()) for row in rows), ""]
    if left_out:
        lines += ["Left out:", "", *(f"- {reason}" for reason in left_out), ""]
    return "\n".join(lines)


def markdown_row(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def print_table(heading: str, rows: Sequence[Row]) -> None:
    """Show a section in the terminal, as far as its heading does not say it: narrow, the number of runs by the name."""
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in SHORT:
        text = name in ("model", "")
        table.add_column(name, justify="left" if text else "right", no_wrap=name != "model")
    for row in rows:
        model, _, _, *numbers = row.cells()
        runs = len(row.folders)
        narrow = (cell.replace(f" ({runs})", "").replace(" ± ", "±") for cell in numbers)
        table.add_row(f"{model} ({runs} runs)" if runs > 1 else model, *narrow)
    console.print(table)
