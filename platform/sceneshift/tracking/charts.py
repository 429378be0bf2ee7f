"""The order of MLflow's charts of a study's trials: the objective first, target scores last.

MLflow sorts charts and their sections by name, unless a shared view says otherwise. The view names the objective's
chart and the order of the sections; MLflow adds the other charts to them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

#: Sections in this order, by the first part of their metrics' names; others come before the last.
_ORDER = ("val", "selection", "train", "", "time", "system", "target")

#: What MLflow calls the sections of metrics without a slash and of the machine.
_PLAIN, _SYSTEM = "Model metrics", "System metrics"


def chart_layout(metrics: Iterable[str], *, objective: str) -> Mapping[str, Any]:
    """Charts and sections of a shared view.

    Args:
        metrics: Names of the trials' metrics, as MLflow has them.
        objective: The metric that the search is steered by.
    """
    sections = sorted({_section(name) for name in (objective, *metrics)}, key=lambda name: _rank(name, objective))
    return {
        "compareRunSections": [
            # A section that was "reordered" keeps its charts as they are; new ones come after them.
            {"uuid": name, "name": name, "display": True, "isReordered": True, "deleted": False, "isGenerated": True}
            for name in sections
        ],
        "compareRunCharts": [
            {
                "uuid": "objective",
                "type": "LINE",
                "metricSectionId": _section(objective),
                "metricKey": objective,
                "selectedMetricKeys": [objective],
                "deleted": False,
                "isGenerated": True,
                "runsCountToCompare": 10,
                "scaleType": "linear",
                "xAxisKey": "step",
                "selectedXAxisMetricKey": "",
                "xAxisScaleType": "linear",
                "yAxisKey": "metric",
                "yAxisExpressions": [],
                "lineSmoothness": 0,
                "useGlobalLineSmoothing": True,
                "useGlobalXaxisKey": True,
            }
        ],
        "isAccordionReordered": True,
    }


def _section(metric: str) -> str:
    """The section that MLflow puts a metric's chart in: its name up to the last slash."""
    head = metric.rpartition("/")[0]
    if not head:
        return _PLAIN
    return _SYSTEM if head == "system" else head


def _rank(section: str, objective: str) -> tuple[int, int, str]:
    first = {_PLAIN: "", _SYSTEM: "system"}.get(section, section.partition("/")[0])
    place = _ORDER.index(first) if first in _ORDER else len(_ORDER) - 1
    return (0 if section == _section(objective) else 1), place, section
