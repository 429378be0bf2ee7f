import os
import stat
import tempfile
from pathlib import Path

import pytest

from sceneshift.errors import ResourceError
from sceneshift.execution import ray_folders
from sceneshift.execution.ray_folders import ensure_token, session_folder
from sceneshift.own_folders import private_folder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch):
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    private_folder.cache_clear()
    yield
    private_folder.cache_clear()


@pytest.fixture
def short():
    """A folder whose path is short enough, unlike those of pytest."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="s") as folder:
        yield Path(folder)


def test_the_temporary_folder_is_used_where_it_does(short, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    assert session_folder() == short / "ray"


def test_a_path_too_long_for_a_socket_is_left_for_a_short_one(short, tmp_path, monkeypatch):
    long = tmp_path / ("jobs" * 20)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(ray_folders, "_SHORT", (str(short),))
    assert session_folder() == short / "ray"
    assert list(long.iterdir()) == []


def test_the_longest_path_that_is_taken_leads_to_a_socket(short):
    import socket

    room = 107 - len(os.fsencode(short / "x" / ray_folders._SOCKET))
    folder = short / ("x" * (room + 1))
    assert ray_folders._is_short(folder)
    assert not ray_folders._is_short(short / ("x" * (room + 2)))
    place = folder / ray_folders._SOCKET
    place.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place))


def test_another_user_s_folder_of_that_name_is_left(short, monkeypatch, as_nobody):
    short.chmod(0o777)
    (short / "ray").mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    if os.getuid() != 0:
        (short / "ray").chmod(0o555)
    with as_nobody():
        assert session_folder() == short / f"ray-{os.getuid()}"


@pytest.mark.parametrize("given", ["long", "a file"])
def test_a_folder_that_was_named_and_does_not_do_is_refused(tmp_path, monkeypatch, given):
    (tmp_path / "f").touch()
    place = tmp_path / ("x" * 90) if given == "long" else Path("/dev/null")
    monkeypatch.setenv("RAY_TMPDIR", str(place))
    reason = "too long a path for a socket" if given == "long" else "can't be written"
    with pytest.raises(ResourceError, match=rf"RAY_TMPDIR={place}:.*{reason}"):
        session_folder()


def test_where_none_does_the_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 90)))
    monkeypatch.setattr(ray_folders, "_SHORT", ("/dev/null",))
    with pytest.raises(ResourceError, match="RAY_TMPDIR"):
        session_folder()


def test_a_home_that_can_be_written_keeps_ray_s_own_token(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    ensure_token()
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ


def test_elsewhere_there_is_one_for_this_user_alone(tmp_path, monkeypatch):
    (tmp_path / "home").touch()  # in which nothing can be made
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ensure_token()
    kept = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert kept == tmp_path / f"sceneshift-{os.getuid()}" / "ray_auth_token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    token = kept.read_text()
    assert len(token) == 64
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    ensure_token()
    assert kept.read_text() == token


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_TOKEN", "t"), ("RAY_AUTH_MODE", "disabled")])
def test_what_the_user_has_set_is_left(tmp_path, monkeypatch, name, value):
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(name, value)
    ensure_token()
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ
