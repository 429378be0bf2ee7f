"""Damaged files of every format end in a scene or in an error of the package; and the fuzzer sees what it looks for."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("rasterio", reason="not installed: pip install -e '.[geo]'")

FUZZER = Path(__file__).with_name("fuzzing.py")

FORMATS = {"npy", "npz", "mat", "mat73", "envi", "geotiff", "tif", "png", "arrow"}


def fuzz(folder: Path, *flags: str) -> tuple[int, list[dict], str]:
    path = folder / "outcomes.json"
    command = [sys.executable, str(FUZZER), "--json", str(path), "--keep", str(folder / "kept"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert path.exists(), done.stderr
    return done.returncode, json.loads(path.read_text()), done.stdout


@pytest.mark.slow
def test_damaged_files_end_in_a_scene_or_an_error(tmp_path: Path) -> None:
    # A sample; `make fuzz` takes ten times as many.
    status, outcomes, printed = fuzz(tmp_path, "--count", "220", "--seed", "0")
    assert {outcome["kind"] for outcome in outcomes} == {"scene", "error"}, printed
    assert status == 0
    assert len(outcomes) >= 200
    assert {outcome["target"].partition("-")[0] for outcome in outcomes} == FORMATS
    of_store = Counter(outcome["kind"] for outcome in outcomes if outcome["target"] == "arrow")
    assert set(of_store) == {"error"}, "a damaged store passed `verify`"
    for name in {outcome["target"] for outcome in outcomes}:
        own = [outcome for outcome in outcomes if outcome["target"] == name]
        assert sorted(outcome["index"] for outcome in own) == list(range(len(own)))
        assert any(outcome["kind"] == "error" and outcome["message"] for outcome in own)


@pytest.mark.slow
def test_the_fuzzer_sees_every_kind_of_failure_and_continues_after_it(tmp_path: Path) -> None:
    # Every fifth mutant is the beginning of a file, a byte longer each: what the saboteur does follows from the length.
    status, outcomes, printed = fuzz(tmp_path, "--target", "saboteur", "--count", "41", "--cpu-s", "1")
    assert [outcomes[5 * length]["kind"] for length in range(9)] == [
        "scene", "crash", "traceback", "memory", "unpickled", "hang", "crash", "error", "scene",
    ]  # fmt: skip
    assert [outcome["index"] for outcome in outcomes] == list(range(41))
    assert status == 1
    assert "KeyError: 'no error of the package'" in printed
    assert "Segmentation fault" in outcomes[5]["message"]
    assert "saboteur-0-10" in {path.name for path in (tmp_path / "kept").iterdir()}
