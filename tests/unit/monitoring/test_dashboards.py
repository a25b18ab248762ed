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
from support.helm_chart import EVERY_API, find, render
from support.paths import ROOT

MONITORS = (("ServiceMonitor", "reward"), ("PodMonitor", "train"))
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


def test_the_chart_installs_each_dashboard_as_it_is() -> None:
    values = {"metrics": {"dashboards": {"namespace": "grafana"}}}
    maps = [
        m
        for m in render(values, apis=EVERY_API)
        if m["metadata"]["labels"].get("grafana_dashboard")
    ]
    assert {m["metadata"]["namespace"] for m in maps} == {"grafana"}
    installed = {name: text for m in maps for name, text in m["data"].items()}
    assert {name: json.loads(text) for name, text in installed.items()} == {
        path.name: json.loads(path.read_text()) for path in FILES
    }


def test_the_chart_s_rules_name_their_release_and_lose_what_it_has_not() -> None:
    url = "https://docs.example.org/troubleshooting.html"
    values = {"metrics": {"prometheusRule": {"runbookUrl": url}}}
    rule = find(render(values, release="news", apis=EVERY_API), "PrometheusRule", "news-ttsrl")
    text = json.dumps(rule["spec"])
    assert "@" not in text
    assert 'release=\\"news\\"' in text and f"{url}#ttsrlrewarddown" in text

    without = {"reward": {"enabled": False}, "run": {"reward": {"url": "http://elsewhere:3000"}}}
    rule = find(render(without, apis=EVERY_API), "PrometheusRule", "ttsrl")
    assert "ttsrl-reward" not in [group["name"] for group in rule["spec"]["groups"]]
    assert {"ttsrl-train", "ttsrl-cost"} < {group["name"] for group in rule["spec"]["groups"]}


def test_every_series_gets_the_label_that_all_select_by() -> None:
    manifests = render(release="news", apis=EVERY_API)
    monitors = [find(manifests, kind, f"news-ttsrl-{room}") for kind, room in MONITORS]
    for monitor in monitors:
        (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
        assert {"targetLabel": "release", "replacement": "news"} in endpoint["relabelings"]


def test_the_run_serves_its_metrics_where_the_monitor_asks() -> None:
    manifests = render(apis=EVERY_API)
    run = json.loads(find(manifests, "ConfigMap", "ttsrl-run")["data"]["run.json"])
    (port,) = {
        port["containerPort"]
        for path in ("rayjob.yaml", "pytorchjob/pytorchjob.yaml")
        for port in named(yaml.safe_load((ROOT / "jobs/train" / path).read_text()), "metrics")
    }
    assert run["train"]["metrics_port"] == port


def named(tree: Any, name: str) -> list[dict[str, Any]]:
    """Every mapping of that name, however deep."""
    if isinstance(tree, list):
        return [found for item in tree for found in named(item, name)]
    if not isinstance(tree, dict):
        return []
    here = [tree] if tree.get("name") == name else []
    return here + [found for item in tree.values() for found in named(item, name)]
