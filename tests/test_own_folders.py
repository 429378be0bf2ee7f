"""Homes, caches and temporary folders of users that have none, in this process and as in containers."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sceneshift import own_folders
from sceneshift.errors import ResourceError
from sceneshift.own_folders import ensure_home, is_usable, private_folder, temporary_folder

VARIABLES = ("HOME", "USER", "MPLCONFIGDIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder for temporary files of the test's own; the environment is put back."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    private_folder.cache_clear()
    ensure_home.cache_clear()
    yield tmp_path / "tmp"
    private_folder.cache_clear()
    ensure_home.cache_clear()


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    assert is_usable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert not is_usable(tmp_path, room=2**62)
    (tmp_path / "file").touch()
    assert not is_usable(tmp_path / "file" / "below")


def test_a_private_folder_is_its_user_s_alone(temporary: Path) -> None:
    folder = private_folder()
    assert folder == temporary / f"sceneshift-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("made", ["open to all", "a link"])
def test_a_folder_that_others_could_have_filled_is_not_taken(temporary: Path, tmp_path: Path, made: str) -> None:
    trap = temporary / f"sceneshift-{os.getuid()}"
    if made == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        trap.symlink_to(tmp_path / "elsewhere")
    else:
        trap.mkdir()
        trap.chmod(0o777)
    folder = private_folder()
    assert folder != trap
    assert folder.parent == temporary
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("home", ["missing", "relative"])
def test_a_home_that_is_not_there_is_replaced(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "gone") if home == "missing" else "~")
    ensure_home()
    assert os.environ["HOME"] == str(private_folder() / "home")
    assert not (tmp_path / "gone").exists()
    assert "MPLCONFIGDIR" not in os.environ


def test_a_home_that_can_be_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ensure_home()
    assert os.environ["HOME"] == str(tmp_path)
    assert "MPLCONFIGDIR" not in os.environ
    assert not (tmp_path / "tmp" / f"sceneshift-{os.getuid()}").exists()


def test_of_a_home_that_can_t_be_written_only_the_caches_are_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRITON_CACHE_DIR", "mine")
    monkeypatch.setattr(own_folders, "is_usable", lambda folder, room: False)
    ensure_home()
    assert os.environ["HOME"] == str(tmp_path)
    assert os.environ["MPLCONFIGDIR"] == str(private_folder() / "matplotlib")
    assert os.environ["TRITON_CACHE_DIR"] == "mine"


def test_where_nothing_can_be_written_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setenv("TMPDIR", "/full")
    for ask in (temporary_folder, private_folder, ensure_home):
        with pytest.raises(ResourceError, match=r"TMPDIR=/full,.*TMPDIR"):
            ask()


#: Imports what needs a folder of its own, and shows what Ray is to use.
PROGRAM = """
import os
from sceneshift.execution.cluster import apply_ray_settings
from sceneshift.execution.ray_folders import ensure_token, session_folder
from sceneshift.tracking.backend import TrackingBackend
import sys, pathlib
apply_ray_settings()
import matplotlib, numba
import sceneshift.networks.cpu_kernels.pool
client = TrackingBackend.resolve(pathlib.Path(sys.argv[1])).connect(reads_only=True)
ensure_token()
print(os.environ["HOME"], os.environ["USER"], sep="\\n")
print(numba.config.CACHE_DIR, session_folder(), os.environ.get("RAY_AUTH_TOKEN_PATH"), sep="\\n")
print([e.name for e in client.search_experiments()])
print(matplotlib.get_cachedir())
"""


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "read-only"])
def test_a_user_nobody_knows_has_all_that_the_libraries_need(in_container, tmp_path: Path, home: str | None) -> None:
    (tmp_path / "read-only").mkdir()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "results").mkdir()
    variables = {} if home is None else {"HOME": str(tmp_path / home)}
    own = tmp_path / "tmp" / "sceneshift-12345"
    done = in_container(
        str(tmp_path / "program.py"),
        str(tmp_path / "results"),
        read_only=[tmp_path / "read-only", Path(os.__file__).parent],
        TMPDIR=str(tmp_path / "tmp"),
        **variables,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    kept = home == "read-only"
    expected_home = tmp_path / "read-only" if kept else own / "home"
    assert lines[:2] == [str(expected_home), "user-12345"]
    assert lines[2] == str(own / "numba" if kept else own / "home" / ".cache" / "numba")
    assert lines[3].startswith("/")
    assert lines[4] == (str(own / "ray_auth_token") if kept else "None")
    assert lines[5] == "['Default']"
    assert lines[6] == str(own / "matplotlib" if kept else own / "home" / ".cache" / "matplotlib")
    assert "Traceback" not in done.stderr


def test_a_full_temporary_folder_is_passed_over(in_container, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    program = "from sceneshift.own_folders import temporary_folder; print(temporary_folder())"
    done = in_container("-c", program, full=[tmp_path / "full"], TMPDIR=str(tmp_path / "full"))
    assert done.stdout.strip() == "/tmp", done.stderr
