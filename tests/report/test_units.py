from dataclasses import replace

from sceneshift.report.units import stated_units, unit_lines
from sceneshift.splits.pair import ScenePair


def test_only_pairs_that_state_a_unit_are_told(make_scene):
    source, target = make_scene(0), make_scene(1, name="other").without_labels()
    silent = ScenePair(name="silent", source=source, target=target)
    stated = ScenePair(name="stated", source=replace(source, unit="counts"), target=target)
    units = stated_units([silent, stated])
    assert units == {"stated": "counts (tiny), not stated (other)"}
    (line,) = unit_lines(units)
    assert "stated" in line
    assert units["stated"] in line
    assert unit_lines({}) == []
