"""The file of results, a row per measurement."""

from collections.abc import Sequence
from pathlib import Path

from genre.files import read_csv_records, write_csv

RESULTS = Path("outputs/benchmarks/results.csv")
COLUMNS = (
    "benchmark", "work", "baseline", "baseline_seconds", "baseline_fastest", "baseline_slowest", "seconds", "fastest",
    "slowest", "repeats", "ratio", "bound_seconds", "bound", "share_of_bound", "peak_mb", "precision", "threads",
)  # fmt: skip
Row = dict[str, str]


def read_results(path: Path) -> list[Row]:
    """Return the rows; none without a file, or of one with other columns, as earlier versions wrote."""
    rows = read_csv_records(path)
    return [row for row in rows if tuple(row) == COLUMNS]


def replace_rows(path: Path, benchmark: str, rows: Sequence[Row], order: Sequence[str]) -> None:
    """Replace a benchmark's rows, and keep those of the others.

    Args:
        order: of the benchmarks in the file; rows of benchmarks that no longer exist are dropped.
    """
    others = [row for row in read_results(path) if row["benchmark"] in order and row["benchmark"] != benchmark]
    every = sorted([*others, *rows], key=lambda row: order.index(row["benchmark"]))
    write_csv(path, COLUMNS, [list(row.values()) for row in every])
