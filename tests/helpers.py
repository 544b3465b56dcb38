"""Functions that several test files import."""

import csv
from pathlib import Path


def csv_rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV file by the names of its columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def csv_rows_by_key(path: Path, key: str = "track") -> dict[str, dict[str, str]]:
    """The rows of a CSV file by the values of one of its columns."""
    return {row[key]: row for row in csv_rows(path)}
