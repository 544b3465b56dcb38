"""What has to be set before PyTorch and torchmetrics are imported, for speed.

torchmetrics imports transformers, where that is installed, for its scores of texts, which nothing here computes, and
Lightning imports torchmetrics: every start would take a second longer. PyTorch asks Linux for pages of 4 KB unless told
otherwise: a batch of the paper's network touches 20,000 new ones and takes a sixth longer than with pages of 2 MB.
"""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

OPTIONS = "torchmetrics.utilities.imports"  # what torchmetrics may use, as flags
UNUSED = ("_TRANSFORMERS_GREATER_EQUAL_4_4", "_TRANSFORMERS_GREATER_EQUAL_4_10")


class WithoutTransformers(SourceFileLoader):
    """Loads ``OPTIONS`` as if transformers were not installed."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        vars(module).update(dict.fromkeys(UNUSED, False))


class OptionsFinder(MetaPathFinder):
    """Finds ``OPTIONS`` alone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if fullname == OPTIONS else None
        if spec and spec.origin:
            spec.loader = WithoutTransformers(fullname, spec.origin)
        return spec


def install() -> None:
    """Have torchmetrics found without transformers and large tensors in large pages; a second call does nothing."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by PyTorch when it allocates for the first time
    if not any(isinstance(finder, OptionsFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, OptionsFinder())
