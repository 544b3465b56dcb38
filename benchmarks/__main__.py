"""Run all benchmarks, or the named ones: python -m benchmarks prepare cnn_epoch

Each runs in a process of its own, so that neither memory nor threads nor a crash pass from one to the next. Its rows in
outputs/benchmarks/results.csv are replaced as they are measured; those of the others stay.
"""

import subprocess
import sys

from benchmarks.results import RESULTS

BENCHMARKS = (  # the modules of this folder, in the order of results.csv
    "start", "log_mel", "prepare", "cnn_epoch", "plain_pytorch", "vgg16", "sweep_cnn", "sweep_heads", "full_run",
    "evaluation", "leakage", "predict", "large_catalogue",
)  # fmt: skip


def main(names: list[str]) -> None:
    """Measure; exit code 1 if a benchmark fails, after the others."""
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.exit(f"error: there is no benchmark {unknown[0]}; choose from {', '.join(BENCHMARKS)}")
    chosen = [name for name in BENCHMARKS if name in names or not names]
    failed = [name for name in chosen if subprocess.run([sys.executable, "-m", "benchmarks.run", name]).returncode]
    print(RESULTS)
    if failed:
        sys.exit(f"error: failed, with the reason above: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
