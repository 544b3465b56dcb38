"""Run one benchmark in this process, and write its rows as they are measured: python -m benchmarks.run prepare"""

import sys
from importlib import import_module

from benchmarks.__main__ import BENCHMARKS
from benchmarks.results import RESULTS, replace_rows


def main(name: str) -> None:
    """Measure; the rows of an earlier run are replaced with the first new one."""
    rows = []
    for measurement in import_module(f"benchmarks.{name}").measure():
        rows.append(measurement.row(name))
        replace_rows(RESULTS, name, rows, BENCHMARKS)
        print(f"{name}: {measurement.summary()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
