"""Imports run one way, every public name is defined once, and what is imported is declared as a dependency."""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import genre

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "genre").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Lowest first. A module imports its own room and those of the lines above, not another room of its own line.
LEVELS = [
    ["redaction", "signals", "startup", "terminal"],
    ["errors", "progress"],
    ["files", "arguments", "extras"],
    ["paths"],
    ["ranges", "resolvers"],
    ["tasks"],
    ["transforms", "pretrained", "tagging"],
    ["data"],
    ["models"],
    ["config"],
    ["evaluation"],
    ["training", "prediction", "exploration"],
    ["sweeping", "curves"],
    ["cli"],
    ["__init__"],
    ["cache", "demo", "exporting"],
    ["commands"],
    ["__main__", "export"],
]
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
PLUGINS = {"hydra-joblib-launcher", "tensorboard"}  # imported by Hydra and by torch.utils.tensorboard


def declared(requirements: list[str]) -> set[str]:
    """The names of requirements: 'torch>=2.11' -> 'torch'."""
    return {re.split(r"[<>=! \[]", line)[0] for line in requirements}


EXTRAS = PROJECT["project"]["optional-dependencies"]
USED = ("demo", "datasets", "export", "hub", "large")  # extras that are imported where they are used
OPTIONAL = declared([line for extra in USED for line in EXTRAS[extra]])


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(module: str) -> str:
    """'genre.data.store' -> 'data'; 'genre' -> '__init__'."""
    return [*module.split("."), "__init__"][1]


def imported_modules(path: Path) -> Iterator[str]:
    """All modules that a file imports, inside functions too; ``from genre import config`` yields 'genre.config'."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno} imports relatively"
            names = [node.module] if node.module != "genre" else [f"genre.{alias.name}" for alias in node.names]
            yield from names
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "import_extra":
            assert isinstance(node.args[0], ast.Constant)
            yield str(node.args[0].value)


def is_assigned(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def public_names(path: Path) -> Iterator[str]:
    """Functions, classes and constants that a file defines at module level; ``log`` is every module's own."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [name.id for target in targets for name in ast.walk(target) if is_assigned(name)]
        else:
            continue
        yield from (name for name in names if not name.startswith("_") and name != "log")


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_imports_only_its_own_room_and_lower_ones(path):
    room = "__main__" if path.stem == "__main__" else room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    imported = {room_of(module) for module in imported_modules(path) if module.split(".")[0] == "genre"}
    assert not {other for other in imported - {room} if LEVEL_OF[other] >= LEVEL_OF[room]}


def test_only_transforms_imports_torchaudio_its_published_networks_aside():
    importing = {path for path in MODULES if any(name.split(".")[0] == "torchaudio" for name in imported_modules(path))}
    assert {path.parent.name for path in importing if path.stem != "torchaudio_bundles"} == {"transforms"}


def test_only_tagging_imports_mutagen():
    importing = {path for path in MODULES if any(name.split(".")[0] == "mutagen" for name in imported_modules(path))}
    assert {path.parent.name for path in importing} == {"tagging"}


def test_only_the_reader_of_the_hub_imports_datasets():
    importing = [path for path in MODULES if any(name.split(".")[0] == "datasets" for name in imported_modules(path))]
    assert [path.name for path in importing] == ["hub.py"]


def test_only_one_module_makes_a_console_of_rich():
    """One that takes a genre named '[/b]' for markup ends in a traceback."""
    importing = [path for path in MODULES if "rich.console" in imported_modules(path)]
    assert [path.name for path in importing] == ["terminal.py"]


def repeated_names() -> dict[str, list[str]]:
    """Public names that several modules define, with these modules."""
    homes = defaultdict(set)
    for path in MODULES:
        for name in public_names(path):
            homes[name].add(relative(path))
    return {name: sorted(paths) for name, paths in homes.items() if len(paths) > 1}


def test_a_public_name_is_defined_in_one_module():
    assert repeated_names() == {}


def test_the_dependencies_are_what_is_imported():
    modules = {name.split(".")[0] for path in MODULES + SCRIPTS for name in imported_modules(path)}
    distributions = packages_distributions()  # {"yaml": ["PyYAML"], …}
    foreign = modules - sys.stdlib_module_names - {"genre"}
    imported = {name.lower() for module in foreign for name in distributions[module]}
    assert declared(PROJECT["project"]["dependencies"]) == (imported - OPTIONAL) | PLUGINS
    assert imported >= OPTIONAL


def test_every_folder_of_modules_travels_in_the_wheel():
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in MODULES}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"genre.conf"}


def test_every_script_and_every_module_that_is_run_has_an_installed_command():
    names = {path.stem for path in SCRIPTS} | {"cache", "demo", "export"}
    assert set(PROJECT["project"]["scripts"]) == {f"genre-{name}" for name in names}


def test_everything_that_the_package_exports_has_its_type_for_a_caller():
    tree = ast.parse((ROOT / "genre" / "__init__.py").read_text())
    typed = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imported = {
        alias.name: node.module for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == {name: f"genre.{module}" for name, module in genre._HOMES.items()}
    assert set(genre.__all__) == set(imported)
