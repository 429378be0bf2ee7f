import pytest

from sceneshift.commands.announcements import announce_duration
from sceneshift.commands.search_screen import change_note


def test_a_change_of_code_or_data_is_named():
    note = change_note("study 's'", ["code: was 'a', is 'b'"])
    assert note.startswith("NOTE: study 's' ")
    assert note.splitlines()[-1] == "  code: was 'a', is 'b'"


@pytest.mark.parametrize(("seconds", "shown"), [(90, "2 min"), (5400, "1.5 h"), (12.5 * 24 * 3600, "12.5 days")])
def test_what_a_search_is_expected_to_take(seconds, shown):
    assert f" {shown} " in announce_duration(seconds)
