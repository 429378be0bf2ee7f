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
    assert max(distances.values()) <= 1e-3 * agreement.FP64_DISTANCE
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
    values = {
        "fp64": {"encoder": 1e-12},
        "fp32": {"encoder": 4e-4},
        "fp32_ours_from_fp64": {"encoder": ours},
        "fp32_baseline_from_fp64": {"encoder": 2e-4},
    }
    verdict = benchmark("agreement").verdict(values)
    assert verdict["equal"] is equal
    assert "encoder" in verdict["how"]


@pytest.mark.parametrize(("ours", "baseline", "equal"), [(9e-5, 1e-6, True), (3e-4, 2e-4, True), (3e-4, 1e-4, False)])
def test_on_the_same_side_of_every_kink_the_limit_or_the_baseline_decides(
    benchmark, ours: float, baseline: float, equal: bool
) -> None:
    values = {
        "fp64": {"encoder": 1e-12},
        "fp32": {"encoder": 4e-4},
        "fp32_ours_from_fp64": {"encoder": 1e-3},
        "fp32_baseline_from_fp64": {"encoder": 1e-5},
        "fp32_ours_from_fp64_on_the_same_sides": {"encoder": ours},
        "fp32_baseline_from_fp64_on_the_same_sides": {"encoder": baseline},
    }
    assert benchmark("agreement").verdict(values)["equal"] is equal


def test_our_step_is_on_the_plain_steps_side_of_every_kink(benchmark, tiny) -> None:
    agreement, kinks, sides = benchmark("agreement"), benchmark("kinks"), benchmark("sides")
    batch = sides.Batch.draw(tiny, 4, device=torch.device("cpu")).to(torch.float64)

    def double(build, *before):
        side = build(tiny, *before) if before else build(tiny, device=batch.patches.device)
        for module in side.modules().values():
            module.double()
        return side

    plain = double(sides.build_plain, sides.build_ours(tiny, device=batch.patches.device))
    with kinks.sides_of(plain.modules()) as expected:
        step = agreement.plain_step(plain, batch)
    ours = double(sides.build_ours)
    with kinks.sides_of(ours.modules()) as passes:
        agreement.our_step(ours, batch, moved=step.discriminator)
    assert len(expected) == 14
    for found, wanted in zip(kinks.in_plain_order(passes), expected, strict=True):
        assert all(torch.equal(first, second) for first, second in zip(found, wanted, strict=True))

    def again() -> dict[str, float]:
        side = double(sides.build_plain, sides.build_ours(tiny, device=batch.patches.device))
        with kinks.on_sides(expected):
            return agreement.plain_step(side, batch, moved=step.discriminator).distances(step)

    assert max(again().values()) < 1e-12
    of_generator_b = expected[12]  # the encoder's pass over what generator b made
    of_generator_b[0][0, 0, 0, 0] ^= True
    turned = again()
    assert turned["generator b"] > 1e-6
    assert turned["generator a"] < 1e-12


def test_each_side_is_compared_with_float64_on_its_own_side_of_every_kink(benchmark, tiny, monkeypatch) -> None:
    agreement, kinks = benchmark("agreement"), benchmark("kinks")
    batch = benchmark("sides").Batch.draw(tiny, 8, device=torch.device("cpu"))

    def one_turned(passes):
        sides = kinks.in_plain_order(passes)
        sides[12][0][0, 0, 0, 0] ^= True  # the encoder's pass over what generator b made
        return sides

    straight = agreement.rounding_alone(tiny, batch)
    monkeypatch.setattr(agreement, "in_plain_order", one_turned)
    found = agreement.rounding_alone(tiny, batch)
    assert abs(found["fp32_kinks_apart"] - straight["fp32_kinks_apart"]) == 1
    ours, baseline = (found[f"fp32_{side}_from_fp64_on_the_same_sides"] for side in ("ours", "baseline"))
    assert ours["generator b"] > 1e-2
    assert baseline == straight["fp32_baseline_from_fp64_on_the_same_sides"]


def test_rows_as_json(benchmark, tiny) -> None:
    rows = benchmark("step_rows").step_rows(
        tiny,
        4,
        ("fp32",),
        device=torch.device("cpu"),
        repeats=1,
        allocator="any",
        agreement={"equal": True, "how": "chosen"},
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


def row(split: str, variant: str, seed: int, oa: float, **ways: float) -> dict:
    scores = {"scores": {"oa": oa, "aa": oa / 2, "kappa": oa / 5}}
    return {"split": split, "variant": variant, "seed": seed, **scores, **{way: {"oa": v} for way, v in ways.items()}}


def test_a_table_of_accuracies_has_means_and_deviations_over_seeds(benchmark) -> None:
    table = benchmark("s2vnet_accuracy").table
    rows = [
        row("random", "paper", 0, 0.8, kept=0.7, **{"random order": 0.6}),
        row("random", "paper", 1, 0.9, kept=0.7, **{"random order": 0.7}),
        row("fixed", "paper", 0, 0.5, kept=0.25, **{"random order": 0.5}),
        row("random", "SVM", 0, 0.75),
    ]
    head, rule, *lines = table(rows).splitlines()
    assert {line.count("|") for line in (head, rule, *lines)} == {9}
    # Splits and networks in their own order, whatever order they were measured in; the SVM has no batch statistics.
    assert lines == [
        "| fixed | paper | 1 | 50.0 | 25.0 | 10.0 | 25.0 | 50.0 |",
        "| random | SVM | 1 | 75.0 | 37.5 | 15.0 |  |  |",
        "| random | paper | 2 | 85.0 ± 7.1 | 42.5 ± 3.5 | 17.0 ± 1.4 | 70.0 ± 0.0 | 65.0 ± 7.1 |",
    ]
    assert table(rows[::-1]).splitlines()[2:] == lines
    assert len(table([]).splitlines()) == 2


def test_what_has_been_measured_is_read_and_not_measured_again(benchmark, tmp_path, monkeypatch, capsys) -> None:
    accuracy = benchmark("s2vnet_accuracy")
    results = tmp_path / "rows.jsonl"
    results.write_text(json.dumps(row("random", "SVM", 0, 0.75)) + "\n")
    measured = []

    def measure(split: str, seed: int, variant: str, arguments: object) -> dict:
        measured.append((split, seed, variant))
        return row(split, variant, seed, 0.65)

    monkeypatch.setattr(accuracy, "measure", measure)
    words = ["--splits", "random", "--variants", "SVM", "--seeds", "0", "1", "--results", str(results)]
    monkeypatch.setattr("sys.argv", ["s2vnet_accuracy.py", *words])
    assert accuracy.main() == 0
    assert measured == [("random", 1, "SVM")]
    assert [json.loads(line)["seed"] for line in results.read_text().splitlines()] == [0, 1]
    assert "| random | SVM | 2 | 70.0 ± 7.1 |" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["s2vnet_accuracy.py", "--table", "--results", str(results)])
    assert accuracy.main() == 0
    assert len(measured) == 1


def test_every_variant_is_a_configuration_that_departs_in_one_thing(benchmark) -> None:
    accuracy = benchmark("s2vnet_accuracy")
    assert accuracy.VARIANTS["paper"] == {}
    changes = [change for name, change in accuracy.VARIANTS.items() if name != "paper"]
    assert all(len(change) == 1 for change in changes)
    for change in changes:
        ((name, value),) = change.items()
        assert getattr(accuracy.S2VNetConfig(**change), name) is value is True
        assert getattr(accuracy.S2VNetConfig(), name) is False
