"""Workers that train one network together: an epoch is that of one worker, and the first alone keeps it."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.methods.registry import METHODS
from sceneshift.networks.shared_batch import current_share
from sceneshift.scenes.patches import PatchSampler
from sceneshift.splits.source import SourceDomain
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import TrainingDiverged, run_epoch, train
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.workers import Workers

#: Values of whatever settings a method has of these. 90 training pixels: seven batches of 12 or 13.
SMALL = {
    "patch_size": 5,
    "batch_size": 13,
    "width": 8,
    "heads": 2,
    "generator_channels": 6,
    "flips": True,
    "noise_scale": 0.2,
    "unchanged": 0.0,
}


def plan_of(name: str) -> TrainingPlan:
    config_type = METHODS[name].config_type
    known = {f.name for f in fields(config_type)} - config_type.without_effect
    config = config_type.from_mapping({k: v for k, v in SMALL.items() if k in known})
    return TrainingPlan(method=name, config=config, epochs=1, seed=4)


PLANS = {name: plan_of(name) for name, method in METHODS.items() if method.shardable}
#: The method that is trained for several epochs.
SEVERAL = replace(PLANS["cross_entropy"], epochs=3)


def epoch_in_float64(name: str, source: SourceDomain) -> dict[str, Any]:
    """One epoch with calibration and validation, and what it leaves behind."""
    plan = PLANS[name]
    run = PairRun(plan, [source], torch.device("cpu"), Workers.of_this_process())
    for module in run.method.modules().values():
        module.double()
    cube = run.normalization.apply(source.scene.cube).astype(np.float64)
    run._batches.sampler = PatchSampler(cube, patch_size=plan.config.patch_size, device="cpu")
    outcome = run_epoch([run], 1)
    modules = {part: dict(module.state_dict()) for part, module in run.method.modules().items()}
    return {"metrics": outcome, "modules": modules, "draws": run._draws.get_state(), "after": current_share()}


def reports_of(plan: TrainingPlan, source: SourceDomain, location: str) -> list[tuple[int, dict[str, float], Any]]:
    reports = []
    train(plan, [source], report=reports.append, checkpoints=CheckpointFolder(location))
    return [
        (r.epoch, {k: v for k, v in r.metrics.items() if not k.startswith("time/")}, dict(r.weights)) for r in reports
    ]


def fault_of(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


class _FullDisk(CheckpointFolder):
    def save(self, epoch: int, state: dict[str, Any], **_: object) -> None:
        raise StudyError("no space left")


def work(source: SourceDomain, folder: str) -> dict[str, Any]:
    """All that is asked of two workers, in one start of theirs."""
    workers = Workers.of_this_process()
    plan = SEVERAL
    doomed = replace(plan, config=replace(plan.config, lr=1e30))
    scattered = replace(plan, config=replace(plan.config, batch_size=2))
    return {
        "workers": workers,
        "epochs": {name: epoch_in_float64(name, source) for name in PLANS},
        "trained": reports_of(plan, source, f"{folder}/two"),
        "cut": reports_of(replace(plan, epochs=2), source, f"{folder}/cut"),
        "not cut": reports_of(plan, source, f"{folder}/cut"),
        "in bfloat16": {
            name: reports_of(replace(PLANS[name], precision="bfloat16"), source, f"{folder}/bfloat16-{name}")
            for name in PLANS
        },
        "resumed": reports_of(plan, source, f"{folder}/one-then-two"),
        "from the first": workers.from_first(lambda: workers.rank),
        "diverged": fault_of(lambda: reports_of(doomed, source, f"{folder}/doomed")),
        "full disk": fault_of(
            lambda: train(plan, [source], report=lambda _: None, checkpoints=_FullDisk(f"{folder}/full"))
        ),
        "two per batch": fault_of(lambda: reports_of(scattered, source, f"{folder}/scattered")[-1][0]),
        "too small": fault_of(lambda: workers.share_of(1)),
        "shares": [workers.share_of(n).sizes for n in (2, 3, 8, 9)],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def two(in_workers: Callable[..., list[Any]], tiny_source: SourceDomain, folder: Path) -> list[dict[str, Any]]:
    # An epoch by one worker, from which two continue.
    reports_of(PLANS["cross_entropy"], tiny_source, str(folder / "one-then-two"))
    return in_workers(2, work, tiny_source, str(folder))


def test_a_process_alone_is_one_worker() -> None:
    alone = Workers.of_this_process()
    assert alone == Workers(rank=0, num=1)
    assert alone.share_of(7) is None
    assert alone.from_first(lambda: 5) == 5


def test_workers_know_their_number(two: list[dict[str, Any]]) -> None:
    assert [worker["workers"] for worker in two] == [Workers(rank=0, num=2), Workers(rank=1, num=2)]
    assert [worker["from the first"] for worker in two] == [0, 0]
    assert two[0]["shares"] == [(1, 1), (2, 1), (4, 4), (5, 4)]


def test_a_batch_of_fewer_rows_than_workers_is_refused(two: list[dict[str, Any]]) -> None:
    for worker in two:
        assert type(worker["too small"]) is InvalidInputError
        assert re.findall(r"\d+", str(worker["too small"])) == ["1", "2"]
        assert worker["two per batch"] == 3  # one for each is enough


@pytest.mark.parametrize("name", PLANS)
class TestEpoch:
    def test_it_leaves_the_weights_that_one_worker_s_leaves(
        self, name: str, two: list[dict[str, Any]], tiny_source: SourceDomain
    ) -> None:
        alone = epoch_in_float64(name, tiny_source)
        for worker in two:
            got = worker["epochs"][name]
            assert torch.equal(got["draws"], alone["draws"])
            assert got["after"] is None
            for part, expected in alone["modules"].items():
                for key, value in expected.items():
                    # Adam makes a step of a gradient that is rounding alone, on which no output depends.
                    torch.testing.assert_close(got["modules"][part][key], value, rtol=1e-6, atol=1e-6, msg=key)

    def test_its_losses_and_scores_are_those_of_one_worker(
        self, name: str, two: list[dict[str, Any]], tiny_source: SourceDomain
    ) -> None:
        alone = epoch_in_float64(name, tiny_source)["metrics"]
        assert "val/aa" in alone
        for worker in two:
            got = worker["epochs"][name]["metrics"]
            assert got.keys() == alone.keys()
            for key, value in alone.items():
                if not key.startswith("time/"):
                    assert got[key] == pytest.approx(value, rel=1e-7), key


class TestTraining:
    def test_all_workers_report_the_same(self, two: list[dict[str, Any]]) -> None:
        assert [epoch for epoch, _, _ in two[0]["trained"]] == [1, 2, 3]
        assert two[0]["trained"] == two[1]["trained"]

    def test_in_float32_it_learns_as_one_worker_does(
        self, two: list[dict[str, Any]], tiny_source: SourceDomain, tmp_path: Path
    ) -> None:
        alone = reports_of(SEVERAL, tiny_source, str(tmp_path))
        for (_, got, _), (_, expected, _) in zip(two[0]["trained"], alone, strict=True):
            assert got["train/tiny-pair/ce"] == pytest.approx(expected["train/tiny-pair/ce"], rel=1e-3)

    def test_a_run_continues_with_another_number_of_workers(
        self, two: list[dict[str, Any]], tiny_source: SourceDomain, tmp_path: Path
    ) -> None:
        alone = reports_of(SEVERAL, tiny_source, str(tmp_path))
        reports = two[1]["resumed"]
        assert [epoch for epoch, _, _ in reports] == [1, 2, 3]
        assert reports[0] == alone[0]
        assert reports[-1][1]["train/tiny-pair/ce"] == pytest.approx(alone[-1][1]["train/tiny-pair/ce"], rel=1e-3)

    def test_cut_and_resumed_it_ends_bit_for_bit_the_same(self, two: list[dict[str, Any]]) -> None:
        for worker in two:
            assert worker["cut"] + worker["not cut"][1:] == worker["trained"]

    @pytest.mark.parametrize("name", PLANS)
    def test_in_bfloat16_it_trains_nearly_as_in_float32(self, name: str, two: list[dict[str, Any]]) -> None:
        (_, got, _), (_, same, _) = (worker["in bfloat16"][name][-1] for worker in two)
        assert got == same
        expected = two[0]["epochs"][name]["metrics"]
        for key in ("train/tiny-pair/ce", "train/tiny-pair/mi", "train/tiny-pair/sad"):
            if key in expected:
                assert got[key] == pytest.approx(expected[key], rel=0.1)

    def test_what_two_kept_one_can_read(
        self, two: list[dict[str, Any]], tiny_source: SourceDomain, folder: Path
    ) -> None:
        (again,) = reports_of(SEVERAL, tiny_source, str(folder / "two"))
        assert again == two[0]["trained"][-1]

    def test_a_loss_that_is_no_number_ends_all_workers(self, two: list[dict[str, Any]]) -> None:
        assert [type(worker["diverged"]) for worker in two] == [TrainingDiverged] * 2
        assert two[0]["diverged"].epoch == two[1]["diverged"].epoch

    def test_a_fault_of_the_first_is_raised_in_all(self, two: list[dict[str, Any]]) -> None:
        for worker in two:
            assert type(worker["full disk"]) is StudyError
            assert str(worker["full disk"]) == "no space left"
