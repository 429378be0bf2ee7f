from sceneshift.report.units import unit_lines


def test_a_line_per_pair_that_states_a_unit():
    units = {"stated": "counts (tiny), not stated (other)", "both": "reflectance"}
    lines = unit_lines(units)
    assert len(lines) == 2
    for line, (pair, unit) in zip(lines, units.items(), strict=True):
        assert pair in line
        assert unit in line
    assert unit_lines({}) == []
