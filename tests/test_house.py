"""The rules of the house that no linter knows."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "trm_scaling"

MOST_LINES = 400
# Reading such a file runs whatever is in it.
PICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
# Homes of a developer's or a CI machine: no file means the same there and elsewhere.
MACHINE_PATH = re.compile(rb"(?<![\w.~-])/(?:root|work|home/\w+|Users/\w+)/")
# `trm --help` answers before any of these could be imported.
HEAVY = ("jax", "matplotlib", "numba", "numpy", "optax", "orbax", "pandas", "pydantic")


def files_of_the_repository(suffix: str = "") -> list[Path]:
    """Files that git tracks, and new ones that it does not ignore."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode != 0:
        pytest.skip(f"not a git checkout: {listing.stderr.strip()}")
    files = (ROOT / name for name in set(listing.stdout.split("\0")) - {""} if name.endswith(suffix))
    return sorted(file for file in files if file.is_file())


def test_no_module_is_longer_than_the_cap() -> None:
    lengths = {
        file: len(file.read_text(encoding="utf-8").splitlines()) for file in files_of_the_repository(".py")
    }
    assert lengths, "no Python files found"
    long = [f"{file.relative_to(ROOT)}: {n} lines" for file, n in lengths.items() if n > MOST_LINES]
    assert not long, f"a file of one purpose has at most {MOST_LINES} lines:\n" + "\n".join(long)


def test_nothing_is_named_utils() -> None:
    found = [str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*") if path.stem in {"util", "utils"}]
    assert not found, f"{found}: name it after what it does"


def unsafe_reads(file: Path) -> Iterator[str]:
    """Imports of a pickler, and arguments that let numpy or torch unpickle."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                modules = [name.name for name in names]
            case ast.ImportFrom(module="pickle", names=[ast.alias(name="UnpicklingError")]):
                continue  # what torch.load raises; catching it unpickles nothing
            case ast.ImportFrom(module=str(module)):
                modules = [module]
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                modules = ["allow_pickle=True"]
            case ast.keyword(arg="weights_only", value=ast.Constant(value=False)):
                modules = ["weights_only=False"]
            case _:
                continue
        for module in modules:
            if "=" in module or module.split(".")[0] in PICKLERS:
                yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', '?')}: {module}"


def test_nothing_can_unpickle() -> None:
    found = [each for file in files_of_the_repository(".py") for each in unsafe_reads(file)]
    assert not found, "a file from elsewhere must not run code:\n" + "\n".join(found)


def test_no_file_holds_a_path_of_one_machine() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {hit.group().decode()}"
        for file in files_of_the_repository()
        for number, line in enumerate(file.read_bytes().splitlines(), start=1)
        for hit in MACHINE_PATH.finditer(line)
    ]
    assert not found, "write paths relative to the repository:\n" + "\n".join(found)


def config_models() -> list[type[BaseModel]]:
    """Every pydantic model that a module of `trm_scaling.config` defines."""
    config = importlib.import_module("trm_scaling.config")
    names = [each.name for each in pkgutil.walk_packages(config.__path__, "trm_scaling.config.")]
    models = {
        value
        for module in map(importlib.import_module, names)
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, BaseModel) and value.__module__.startswith("trm_scaling.config")
    }
    return sorted(models, key=lambda model: model.__qualname__)


def test_every_config_field_is_documented() -> None:
    fields = [(model, name, field) for model in config_models() for name, field in model.model_fields.items()]
    assert fields, "trm_scaling.config defines no fields"
    bare = [f"{model.__qualname__}.{name}" for model, name, field in fields if not field.description]
    assert not bare, "give each field a docstring with its meaning and unit:\n" + "\n".join(bare)


@pytest.mark.skipif(not (PACKAGE / "cli" / "__init__.py").exists(), reason="no command line yet")
def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['trm', '--help']\n"
        "from trm_scaling.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('imported:', [name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []", "trm --help must answer at once"
