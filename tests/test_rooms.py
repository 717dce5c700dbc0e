"""The order of the rooms: each imports only what lies below it, also inside functions and for types, and there are no circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the bottom up; what stands side by side does not import each other. A file beside the rooms is a room of its own.
FLOORS = {
    "stclip": ("errors", "batch extras processors", "files", "config terminal", "losses retrieval", "model", "data",
               "training", "evaluation", "train"),
    "stclip.data": ("shards", "store", "batches builtin raw", "splitting", "commands", "__main__"),
    "sweeps": ("seeds text", "results", "search", "planning", "analysis cluster", "reporting trial", "driver",
               "report submit run", "job"),
}  # fmt: skip
FLOOR = {
    f"{top}.{room}": n
    for top, floors in FLOORS.items()
    for n, rooms in enumerate(floors)
    for room in rooms.split()
}
FILES = [path for top in ("stclip", "sweeps") for path in (ROOT / top).rglob("*.py")]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES
}
NOT_FOR_STCLIP = {"sweeps", "ray", "optuna"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            modules = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            yield from modules or {str(node.module)}


def room(module: str, top: str) -> str:
    """Its room in this package; "" where it is in none."""
    inside = module.startswith(f"{top}.")
    return f"{top}.{module.removeprefix(f'{top}.').partition('.')[0]}" if inside else ""


def points_up(module: str, path: Path) -> list[str]:
    """What a file imports that lies neither below its room nor in it."""
    found = []
    for name in imports(path):
        if module.startswith("stclip") and name.partition(".")[0] in NOT_FOR_STCLIP:
            found.append(name)
        for top in FLOORS:
            own, its = room(module, top), room(name, top)
            if own and its and own != its and FLOOR[its] >= FLOOR[own]:
                found.append(name)
    return found


def test_every_file_has_a_room_and_every_room_says_what_it_is():
    assert {room(module, top) for module in MODULES for top in FLOORS} - {""} == set(FLOOR)
    for folder in {path.parent for path in FILES}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_room_imports_only_rooms_below_it(module):
    assert points_up(module, MODULES[module]) == []


def test_no_file_imports_itself_by_way_of_others():
    TopologicalSorter(
        {module: set(imports(path)) & set(MODULES) - {module} for module, path in MODULES.items()}
    ).prepare()


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("sweeps.trial.storage", "from sweeps.driver.tune import run_tuner"),
        ("sweeps.trial.storage", "def f():\n    import sweeps.reporting.blocks"),
        ("sweeps.analysis.stats", "from sweeps.cluster import resources"),
        ("sweeps.results.mirror", "if TYPE_CHECKING:\n    from sweeps.planning.plan import SweepPlan"),
        ("sweeps.results.mirror", "from sweeps import job"),
        ("stclip.config.load", "from stclip.data.store import SpotStore"),
        ("stclip.train", "import sweeps.text"),
        ("stclip.data.store", "def f():\n    from optuna.trial import Trial"),
    ],
)
def test_what_points_up_is_found(module, code, tmp_path):
    (tmp_path / "file.py").write_text(code)
    assert len(points_up(module, tmp_path / "file.py")) == 1
