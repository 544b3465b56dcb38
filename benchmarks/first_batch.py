"""A callback that notes when training begins: +callbacks.first._target_=benchmarks.first_batch.FirstBatch"""

import time
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer


class FirstBatch(Callback):
    """Writes the clock's time at the first training batch, in seconds since 1970.

    Args:
        path: of the text file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if not self.path.exists():
            self.path.write_text(str(time.time()))
