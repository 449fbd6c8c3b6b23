"""Each room (package of `trm_scaling`) imports only what the table of docs/architecture.md lists."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "trm_scaling"

TABLE = PACKAGE.parent / "docs" / "architecture.md"
_ROW = re.compile(r"^\| `(?P<room>\w+)`(?P<star>\*?) \|[^|]*\| (?P<imports>[^|]+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One row of the table: `config, io; train inside functions` splits at the semicolon."""

    without_jax: bool
    imports: frozenset[str]
    deferred: frozenset[str]
    """Imported inside functions (or for types) alone, so that the command line answers at once."""


def read_table() -> dict[str, Row]:
    rows = {row["room"]: row for row in _ROW.finditer(TABLE.read_text(encoding="utf-8"))}
    table = {}
    for room, row in rows.items():
        at_load, deferred = set[str](), set[str]()
        for part in row["imports"].split(";"):
            target = deferred if part.endswith("inside functions") else at_load
            names = part.removesuffix("inside functions").replace(",", " ").split()
            target |= set(rows) - {room} if names == ["everything"] else set(names) - {"-"}
        assert at_load | deferred <= set(rows), f"row {room} of {TABLE.name} names an unknown room"
        table[room] = Row(row["star"] == "*", frozenset(at_load | deferred), frozenset(deferred - at_load))
    return table


ROOMS = read_table()
ONLY_IMPORTER = {"matplotlib": "plots"}

FOR_EVERYONE = {"", "errors"}  # the package itself (its version) and its one exception
TOP_LEVEL_FILES = {"__init__.py", "__main__.py", "errors.py", "py.typed"}


@dataclass(frozen=True)
class Import:
    """One imported module, e.g. `trm_scaling.io.atomic`, and where it stands."""

    module: str
    line: int
    deferred: bool
    """Inside a function or `if TYPE_CHECKING`: importing the file does not run it."""


def imports_of(file: Path) -> Iterator[Import]:
    """Every import in `file`, with `from . import` and `import_module("...")` made absolute."""
    package = ("trm_scaling", *file.relative_to(PACKAGE).parent.parts)

    def visit(node: ast.AST, deferred: bool) -> Iterator[Import]:
        match node:
            case ast.Import(names=names):
                yield from (Import(name.name, node.lineno, deferred) for name in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = list(package[: len(package) - level + 1]) if level else []
                base += module.split(".") if module else []
                # `from trm_scaling import io` names a room; the deeper parts do not matter.
                yield from (Import(".".join([*base, name.name]), node.lineno, deferred) for name in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield Import(module, node.lineno, deferred)
        functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, deferred or typing_only or isinstance(node, functions))

    yield from visit(ast.parse(file.read_text(encoding="utf-8")), deferred=False)


def violations(room: str) -> Iterator[str]:
    """One line for each import of `room` that the table forbids."""
    for file in sorted((PACKAGE / room).rglob("*.py")):
        for found in imports_of(file):
            where = f"{file.relative_to(PACKAGE.parent)}:{found.line}: imports {found.module}"
            top, _, rest = found.module.partition(".")
            if ONLY_IMPORTER.get(top, room) != room:
                yield f"{where}, which only {ONLY_IMPORTER[top]} may"
            target = rest.split(".")[0]
            if top != "trm_scaling" or target in FOR_EVERYONE | {room, "__version__"}:
                continue
            row = ROOMS[room]
            if target not in row.imports:
                yield f"{where}, but {room} may import only {sorted(row.imports) or 'errors'}"
            elif target in row.deferred and not found.deferred:
                yield f"{where} when it is loaded, but {room} may import {target} only inside functions"


def existing_rooms() -> list[str]:
    return sorted(folder.name for folder in PACKAGE.iterdir() if any(folder.glob("**/*.py")))


def test_the_table_lists_the_rooms_there_are() -> None:
    assert set(ROOMS) <= set(existing_rooms()), "docs/architecture.md is as built: no row without a room"
    unknown = set(existing_rooms()) - set(ROOMS)
    assert not unknown, f"{sorted(unknown)}: give the room a row in docs/architecture.md"


def test_nothing_but_errors_lies_beside_the_rooms() -> None:
    strays = {entry.name for entry in PACKAGE.iterdir() if entry.is_file()} - TOP_LEVEL_FILES
    assert not strays, f"trm_scaling/{sorted(strays)}: move each into the room that it belongs to"


def test_the_package_itself_loads_no_room() -> None:
    found = [
        f"trm_scaling/{name}:{each.line}: {each.module}"
        for name in ("__init__.py", "errors.py")
        for each in imports_of(PACKAGE / name)
        if not each.deferred and each.module.partition(".")[0] not in sys.stdlib_module_names
    ]
    assert not found, "every room loads these two files, so they load no room:\n" + "\n".join(found)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_room_imports_only_what_its_row_lists(room: str) -> None:
    found = list(violations(room))
    assert not found, "\n" + "\n".join(found)


def test_no_two_rooms_import_each_other() -> None:
    """Not even inside functions, but for the configuration, which asks the tasks for their descriptions."""
    found = {
        (room, each.module.removeprefix("trm_scaling.").split(".")[0])
        for room in ROOMS
        for file in (PACKAGE / room).rglob("*.py")
        for each in imports_of(file)
        if each.module.startswith("trm_scaling.")
    }
    assert {(a, b) for a, b in found if a < b and (b, a) in found} == {("config", "tasks")}


@pytest.mark.parametrize("room", [room for room, row in ROOMS.items() if row.without_jax])
def test_room_loads_without_jax(room: str) -> None:
    modules = [
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted((PACKAGE / room).rglob("*.py"))
        if file.name != "__main__.py"
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "    if 'jax' in sys.modules: sys.exit(f'importing {name} imports jax')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr


def passed_through(start: str) -> dict[str, str]:
    """Files of `run`, `train` and `cost` that `start` comes to through imports, at any time -> its importer.

    Types alone, which never run, are not followed.
    """
    found, todo = {start: ""}, [start]
    while todo:
        file = PACKAGE / todo.pop()
        source = ast.parse(file.read_text(encoding="utf-8"))
        typing_only = {
            line
            for node in ast.walk(source)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        for each in imports_of(file):
            if each.line in typing_only:
                continue
            parts = each.module.removeprefix("trm_scaling.").split(".")
            for path in ("/".join(parts) + ".py", "/".join(parts[:-1]) + ".py"):
                if parts[0] in ("run", "train", "cost") and (PACKAGE / path).is_file() and path not in found:
                    found[path] = str(file.relative_to(PACKAGE))
                    todo.append(path)
    return found


def test_a_single_run_passes_through_no_file_of_the_planner() -> None:
    found = passed_through("run/single.py")
    assert {"train/loop.py", "cost/batch_fitting.py"} <= set(found), "the walk finds the training loop"
    planner = {path: by for path, by in found.items() if path in ("cost/plan.py", "cost/plan_report.py")}
    assert planner == {}
