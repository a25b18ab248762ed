"""Asks a Prometheus the queries of the dashboards, with Grafana's variables filled in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from monitoring.board import Board, expressions

DEFAULTS = {"run": ".+", "price": "2"}


@dataclass(frozen=True)
class QueryResult:
    """What a query of a panel gives now."""

    panel: str
    query: str
    series: tuple[Mapping[str, Any], ...]
    """Those whose value is a number."""
    problem: str = ""
    """What Prometheus said of a query that it refuses."""


def fill(expression: str, values: Mapping[str, str], range_shown: str, rate: str) -> str:
    """The query as Grafana sends it."""
    known = {**DEFAULTS, **values, "__range": range_shown, "__rate_interval": rate}
    return re.sub(r"\$([a-z_]\w*)", lambda match: known[match[1]], expression)


def answers(
    prometheus: httpx.Client,
    boards: Iterable[Board],
    values: Mapping[str, str],
    range_shown: str = "1h",
    rate: str = "1m",
) -> list[QueryResult]:
    """One answer a query, in the order of the dashboards."""
    found: list[QueryResult] = []
    for board in boards:
        for panel, expression in expressions(board):
            query = fill(expression, values, range_shown, rate)
            reply = prometheus.post("/api/v1/query", data={"query": query}).json()
            series = reply.get("data", {}).get("result", [])
            numbers = tuple(s for s in series if math.isfinite(float(s["value"][1])))
            found.append(QueryResult(panel, query, numbers, reply.get("error", "")))
    return found
