"""In which order MLflow shows the charts of a study's trials."""

from sceneshift.tracking.charts import chart_layout

METRICS = [
    *("epoch", "rank", "system/cpu_utilization_percentage", "target/sw-se/aa", "target/sw-se/oa", "time/epoch_s"),
    *("time/sw-se/trained_s", "train/sw-se/ce", "val/aa", "val/oa", "val/sw-se/aa", "selection/infomax", "other/one"),
]


def test_the_objective_is_the_first_chart_of_the_first_section():
    layout = chart_layout(METRICS, objective="val/aa")
    (chart,) = layout["compareRunCharts"]
    assert chart["metricKey"] == "val/aa"
    assert chart["metricSectionId"] == layout["compareRunSections"][0]["uuid"]


def test_sections_go_from_validation_to_target():
    layout = chart_layout(METRICS, objective="val/aa")
    assert [section["name"] for section in layout["compareRunSections"]] == [
        *("val", "val/sw-se", "selection", "train/sw-se", "Model metrics", "time", "time/sw-se", "System metrics"),
        *("other", "target/sw-se"),
    ]
    assert layout["isAccordionReordered"]


def test_another_objective_s_section_comes_first():
    layout = chart_layout(METRICS, objective="selection/infomax")
    assert [section["name"] for section in layout["compareRunSections"]][:2] == ["selection", "val"]


def test_before_the_first_trial_there_is_the_objective_alone():
    layout = chart_layout([], objective="val/aa")
    assert [section["name"] for section in layout["compareRunSections"]] == ["val"]
