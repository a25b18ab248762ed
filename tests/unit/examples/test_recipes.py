"""The published recipes: files that are runs, a page that tells each difference, a chart that takes
them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.helm_chart import render
from support.paths import ROOT
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.guards.armed import armed
from ttsrl.guards.planned import planned_evaluations

RECIPES = sorted((ROOT / "examples/recipes").glob("*.json"))
PAGE = (ROOT / "docs/recipes.md").read_text()


def rows_of(name: str) -> dict[str, tuple[str, str, str]]:
    """Field -> (published, here, why) of a recipe's table."""
    section = PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:2] == "| "]
    cells = [[cell.strip(" |") for cell in (*row, "")][:4] for row in rows[1:]]
    return {field: (published, here, why) for field, published, here, why in cells}


def value_at(value: Any, field: str) -> Any:
    for part in re.findall(r"[^.\[\]]+", field):
        value = value[int(part) if part.isdigit() else part]
    return value


def fields_of(value: Any, path: str) -> Iterator[str]:
    """Every field that is set below `path`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields_of(inner, f"{path}.{key}")
    else:
        yield path


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.stem)
def test_the_page_tells_each_hyper_parameter_as_it_is_and_each_difference_with_its_reason(
    recipe: Path,
) -> None:
    run = load_run(recipe).model_dump(mode="json")
    rows = rows_of(recipe.stem)
    for field, (published, here, why) in rows.items():
        value = value_at(run, field)
        assert (here if isinstance(value, str) else json.loads(here)) == value, field
        if published.removesuffix(" (TRL)") not in (here, "-"):
            assert why, f"{field} differs from what was published and does not say why"
    raw = json.loads(recipe.read_text())
    told = {f for section in ("rollout", "train") for f in fields_of(raw[section], section)}
    assert told - rows.keys() == set()
    assert run["name"] == recipe.stem


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.stem)
def test_a_recipe_is_judged_while_it_trains_so_that_a_guard_can_stop_it(recipe: Path) -> None:
    run = load_run(recipe)
    assert run.eval.judges_during_training()
    found = armed(run)
    assert "held_out" in [guard.name for guard in found.guards]
    assert found.late == ()
    assert 4 <= planned_evaluations(run) <= 15  # often enough to stop, at the cost that is told


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.stem)
def test_the_chart_takes_a_recipe_as_its_run(recipe: Path) -> None:
    run = json.loads(recipe.read_text()) | {"storage": "s3://bucket"}
    manifests = render({"run": run, "texts": '{"text": "hello"}'})
    written = next(m["data"]["run.json"] for m in manifests if "run.json" in m.get("data", {}))
    rendered = RunConfig.model_validate_json(written)
    assert rendered.data.texts == "/etc/ttsrl/texts.jsonl"
    ours = load_run(recipe)
    assert rendered.rollout == ours.rollout
    assert rendered.eval.during_training == ours.eval.during_training
    assert rendered.reward.components == ours.reward.components
    assert rendered.train.model_dump(exclude={"metrics_port"}) == ours.train.model_dump(
        exclude={"metrics_port"}
    )
