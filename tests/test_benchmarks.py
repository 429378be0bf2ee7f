"""The benchmarks' own claims: the plain network they compare with computes what ours does."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    """Import a module of benchmarks/, which is a directory of scripts and no package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture
def tiny(benchmark):
    return benchmark("sides").Shape(bands=7, patch=5, classes=3, width=5, channels=4)


def test_a_float64_step_is_the_plain_step(benchmark, tiny) -> None:
    agreement, sides = benchmark("agreement"), benchmark("sides")
    batch = sides.Batch.draw(tiny, 4, device=torch.device("cpu"))
    ours, plain = agreement.both_steps(tiny, batch, dtype=torch.float64)
    distances = ours.distances(plain)
    assert set(distances) == {"min loss", "max loss", "discriminator", "generator a", "generator b", "encoder"}
    assert max(distances.values()) <= agreement.FP64_DISTANCE
    assert all(part.norm() > 0 for part in plain.parts.values())


def test_a_wrong_gradient_is_seen(benchmark, tiny) -> None:
    agreement, sides = benchmark("agreement"), benchmark("sides")
    batch = sides.Batch.draw(tiny, 4, device=torch.device("cpu"))
    ours, plain = agreement.both_steps(tiny, batch, dtype=torch.float64)
    off = agreement.Step(parts={**ours.parts, "encoder": 1.01 * ours.parts["encoder"]}, discriminator={})
    distances = off.distances(plain)
    assert distances["encoder"] == pytest.approx(0.01, rel=1e-3)
    assert agreement.verdict({"fp64": distances, "fp32": {}})["equal"] is False


@pytest.mark.parametrize(
    ("ours", "equal"),
    [(3e-4, True), (5e-4, False)],
)
def test_beyond_the_limit_the_baselines_own_rounding_decides(benchmark, ours: float, equal: bool) -> None:
    told = {
        "fp64": {"encoder": 1e-12},
        "fp32": {"encoder": 4e-4},
        "fp32_ours_from_fp64": {"encoder": ours},
        "fp32_baseline_from_fp64": {"encoder": 2e-4},
    }
    verdict = benchmark("agreement").verdict(told)
    assert verdict["equal"] is equal
    assert "encoder" in verdict["how"]


def test_rows_as_json(benchmark, tiny) -> None:
    rows = benchmark("step_rows").step_rows(
        tiny,
        4,
        ("fp32",),
        device=torch.device("cpu"),
        repeats=1,
        allocator="any",
        agreement={"equal": True, "how": "told"},
        memory={"fp32": {"peak": 3, "growth": 1}, "baseline": {"peak": 4, "growth": 2}},
    )
    (row,) = json.loads(json.dumps([row.as_json() for row in rows]))
    assert row["name"] == "step b4 fp32, 7 bands, patch 5, d 5, ch 4, any"
    assert row["ratio"] == row["baseline_s"] / row["ours_s"]
    assert row["equal"] is True
    assert set(row) == {
        *("name", "work", "shape", "precision", "allocator"),
        *("ours_s", "baseline_s", "ratio", "equal", "agreement"),
        *("ours_patches_per_s", "baseline_patches_per_s", "ours_runs_s", "baseline_runs_s"),
        *("ours_peak_bytes", "baseline_peak_bytes", "ours_peak_growth_bytes", "baseline_peak_growth_bytes"),
    }
    assert "| step b4 fp32 |" in benchmark("rows").table(rows)


def test_any_flag_of_the_shape_measures_that_shape_alone(benchmark) -> None:
    speed = benchmark("speed")
    assert len(speed.Args().shapes()) == 2
    ((shape, batches),) = speed.Args(bands=103, patch=11).shapes()
    assert (shape.bands, shape.patch, shape.width, batches) == (103, 11, 128, (64, 256))
    assert speed.Args(batch=32).shapes() == [(speed.MAIN, (32,))]
