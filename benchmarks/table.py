"""Write the rows of outputs/benchmarks/results.csv into the table of docs/performance.md: python -m benchmarks.table"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import RESULTS, Row, read_results
from genre.errors import UserError
from genre.files import write_text

PAGE = Path("docs/performance.md")
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"  # python -m benchmarks.table writes between them
HEADER = (
    "benchmark", "work", "baseline", "baseline, s", "ours, s", "times as fast", "bound, s", "of the bound", "MB",
    "precision, threads",
)  # fmt: skip


def markdown_table(rows: Sequence[Row]) -> str:
    """The table of a page; seconds are medians, with the fastest and slowest repeat in parentheses."""
    lines = [HEADER, ["---"] * len(HEADER), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def cells(row: Row) -> list[str]:
    """The cells of a row; empty where nothing was measured."""
    bound = f"{short(row['bound_seconds'])}: {row['bound']}" if row["bound"] else ""
    share = f"{float(row['share_of_bound']):.0%}".replace("%", " %") if row["share_of_bound"] else ""
    ratio = f"{float(row['ratio']):.1f}" if row["ratio"] else ""
    return [
        f"`{row['benchmark']}`", row["work"], row["baseline"], spread(row, "baseline_"), spread(row, ""), ratio, bound,
        share, row["peak_mb"], ", ".join(filter(None, (row["precision"], row["threads"]))),
    ]  # fmt: skip


def spread(row: Row, whose: str) -> str:
    """Median (fastest to slowest) seconds of the baseline ('baseline_') or of this package ('')."""
    median, *ends = (short(row[f"{whose}{name}"]) for name in ("seconds", "fastest", "slowest"))
    return median if len(set(ends)) < 2 else f"{median} ({ends[0]} to {ends[1]})"


def short(seconds: str) -> str:
    """Seconds with three digits, and no power of ten; '' of ''."""
    if not seconds:
        return ""
    value = float(seconds)
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def replaced(page: str, table: str) -> str:
    """Return a page with a table between its markers.

    Raises:
        UserError: if the page has not one pair of them.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise UserError(f"the page needs one line {BEGIN} and below it one line {END}, between which the table goes")
    return f"{before}{begin}\n{table}\n{end}{after}"


def main(results: Path = RESULTS, page: Path = PAGE) -> None:
    """Replace the table of the page.

    Raises:
        UserError: if there are no results, or the page has no place for them.
    """
    rows = read_results(results)
    if not rows:
        raise UserError(f"{results} has no results; run python -m benchmarks first")
    write_text(page, replaced(page.read_text(encoding="utf-8"), markdown_table(rows)))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
