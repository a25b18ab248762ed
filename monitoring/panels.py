"""What a panel says, and how Grafana is told: one small value, one builder of the SDK each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import bargauge, common, heatmap, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${datasource}")

PLAIN, COUNT, SHARE, SECONDS, BYTES, PER_SECOND, WATT = (
    units.NoUnit,
    units.Short,
    units.PercentUnit,
    units.Seconds,
    units.BytesIEC,
    units.CountsPerSecond,
    units.Watt,
)

GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclass(frozen=True)
class Panel:
    """One panel; every query is a pair of PromQL and the legend of its series."""

    title: str
    about: str
    """Shown behind the title's `i`: what it means and what to do about it."""
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: Literal["lines", "stacked", "bars", "stat", "gauge", "heatmap", "table"] = "lines"
    limits: tuple[tuple[float, str], ...] = ()
    """(value, colour from there on), rising; below the first it is green."""
    minimum: float | None = 0.0
    maximum: float | None = None
    no_value: str = "no data"
    width: int = 8
    """Of the 24 columns of a dashboard."""
    height: int = 8


@dataclass(frozen=True)
class PanelRow:
    """Panels below one heading."""

    title: str
    panels: tuple[Panel, ...]


def build(panel: Panel) -> Any:
    """The SDK's builder of a panel."""
    builder = _KINDS[panel.kind](panel)
    builder = (
        builder.title(panel.title)
        .description(panel.about)
        .datasource(PROMETHEUS)
        .unit(panel.unit)
        .no_value(panel.no_value)
        .span(panel.width)
        .height(panel.height)
    )
    for number, (expression, legend) in enumerate(panel.queries):
        builder = builder.with_target(_query(panel, expression, legend, number))
    if panel.kind == "heatmap":
        return builder
    if panel.minimum is not None:
        builder = builder.min(panel.minimum)
    if panel.maximum is not None:
        builder = builder.max(panel.maximum)
    return builder.thresholds(
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps(
            [
                Threshold(value=None, color=GREEN),
                *(Threshold(value=value, color=colour) for value, colour in panel.limits),
            ]
        )
    )


def _query(panel: Panel, expression: str, legend: str, number: int) -> Dataquery:
    query = (
        Dataquery()
        .datasource(PROMETHEUS)
        .ref_id(chr(ord("A") + number))
        .expr(expression)
        .legend_format(legend)
    )
    match panel.kind:
        case "stat" | "gauge" | "table":
            query = query.instant()
        case _:
            query = query.range()
    match panel.kind:
        case "heatmap":
            return query.format(PromQueryFormat.HEATMAP)
        case "table":
            return query.format(PromQueryFormat.TABLE)
        case _:
            return query


def _timeseries(panel: Panel) -> Any:
    builder = (
        timeseries.Panel()
        .line_width(1)
        .span_nulls(False)
        .show_points(VisibilityMode.AUTO)
        .tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "mean", "max"])
        )
    )
    if panel.limits:
        style = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        builder = builder.thresholds_style(style)
    return builder


def _stacked(panel: Panel) -> Any:
    stacking = common.StackingConfig().mode(StackingMode.NORMAL).group("A")
    return _timeseries(panel).fill_opacity(40).stacking(stacking)


def _bars(panel: Panel) -> Any:
    return _stacked(panel).draw_style(GraphDrawStyle.BARS).fill_opacity(80)


def _stat(panel: Panel) -> Any:
    return (
        stat.Panel()
        .color_mode(BigValueColorMode.BACKGROUND if panel.limits else BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _gauge(panel: Panel) -> Any:
    return bargauge.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def _heatmap(panel: Panel) -> Any:
    return (
        heatmap.Panel()
        .color(heatmap.HeatmapColorOptions().scheme("Oranges").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(panel.unit))
        .show_value(VisibilityMode.NEVER)
    )


def _table(panel: Panel) -> Any:
    hidden = dict.fromkeys(("Time", "Value", "__name__", "job", "instance", "endpoint"), True)
    return table.Panel().with_transformation(
        DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})
    )


_KINDS = {
    "lines": _timeseries,
    "stacked": _stacked,
    "bars": _bars,
    "stat": _stat,
    "gauge": _gauge,
    "heatmap": _heatmap,
    "table": _table,
}
