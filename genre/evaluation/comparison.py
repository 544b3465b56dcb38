"""One table of many finished runs, with the differences that exceed the noise of the test tracks.

Runs are ranked among those with the same split, split seed, task and test tracks; several seeds of one configuration
are one row, and so are the folds of a cross-validation.
"""

import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from genre.errors import UserError
from genre.evaluation.arrays import Floats
from genre.evaluation.comparison_figure import accuracies
from genre.evaluation.cross_validation import merge_folds
from genre.evaluation.figures import save_figure
from genre.evaluation.finished_runs import PRECISION, Run, find_runs, group_by
from genre.evaluation.intervals import LEVEL, RESAMPLES, accuracy_interval, bootstrap_interval
from genre.evaluation.table_row import Difference, TableRow
from genre.files import write_csv, write_text
from genre.terminal import counted, plain_console

log = logging.getLogger(__name__)

MEASURED = {
    "train accuracy": "train/accuracy", "val accuracy": "val/accuracy", "test accuracy": "test/accuracy",
    "macro precision": "test/macro_precision", "macro recall": "test/macro_recall", "macro F1": "test/macro_f1",
    "seconds": "seconds",
}  # fmt: skip
TABLE_COLUMNS = ("model", "task", "split", *list(MEASURED)[:3], "95 % interval", *list(MEASURED)[3:], "")
TEXT_COLUMNS = ("model", "task", "split", "")
TERMINAL_COLUMNS = {
    "model": "model", "train accuracy": "train", "val accuracy": "val", "test accuracy": "test",
    "95 % interval": "95 % interval", "macro precision": "precision", "macro recall": "recall", "macro F1": "F1",
    "seconds": "seconds", "": "",
}  # fmt: skip
PAPER_SPLIT = "its own"
TABLE_WIDTH = 120  # characters, if the output is not a terminal
NAMED_REASONS = 3  # at most, in an error message


class PaperResult(NamedTuple):
    """Accuracies that the paper reports, from 0 to 1; None where it reports none."""

    model: str
    task: str
    train: float | None
    val: float | None
    test: float


PAPER_RESULTS = [
    PaperResult("paper: base model", "multiclass", 0.8954, 0.68, 0.585),
    PaperResult("paper: tuned model", "multiclass", 0.974, 0.70, 0.62),
    PaperResult("paper: VGG16", "multiclass", 0.7096, 0.62, 0.665),
    PaperResult("paper: several genres, VGG16", "multilabel", None, None, 0.40),  # on its own 50 songs
]


def compare(pattern: str, folder: Path, reference: str | None = None) -> list[dict[str, Any]]:
    """Write results.md, results.csv and a figure per table of all finished runs that match a pattern; print the tables.

    Args:
        reference: name of the row from which differences are measured, in the tables that have it; None: the best row.

    Raises:
        UserError: if there is no such run or row.
    """
    found, skipped = find_runs(pattern)
    runs, incomplete = merge_folds(found)
    skipped += incomplete
    if not runs:
        reasons = f" ({'; '.join(skipped[:NAMED_REASONS])})" if skipped else ""
        raise UserError(
            f"runs={pattern} matches no finished run{reasons}; name folders that train.py printed, * for any name"
        )
    sections = {
        heading(group): table_rows(group, reference) for group in group_by(runs, lambda run: run.section).values()
    }
    check_reference(reference, [row.model for rows in sections.values() for row in rows if row.runs])
    write_text(folder / "results.md", markdown(sections, skipped))
    records = [{"section": title, **row.record()} for title, rows in sections.items() for row in rows]
    write_csv(folder / "results.csv", list(records[0]), (list(record.values()) for record in records))
    for number, (title, rows) in enumerate(sections.items(), start=1):
        print_table(title, rows)
        if (figure := accuracies(rows, title)) is not None:
            save_figure(figure, folder / "figures" / f"accuracies_{number}.png")
    for reason in skipped:
        log.warning("skipped: %s", reason)
    return records


def check_reference(reference: str | None, names: Sequence[str]) -> None:
    """Raise UserError if no row has the name of the reference."""
    if reference is not None and reference not in names:
        raise UserError(f"reference={reference} is the name of no row; choose from {', '.join(dict.fromkeys(names))}")


def heading(runs: Sequence[Run]) -> str:
    """Return the title of a section."""
    section = runs[0].section
    tracks = f"{counted(len(runs[0].tested), 'test track')} ({section.tested})" if section.tested else "no test tracks"
    held_out = f", held out: {section.held_out}" if section.held_out else ""
    folds = f", {section.folds} folds" if section.folds else ""
    return f"{section.task}, split {section.split} (seed {section.seed}{folds}){held_out}, {tracks}"


def table_rows(runs: Sequence[Run], reference: str | None = None) -> list[TableRow]:
    """Return the rows of one section, best first, tied rows marked; the paper's rows follow."""
    groups = list(group_by(runs, lambda run: json.dumps(run.settings, sort_keys=True)).values())
    names = row_names([group[0] for group in groups])
    tracks = sorted(runs[0].tested)
    correct = [np.array([[run.correct[track] for track in tracks] for run in group], float).mean(0) for group in groups]
    rows = [table_row(*parts) for parts in zip(names, groups, correct, strict=True)]
    if tracks and len(rows) > 1:
        order = sorted(range(len(rows)), key=lambda index: -correct[index].mean())
        compare_rows(rows, correct, order[0], track_groups(runs[0]), reference)
        rows = [rows[index] for index in order]
    return rows + paper_rows(rows[0].task)


def compare_rows(
    rows: Sequence[TableRow], correct: Sequence[Floats], best: int, groups: Sequence[str], reference: str | None
) -> None:
    """Mark the best row and those tied with it, and set the differences from the reference."""
    base = next((index for index, row in enumerate(rows) if row.model == reference), best)
    for index, row in enumerate(rows):
        row.mark = "best" if index == best else "tied" if is_tied(correct[best], correct[index], groups) else ""
        if index != base:
            difference = correct[index] - correct[base]
            row.difference = Difference(float(difference.mean()), *bootstrap_interval(difference, groups))


def table_row(name: str, group: Sequence[Run], correct: Floats) -> TableRow:
    """Return a configuration's row; ``correct`` (tracks,) is the share of its seeds that are right about each track."""
    section = group[0].section
    values = {column: [run.metrics[key] for run in group if key in run.metrics] for column, key in MEASURED.items()}
    folds = f", {section.folds} folds" if section.folds else ""
    split = f"{section.split} ({section.seed}{folds}){', held out' if section.held_out else ''}"
    folders = tuple(str(folder) for run in group for folder in run.folders)
    interval = accuracy_interval(correct, track_groups(group[0]))
    network = network_name(group[0].settings)
    return TableRow(name, section.task, split, values, interval, runs=len(group), folders=folders, network=network)


def network_name(settings: Mapping[str, Any]) -> str:
    """Return the published name of a run's network (of a path, the last part), or its class."""
    published = settings.get("model.name")
    if published:
        return Path(published).name if Path(published).is_absolute() else str(published)
    return str(settings.get("model._target_", "")).rpartition(".")[2]


def track_groups(run: Run) -> list[str]:
    """Return the group of each test track, in the order of the tracks' names."""
    return [run.groups[track] for track in sorted(run.tested)]


def paper_rows(task: str) -> list[TableRow]:
    """Return the paper's results; its split is unknown, so they are never ranked."""
    rows = []
    for result in (result for result in PAPER_RESULTS if result.task == task):
        accuracies = {"train accuracy": result.train, "val accuracy": result.val, "test accuracy": result.test}
        values = {column: [] if (value := accuracies.get(column)) is None else [value] for column in MEASURED}
        rows.append(TableRow(result.model, task, PAPER_SPLIT, values))
    return rows


def row_names(runs: Sequence[Run]) -> list[str]:
    """Return the name of each configuration, in brackets the settings that differ among those of one name.

    The precision is among them if it differs between any two.
    """
    names = []
    precisions = {run.settings.get(PRECISION) for run in runs}
    for run in runs:
        namesakes = [other.settings for other in runs if other.name == run.name]
        keys = sorted({key for other in namesakes for key in other})
        differing = [
            key
            for key in keys
            if any(other.get(key) != run.settings.get(key) for other in namesakes)
            or (key == PRECISION and len(precisions) > 1)
        ]
        settings = ", ".join(f"{key}={run.settings.get(key)}" for key in differing)
        names.append(f"{run.name} ({settings})" if settings else run.name)
    return names


def is_tied(best: Floats, other: Floats, groups: Sequence[str] | None = None) -> bool:
    """Return whether 0 lies in the 95 % interval of the difference of two accuracies on the same tracks, (tracks,)."""
    return bootstrap_interval(best - other, groups)[0] <= 0


NOTE = (
    "Accuracies, precision, recall, F1, intervals in per cent; mean ± standard deviation (runs) over seeds. Best: the "
    "highest test accuracy of a table; tied: its distance to the best is within the noise of these tracks (paired "
    f"bootstrap, {RESAMPLES} resamples, {LEVEL:.0%}), which does not include the noise of other seeds. Tracks that a "
    "split keeps together (of one artist, of one recording) are resampled together. Folds: every track is tested once; "
    "macro figures are means over the folds, seconds a sum. Each table has "
    "its own split and test tracks; between tables, and with the paper by Mijares and Manua, whose split is unknown, "
    "nothing is ranked."
)


def networks_by_section(sections: Mapping[str, Sequence[TableRow]]) -> list[list[str]]:
    """Return test accuracies with intervals, a row per network and a column per section; none for a single section.

    Of several configurations of a network, the one that is best in a section counts there; a network that was not
    trained for a section has '–'. Marks are those of the section: 'best', 'tied'.
    """
    ours = {title: [row for row in rows if row.network and row.interval] for title, rows in sections.items()}
    titles = [title for title, rows in ours.items() if rows]
    networks = list(dict.fromkeys(row.network for title in titles for row in ours[title]))
    if len(titles) < 2 or len(networks) < 2:
        return []
    cells = [[network_cell(ours[title], network) for title in titles] for network in networks]
    return [["network", *titles], *([name, *row] for name, row in zip(networks, cells, strict=True))]


def network_cell(rows: Sequence[TableRow], network: str) -> str:
    """Return the accuracy of a network's best configuration with its interval and mark: '65.0 (58.2 to 71.5) best'."""
    own = [row for row in rows if row.network == network]
    if not own:
        return "–"
    cells = max(own, key=lambda row: float(np.mean(row.values["test accuracy"]))).cells()
    return f"{cells['test accuracy']} ({cells['95 % interval']}) {cells['']}".strip()


def markdown(sections: Mapping[str, Sequence[TableRow]], skipped: Sequence[str]) -> str:
    """Return all tables as Markdown, before them that of the networks."""
    lines = ["# Results", "", NOTE, ""]
    if networks := networks_by_section(sections):
        rules = ["---", *["---:"] * (len(networks[0]) - 1)]
        lines += ["## Networks", "", "Test accuracy (95 % interval) of each network's best configuration.", ""]
        lines += [*(markdown_row(row) for row in (networks[0], rules, *networks[1:])), ""]
    for title, rows in sections.items():
        rules = ["---" if column in TEXT_COLUMNS else "---:" for column in TABLE_COLUMNS]
        lines += [f"## {title}", "", markdown_row(TABLE_COLUMNS), markdown_row(rules)]
        for row in rows:
            cells = row.cells()
            lines.append(markdown_row(cells[column] for column in TABLE_COLUMNS))
        lines.append("")
    if skipped:
        lines += ["Skipped:", "", *(f"- {reason}" for reason in skipped), ""]
    return "\n".join(lines)


def markdown_row(cells: Iterable[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def print_table(title: str, rows: Sequence[TableRow]) -> None:
    """Print a section without the columns that its title repeats; the number of runs follows the name."""
    console = plain_console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column, short in TERMINAL_COLUMNS.items():
        justify: Any = "left" if column in TEXT_COLUMNS else "right"
        table.add_column(short, justify=justify, no_wrap=column != "model")
    for row in rows:
        cells, runs = row.cells(), row.runs
        narrow = {name: cell.replace(f" ({runs})", "").replace(" ± ", "±") for name, cell in cells.items()}
        narrow["model"] = f"{row.model} ({runs} runs)" if runs > 1 else row.model
        table.add_row(*(narrow[column] for column in TERMINAL_COLUMNS))
    console.print(table)
