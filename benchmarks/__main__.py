"""Run all benchmarks, or the named ones: python -m benchmarks prepare cnn_epoch"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import cnn_epoch, large_catalogue, predict, prepare, sweep_cnn, sweep_heads, vgg16
from benchmarks.timing import Measurement
from genre.files import write_csv

BENCHMARKS = {
    "prepare": prepare.measure,
    "cnn_epoch": cnn_epoch.measure,
    "vgg16": vgg16.measure,
    "large_catalogue": large_catalogue.measure,
    "sweep_cnn": sweep_cnn.measure,
    "sweep_heads": sweep_heads.measure,
    "predict": predict.measure,
}
RESULTS = Path("outputs/benchmarks/results.csv")


def main(names: list[str]) -> None:
    """Measure, print a table and write outputs/benchmarks/results.csv."""
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.exit(f"error: there is no benchmark {unknown[0]}; choose from {', '.join(BENCHMARKS)}")
    measurements: list[Measurement] = []
    for name in names or BENCHMARKS:
        for measurement in BENCHMARKS[name]():
            measurements.append(measurement)
            print(f"{name}: {measurement.ratio:.1f} times as fast as {measurement.baseline}", flush=True)
    rows = [measurement.row() for measurement in measurements]
    header = list(rows[0])
    write_csv(RESULTS, header, (list(row.values()) for row in rows))
    table = Table(*header)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
    print(RESULTS)


if __name__ == "__main__":
    main(sys.argv[1:])
