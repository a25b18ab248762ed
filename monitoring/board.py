"""A dashboard: rows of panels, the variables that choose a release, and links to the others.

In Grafana's first format of dashboards, which every Grafana since 10 imports; the second one
wants a recent one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from monitoring.panels import PROMETHEUS, PanelRow, build

TAG = "ttsrl"
SEEN = '{__name__=~"ttsrl_reward_ready|ttsrl_train_info"'
"""Series that every release has: of its service, and of its trainer while it runs."""


@dataclass(frozen=True)
class BoardVariable:
    """A choice at the top of a dashboard: from the values of a label, or typed in; `every` adds
    the choice of all values."""

    name: str
    label: str
    query: str = ""
    default: str = ""
    every: bool = False


RELEASE = (
    # Never all of them: releases of several teams often have the same name.
    BoardVariable("namespace", "Namespace", f"label_values({SEEN}}}, namespace)"),
    BoardVariable("release", "Release", f'label_values({SEEN},namespace=~"$namespace"}}, release)'),
)


@dataclass(frozen=True)
class Board:
    """Everything that one dashboard shows."""

    uid: str
    title: str
    about: str
    rows: tuple[PanelRow, ...]
    variables: tuple[BoardVariable, ...] = ()
    """Beside the data source, the namespace and the release."""
    since: str = "now-6h"


def model(board: Board) -> Dashboard:
    """The dashboard in Grafana's own types."""
    builder = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time(board.since, "now")
        .refresh("30s")
        .readonly()
        .link(
            builders.DashboardLink("ttsrl")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(
            builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
    )
    for variable in (*RELEASE, *board.variables):
        builder = builder.with_variable(_variable(variable))
    for row in board.rows:
        builder = builder.with_row(builders.Row(row.title))
        for panel in row.panels:
            builder = builder.with_panel(build(panel))
    return builder.build()


def _variable(variable: BoardVariable) -> builders.QueryVariable | builders.TextBoxVariable:
    if not variable.query:
        return (
            builders.TextBoxVariable(variable.name)
            .label(variable.label)
            .default_value(variable.default)
        )
    builder = (
        builders.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(PROMETHEUS)
        .query(variable.query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    if not variable.every:
        return builder
    everything = VariableOption(selected=True, text="All", value="$__all")
    return builder.include_all(True).all_value(".+").current(everything)


def dump(board: Board) -> str:
    """The JSON that Grafana imports."""
    return json.dumps(model(board), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def expressions(board: Board) -> Sequence[tuple[str, str]]:
    """(row / panel, PromQL) of every query of a dashboard."""
    return [
        (f"{board.title} / {row.title} / {panel.title}", expression)
        for row in board.rows
        for panel in row.panels
        for expression, _ in panel.queries
    ]
