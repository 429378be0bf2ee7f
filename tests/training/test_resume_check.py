import pytest

from sceneshift.errors import StudyError
from sceneshift.training.resume_check import differences, refuse_other_settings


def test_equal_values_differ_in_nothing_even_when_one_side_was_stored():
    assert differences({"shape": [2, 3], "x": 0.1}, {"x": 0.1, "shape": (2, 3)}) == []


def test_each_difference_is_named_with_both_values():
    found = differences({"a": 1, "gone": "x", "same": 0}, {"a": 2, "new": [1], "same": 0})
    assert found == ["a: was 1, is 2", "gone: was 'x', is None", "new: was None, is [1]"]


def test_other_settings_are_refused_with_a_list_and_advice():
    refuse_other_settings("study 's'", {"a": 1}, {"a": 1}, advice="Do this.")
    with pytest.raises(StudyError) as refused:
        refuse_other_settings("study 's'", {"a": 1, "b": 2}, {"a": 3, "b": 4}, advice="Do this.")
    first, *lines = str(refused.value).splitlines()
    assert first.startswith("study 's' ")
    assert lines == ["  a: was 1, is 3", "  b: was 2, is 4", "Do this."]
