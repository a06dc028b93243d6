"""Imports point down: no file imports a higher room, and there is no circle."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

PACKAGE = REPOSITORY / "pinas_mm"
# From the ground floor up; what stands in one line may not import each other.
FLOORS = (
    ("errors",),
    ("stack", "whole_numbers"),
    (
        "ending",
        "files",
        "handing",
        "long_work",
        "machine",
        "registry",
        "run_state",
        "to_device",
        "model_index",
    ),
    ("compat",),
    ("operations",),
    ("skeletons",),
    ("space",),
    ("models",),
    ("weights", "data"),
    ("algorithms",),
    ("analysis",),
    ("search",),
    ("convert", "export"),
    ("engine",),
    ("commands",),
    ("demo",),
)
# The same inside of search.
SEARCH = (
    ("budget",),
    ("evaluation",),
    ("record",),
    ("samplers",),
    ("report",),
    ("settings",),
    ("worker", "workers"),
    ("search",),
    ("display",),
    ("interactive",),
)
FILES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if ".mim" not in path.parts
}


def imported(path: Path) -> set[str]:
    """The package's files that a file imports, also inside of functions, but not for types only."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in inner}
    return found & FILES.keys()


def floor(name: str, floors: tuple[tuple[str, ...], ...]) -> int:
    return next(number for number, rooms in enumerate(floors) if name in rooms)


ARROWS = [(name, target) for name, path in FILES.items() for target in imported(path)]


def rooms(prefix: str) -> list[tuple[str, str]]:
    """Arrows between two rooms under a prefix, by the rooms' names."""
    inside = [(a.removeprefix(prefix), b.removeprefix(prefix)) for a, b in ARROWS]
    pairs = [
        (a.partition(".")[0], b.partition(".")[0])
        for (a, b), (whole, target) in zip(inside, ARROWS, strict=True)
        if whole.startswith(prefix) and target.startswith(prefix)
    ]
    return [(a, b) for a, b in pairs if a != b]


def test_every_room_has_a_floor_and_one_sentence():
    named = {room for rooms in FLOORS for room in rooms}
    assert named == {name.split(".")[1] for name in FILES if "." in name}
    for name, path in FILES.items():
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        assert docstring, name
        if path.name == "__init__.py" and "." in name:
            assert len(re.findall(r"[.?!](?:\s|$)", docstring)) == 1, name


@pytest.mark.parametrize(
    ("prefix", "floors"), [("pinas_mm.", FLOORS), ("pinas_mm.search.", SEARCH)]
)
def test_arrows_point_down(prefix, floors):
    up = {(a, b) for a, b in rooms(prefix) if floor(a, floors) <= floor(b, floors)}
    assert not up
    assert len(rooms(prefix)) > 20


def test_there_is_no_circle():
    graph = {name: {b for a, b in ARROWS if a == name} for name in FILES}
    # Raises CycleError, which names one.
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(FILES)


def test_engine_uses_search_and_not_the_reverse():
    assert ("engine", "search") in rooms("pinas_mm.")
    assert ("search", "engine") not in rooms("pinas_mm.")


LOADED = "import sys; {}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"


def loaded(statement: str) -> set[str]:
    """The top-level modules that a statement loads in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(statement)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    return set(done.stdout.split())


LIBRARIES = {"mmdet", "mmseg", "mmpretrain", "sklearn", "matplotlib"}


@pytest.mark.parametrize(
    "statement",
    [
        "import pinas_mm",
        "import pinas_mm.space",
        "import pinas_mm; pinas_mm.SearchSpace().arch('pinas_cls')",
    ],
)
def test_spaces_load_no_torch(statement):
    assert not loaded(statement) & {"torch", "mmengine", "mmcv", *LIBRARIES}


@pytest.mark.parametrize(
    "statement",
    [
        "import pinas_mm.registry",
        "from mmengine.registry import MODELS; import torch; torch.set_default_device('meta'); "
        "MODELS.build(dict(type='pinas_mm.PiNASBackbone', arch='pinas_cls'))",
        "from mmengine.registry import MODELS; import torch; torch.set_default_device('meta'); "
        "MODELS.build(dict(type='pinas_mm.PiNASSupernet'))",
    ],
)
def test_a_networks_lookup_loads_no_library_that_it_is_not_of(statement):
    assert not loaded(statement) & LIBRARIES


def test_a_library_that_is_asked_for_is_loaded():
    statement = (
        "from mmengine.registry import MODELS; "
        "MODELS.build(dict(type='pinas_mm.DeepLabV3ReleaseHead', num_classes=3))"
    )
    assert "mmseg" in loaded(statement)
