"""What `sceneshift doctor` finds."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from sceneshift.commands import doctor
from sceneshift.commands.doctor import DoctorArgs, examine, run_doctor


def findings(storage: Path, **arguments: str) -> dict[str, doctor.Finding]:
    return {finding.topic: finding for finding in examine(DoctorArgs(storage_path=str(storage), **arguments))}


def test_this_machine_is_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_doctor(DoctorArgs(storage_path=str(tmp_path / "results"))) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in lines[0]
    assert not (tmp_path / "results").exists()


def test_little_memory_is_unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**30, total=2**31))

    memory = findings(tmp_path)["memory"]

    assert memory.is_unfit
    assert memory.line().startswith("unfit")
    assert "1.0 GiB available of 2.0" in memory.text


def test_a_full_disk_is_unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**29, total=2**40))

    storage = findings(tmp_path)["storage"]

    assert storage.is_unfit
    assert "0.5 GiB free" in storage.text


def test_a_folder_that_cannot_be_written_is_unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert findings(tmp_path)["storage"].is_unfit


def test_an_unusable_mlflow_address_is_unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")

    found = findings(tmp_path)

    assert found["mlflow"].is_unfit
    assert "mlruns" in found["mlflow"].text
    assert not found["ray"].is_unfit


def test_scenes_that_are_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCENESHIFT_DATA", raising=False)
    assert not findings(tmp_path)["scenes"].is_unfit
    assert findings(tmp_path, data_dir=str(tmp_path / "nowhere"))["scenes"].is_unfit

    for name in ("Houston13.mat", "Houston13_7gt.mat"):
        (tmp_path / name).touch()
    assert "houston13" in findings(tmp_path, data_dir=str(tmp_path))["scenes"].text
