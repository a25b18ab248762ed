"""The pages for engineers name what exists: files, tests, names in code, rooms and layers."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from support.page_examples import files_of
from support.paths import ROOT

ARCHITECTURE = ROOT / "docs/architecture.md"
PAGES = [
    ARCHITECTURE,
    ROOT / "docs/extending.md",
    ROOT / "ttsrl/sampler/README.md",
    ROOT / "ttsrl/scorers/whisper/README.md",
    ROOT / "ttsrl/serving/README.md",
    ROOT / "ttsrl/serving/README.md",
    ROOT / "services/reward/README.md",
]
LAYERS: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
][0]["layers"]
FOLDERS = "ttsrl|tests|docs|helm|jobs|images|monitoring|examples|benchmarks|services"
FILE = re.compile(rf"`((?:{FOLDERS})/[\w./-]+|\w+\.py)`")
LINK = re.compile(r"\]\(([^)#:]+)\)")
NAME = re.compile(r"`(ttsrl\.[\w.]+)`")
TEST = re.compile(r"`(test_\w+)`")


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def rooms_of(layer: str) -> list[str]:
    return layer.split(" | ")


def bound_in(module: ast.Module | ast.ClassDef) -> dict[str, ast.stmt]:
    """Name -> what binds it in a module or a class."""
    found: dict[str, ast.stmt] = {}
    for statement in module.body:
        match statement:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                found[name] = statement
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = statement
            case _:
                continue
    return found


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something that a module or a class binds."""
    path, parts = ROOT, name.split(".")
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    file = path / "__init__.py"
    if parts and (path / f"{parts[0]}.py").is_file():
        file = path / f"{parts.pop(0)}.py"
    scope: ast.stmt | ast.Module = ast.parse(file.read_text())
    for part in parts:
        if not isinstance(scope, ast.Module | ast.ClassDef) or part not in bound_in(scope):
            return False
        scope = bound_in(scope)[part]
    return True


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    added = {block.path for block in files_of(text)}
    named = {name for name in FILE.findall(text) if name not in added}
    linked = {link for link in LINK.findall(text) if "//" not in link}
    assert named | linked
    missing = [n for n in named if not (ROOT / n).exists() and not (page.parent / n).exists()]
    missing += [link for link in linked if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    sources = [file.read_text() for file in (ROOT / "tests").rglob("test_*.py")]
    defined = {name for source in sources for name in re.findall(r"def (test_\w+)", source)}
    assert set(TEST.findall(page.read_text())) - defined == set()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_name_in_code_that_a_page_gives_exists(page: Path) -> None:
    assert [name for name in NAME.findall(page.read_text()) if not exists(name)] == []


def test_a_name_that_is_not_there_is_found_out() -> None:
    assert exists("ttsrl.wire.Utterance.speech_tokens") and exists("ttsrl.reward.gates")
    assert not exists("ttsrl.wire.Utterances") and not exists("ttsrl.wire.Utterance.tokens")


def test_the_picture_and_the_table_have_the_layers_of_import_linter() -> None:
    text = ARCHITECTURE.read_text()
    assert re.findall(r'l\d+\["([^"]+)"\]', text) == LAYERS
    table = text.partition("| room | what is in it |")[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    rooms = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert rooms == [room for layer in LAYERS for room in rooms_of(layer)]


ROOMS = {room: n for n, layer in enumerate(LAYERS) for room in rooms_of(layer)}
"""Room -> its layer, 0 on top."""
FOLDERS_OF_ROOMS = [room for room in ROOMS if (ROOT / "ttsrl" / room).is_dir()]


@pytest.mark.parametrize("room", FOLDERS_OF_ROOMS)
def test_a_room_says_what_it_may_import_and_what_may_import_it(room: str) -> None:
    said = ast.get_docstring(ast.parse((ROOT / "ttsrl" / room / "__init__.py").read_text()))
    rules = re.search(
        r"May import ([^.]+)\. May be imported by ([^.]+)\.", " ".join(f"{said}".split())
    )
    assert rules, f"{room}/__init__.py needs: May import A and B. May be imported by C and D."
    below, above = (
        {word for word in re.findall(r"\w+", rule) if word in ROOMS} for rule in rules.groups()
    )
    layer = ROOMS[room]
    assert below == set(rooms_of(LAYERS[layer + 1]))
    assert above == (set(rooms_of(LAYERS[layer - 1])) if layer else set())
