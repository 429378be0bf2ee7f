from sceneshift.commands.search_screen import change_note


def test_a_change_of_code_or_data_is_named():
    note = change_note("study 's'", ["code: was 'a', is 'b'"])
    assert note.startswith("NOTE: study 's' ")
    assert note.splitlines()[-1] == "  code: was 'a', is 'b'"
