"""The rooms of the house: each imports only rooms below it, and no two files import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import tsrnet

ROOT = Path(tsrnet.__file__).parent
FLOORS = (
    ("core",),
    ("video", "losses", "localization", "metrics"),
    ("models", "reporting"),
    ("features",),
    ("datasets",),
    ("synthetic",),
    ("evaluation",),
    ("training",),
    ("pipeline",),
    ("inference",),
    ("commands",),
)
"""From the ground up; rooms of one floor do not import each other. `commands` are the package's own files."""
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports(path: Path) -> set[str]:
    """Modules of tsrnet that a file imports, at its top or inside functions: "core.cli"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tsrnet":
            module = (node.module or "").removeprefix("tsrnet").removeprefix(".")
            for alias in node.names:
                inner = f"{module}.{alias.name}" if module else alias.name
                found.add(inner if is_module(inner) else module)
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("tsrnet.") for a in node.names if a.name.startswith("tsrnet.")}
    return found - {""}


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    return module.split(".")[0] if "." in module or (ROOT / module).is_dir() else "commands"


GRAPH = {name_of(path): imports(path) for path in ROOT.rglob("*.py")}


def test_every_room_has_a_floor() -> None:
    assert {room_of(module) for module in GRAPH} == FLOOR.keys()


def test_imports_go_down_only() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if (room := room_of(module)) != (below := room_of(other)) and FLOOR[below] >= FLOOR[room]
    ]
    assert not wrong


def test_no_import_goes_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for other in GRAPH.get(module, ()):
                visit(other, (*path, module))
            done.add(module)

    for module in GRAPH:
        visit(module, ())
