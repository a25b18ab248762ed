"""The chart's dashboards: fresh, complete, and each panel says what it means."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.__main__ import BOARDS, FOLDER, write
from monitoring.board import Board, dump, model

ROOT = Path(__file__).parents[2]
FILES = sorted(FOLDER.glob("*.json"))


def panels(board: Board) -> list[dict[str, Any]]:
    return [p for p in json.loads(dump(board))["panels"] if p["type"] != "row"]


def test_the_files_of_the_chart_are_what_the_source_gives(tmp_path: Path) -> None:
    write(tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert kept == written, "run python -m monitoring"


def test_a_configmap_holds_each_dashboard() -> None:
    # etcd takes 1 MiB an object, kubectl apply 256 KiB of it as an annotation
    assert all(path.stat().st_size < 200_000 for path in FILES)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_panel_says_what_it_means_in_which_unit(board: Board) -> None:
    for panel in panels(board):
        title = panel["title"]
        assert len(panel["description"]) > 10, title
        assert panel["targets"], title
        assert panel["datasource"]["uid"] == "${datasource}", title
        if panel["type"] != "table":
            assert panel["fieldConfig"]["defaults"]["unit"], title
            assert len(panel["targets"]) == 1 or all(t["legendFormat"] for t in panel["targets"])


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_panels_fill_the_grid_without_covering_one_another(board: Board) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(dump(board))["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_a_release_is_chosen_once_and_kept_from_one_dashboard_to_the_next(board: Board) -> None:
    dashboard = json.loads(dump(board))
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert names[:3] == ["datasource", "namespace", "release"]
    assert dashboard["uid"] == board.uid
    assert all(link["includeVars"] and link["keepTime"] for link in dashboard["links"])
    assert set(dashboard["links"][0]["tags"]) <= set(dashboard["tags"])
    used = set(re.findall(r"\$([a-z_]\w*)", json.dumps([p["targets"] for p in panels(board)])))
    assert used - {"__range", "__rate_interval"} <= set(names)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_series_of_ours_is_asked_of_the_chosen_release_only(board: Board) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            for labels in re.findall(r"ttsrl_\w+\{([^}]*)\}", target["expr"]):
                assert 'namespace=~"$namespace",release=~"$release"' in labels, panel["title"]


def test_grafanas_own_types_read_the_files_back() -> None:
    for board, path in zip(sorted(BOARDS, key=lambda board: board.uid), FILES, strict=True):
        assert type(model(board)).from_json(json.loads(path.read_text())).uid == path.stem


def test_the_monitors_give_every_series_the_label_that_all_select_by() -> None:
    text = (ROOT / "helm/templates/monitors.yaml").read_text()
    relabelings = re.findall(r"relabelings:\n\s+- (\{.*\})\n", text)
    assert len(relabelings) == text.count("interval: {{") == 2
    for relabeling in relabelings:
        rule = yaml.safe_load(relabeling.replace("{{ .Release.Name }}", "name"))
        assert rule == {"targetLabel": "release", "replacement": "name"}
