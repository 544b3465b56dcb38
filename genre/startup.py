"""Keeps torchmetrics from importing transformers, where that is installed: it would take a second at every start.

torchmetrics does so for its scores of texts, which nothing here computes, and Lightning imports torchmetrics.
"""

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
    """Have torchmetrics found in this way from now on; a second call does nothing."""
    if not any(isinstance(finder, OptionsFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, OptionsFinder())
