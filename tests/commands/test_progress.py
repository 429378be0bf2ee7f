"""What shows how far long work is: a bar for people, lines for files."""

import io
import sys

import pytest

from sceneshift.commands import progress
from sceneshift.commands.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(**kwargs):
    with progress_bar(total=400, unit="pixels", **kwargs) as bar:
        for done in (100, 250, 400):
            bar.set_postfix({"a-b": done}, refresh=False)
            bar.update(done - bar.n)


def test_without_a_terminal_there_are_whole_lines(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    work()
    text, errors = capsys.readouterr()
    assert errors == ""
    assert "\r" not in text
    lines = text.splitlines()
    shares = [line.split(" left")[0].rsplit(",", 1)[0] for line in lines]
    assert list(dict.fromkeys(shares)) == [f"  {share:3.0f} % of 400 pixels" for share in (0, 25, 62, 100)]
    assert lines[-1].endswith(" left, a-b=400")


@pytest.mark.parametrize("raises", [False, True])
def test_short_work_leaves_no_line(capsys, raises):
    if raises:
        with pytest.raises(ZeroDivisionError), progress_bar(total=3, unit="epochs") as bar:
            bar.update(1 // 0)
    else:
        work()
    assert capsys.readouterr() == ("", "")


def test_lines_come_by_the_clock_alone(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    with progress_bar(total=100, unit="epochs", initial=10) as bar:
        for second in range(1, 13):
            now[0] = float(second)
            bar.update(5)
    shares = [line.split(" of ")[0].strip() for line in capsys.readouterr().out.splitlines()]
    assert shares == ["35 %", "60 %", "70 %"]  # after 5 and 10 seconds, and at the end


def test_on_a_terminal_a_bar_is_drawn_on_standard_error(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    work()
    assert capsys.readouterr().out == ""
    drawn = terminal.getvalue()
    assert drawn.count("\r") >= 2
    assert drawn.endswith("\n")
    assert "100 % of 400 pixels" in drawn
