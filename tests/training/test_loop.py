"""The plain loop: what it reports, that it can be cut anywhere, and that nothing leaks between its parts."""

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError, SceneshiftError, StudyError
from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.methods.s2amsnet import S2AMSnetConfig
from sceneshift.methods.s2vnet import S2VNet, S2VNetConfig
from sceneshift.scenes.normalization import NORMALIZATIONS, Normalization
from sceneshift.scenes.patches import PatchSampler
from sceneshift.splits.blocks import block_split
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import Split, everything_split
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.evaluation import predict_pixels
from sceneshift.training.loop import EpochReport, TrainingDiverged, run_epoch, train
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan

CONFIG = CrossEntropyConfig(patch_size=5, batch_size=40, width=8, lr=0.01)
ADVERSARIAL = S2AMSnetConfig(patch_size=5, batch_size=40, width=8, generator_channels=6)
CPU = torch.device("cpu")
PARTS_OF_AN_EPOCH = ("time/steps_s", "time/calibration_s", "time/validation_s")


def plan_of(epochs: int = 2, seed: int = 0, **changes: Any) -> TrainingPlan:
    return TrainingPlan(method="cross_entropy", config=replace(CONFIG, **changes), epochs=epochs, seed=seed)


ADVERSARIAL_PLAN = TrainingPlan(method="s2amsnet", config=ADVERSARIAL, epochs=2, seed=0)
FADING_PLAN = TrainingPlan(  # its learning rate falls, and it looks at the training pixels first
    method="s2vnet",
    config=S2VNetConfig(patch_size=5, batch_size=40, width=8, heads=2, lr=0.01),
    epochs=3,
    seed=0,
)


def reports_of(plan: TrainingPlan, sources: list[SourceDomain], **arguments: Any) -> list[EpochReport]:
    reports: list[EpochReport] = []
    train(plan, sources, report=reports.append, **arguments)
    return reports


def without_time(report: EpochReport) -> EpochReport:
    metrics = {name: value for name, value in report.metrics.items() if not name.startswith("time/")}
    return replace(report, metrics=metrics)


def parameters(run: PairRun) -> list[Tensor]:
    return [p.detach().clone() for p in run.classifier.parameters()]


def assert_equal(first: list[Tensor], second: list[Tensor]) -> None:
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


class TestPlan:
    def test_it_trains_for_at_least_one_epoch(self) -> None:
        with pytest.raises(InvalidInputError, match=r"epochs = 0.*1"):
            plan_of(epochs=0)

    def test_its_interval_between_evaluations_is_not_negative(self) -> None:
        with pytest.raises(InvalidInputError, match=r"evaluate_every = -1.*0"):
            replace(plan_of(), evaluate_every=-1)

    @pytest.mark.parametrize(
        ("every", "evaluated"),
        [(1, [1, 2, 3, 4, 5, 6, 7]), (2, [2, 4, 6, 7]), (3, [3, 6, 7]), (7, [7]), (99, [7]), (0, [7])],
    )
    def test_it_evaluates_at_its_interval_and_at_the_end(self, every: int, evaluated: list[int]) -> None:
        plan = replace(plan_of(epochs=7), evaluate_every=every)
        assert [epoch for epoch in range(1, 8) if plan.evaluates(epoch)] == evaluated

    def test_its_method_is_known(self) -> None:
        with pytest.raises(InvalidInputError, match=r"'crossentropy'.*'cross_entropy'"):
            TrainingPlan(method="crossentropy", config=CONFIG, epochs=1, seed=0)

    def test_its_configuration_is_the_method_s(self) -> None:
        with pytest.raises(InvalidInputError, match=r"'s2amsnet'.*S2AMSnetConfig.*CrossEntropyConfig"):
            TrainingPlan(method="s2amsnet", config=CONFIG, epochs=1, seed=0)


class TestReports:
    def test_every_epoch_is_reported_once_with_all_figures(self, make_source: Callable[..., SourceDomain]) -> None:
        sources = [make_source("first", 0), make_source("second", 1)]
        reports = reports_of(plan_of(epochs=3), sources)
        assert [report.epoch for report in reports] == [1, 2, 3]
        expected = {"val/oa", "val/aa", "val/kappa", "time/epoch_s", *PARTS_OF_AN_EPOCH, "time/checkpoint_s"}
        for pair in ("first", "second"):
            expected |= {f"val/{pair}/oa", f"val/{pair}/aa", f"val/{pair}/kappa", f"train/{pair}/ce"}
            expected.add(f"time/{pair}/trained_s")
        for report in reports:
            assert set(report.metrics) == expected
            assert all(type(value) is float and math.isfinite(value) for value in report.metrics.values())
            assert set(report.weights) == {"first", "second"}
            for name in ("oa", "aa", "kappa"):
                pairs = [report.metrics[f"val/{pair}/{name}"] for pair in ("first", "second")]
                assert report.metrics[f"val/{name}"] == pytest.approx(sum(pairs) / 2)
        assert "val/aa" in reports[0].metrics
        assert len({report.weights["first"] for report in reports}) == 3

    def test_where_every_pixel_trains_there_is_no_validation(self, tiny_source: SourceDomain) -> None:
        whole = replace(tiny_source, split=everything_split(tiny_source.scene, 5))
        (only,) = reports_of(plan_of(epochs=1), [whole])
        assert not any(name.startswith("val/") for name in only.metrics)
        assert any(name.startswith(f"train/{whole.pair_name}/") for name in only.metrics)
        assert set(only.weights) == {whole.pair_name}

    def test_the_network_learns(self, tiny_source: SourceDomain) -> None:
        reports = reports_of(plan_of(epochs=6), [tiny_source])
        losses = [report.metrics["train/tiny-pair/ce"] for report in reports]
        assert losses[-1] < 0.5 * losses[0]
        assert reports[-1].metrics["val/aa"] > 0.9

    def test_a_loss_is_the_mean_over_the_epoch_s_batches(
        self, tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        values = iter([1.0, 2.0, 6.0])
        monkeypatch.setattr(CrossEntropy, "training_step", lambda *_: {"ce": torch.tensor(next(values))})
        metrics = reports_of(plan_of(epochs=1), [tiny_source])[0].metrics  # 90 pixels, batches up to 40
        assert metrics["train/tiny-pair/ce"] == 3.0

    def test_the_seconds_of_an_epoch_are_reported_by_what_they_went_into(
        self, make_source: Callable[..., SourceDomain], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 0.0

        def taking(seconds: float, real: Callable[..., Any]) -> Callable[..., Any]:
            def slowed(*arguments: Any, **named: Any) -> Any:
                nonlocal now
                now += seconds
                return real(*arguments, **named)

            return slowed

        monkeypatch.setattr("sceneshift.training.loop.time.perf_counter", lambda: now)
        monkeypatch.setattr(CrossEntropy, "training_step", taking(1, CrossEntropy.training_step))
        monkeypatch.setattr(PairRun, "prepare_evaluation", taking(10, PairRun.prepare_evaluation))
        monkeypatch.setattr(PairRun, "validate", taking(100, PairRun.validate))
        folder = CheckpointFolder(str(tmp_path))
        monkeypatch.setattr(folder, "save", taking(1000, folder.save))
        sources = [make_source("first", 0), make_source("second", 1)]
        found = reports_of(plan_of(), sources, checkpoints=folder)[-1].metrics
        # Two pairs of three batches.
        assert [found[name] for name in PARTS_OF_AN_EPOCH] == [6, 20, 200]
        assert (found["time/epoch_s"], found["time/checkpoint_s"]) == (226, 1000)

    def test_weights_are_averaged_from_a_share_of_the_epochs_on(self, tiny_source: SourceDomain) -> None:
        run = PairRun(plan_of(epochs=4, average_from=0.5), [tiny_source], CPU)
        plain = PairRun(plan_of(epochs=4), [tiny_source], CPU)
        seen = []
        for epoch in range(1, 5):
            run.train_epoch(epoch)
            plain.train_epoch(epoch)
            # Averaging changes nothing of the training.
            assert_equal([p.detach() for p in run.method.classifier.parameters()], parameters(plain))
            seen.append(parameters(plain))
            if epoch <= 2:
                assert run.classifier is run.method.classifier
        for averaged, third, fourth in zip(parameters(run), seen[2], seen[3], strict=True):
            torch.testing.assert_close(averaged, (third + fourth) / 2)
        run.prepare_evaluation()
        assert weights_hash(run.classifier) != weights_hash(plain.classifier)

    def test_returned_runs_have_the_reported_weights_and_scores(self, tiny_source: SourceDomain) -> None:
        reports: list[EpochReport] = []
        (run,) = train(plan_of(), [tiny_source], report=reports.append)
        assert weights_hash(run.classifier) == reports[-1].weights["tiny-pair"]
        assert run.validate()["tiny-pair"].aa == reports[-1].metrics["val/tiny-pair/aa"]
        assert not run.classifier.training

    @pytest.mark.parametrize("plan", [plan_of(), replace(ADVERSARIAL_PLAN, epochs=1)], ids=lambda plan: plan.method)
    def test_twice_the_same_numbers(self, tiny_source: SourceDomain, plan: TrainingPlan) -> None:
        once, again = reports_of(plan, [tiny_source]), reports_of(plan, [tiny_source])
        assert [without_time(r) for r in once] == [without_time(r) for r in again]

    def test_another_seed_gives_another_run(self, tiny_source: SourceDomain) -> None:
        one, other = reports_of(plan_of(seed=0), [tiny_source]), reports_of(plan_of(seed=1), [tiny_source])
        assert one[0].weights != other[0].weights


class Cut(Exception):
    pass


def cut_after(epoch: int, kept: list[EpochReport]) -> Callable[[EpochReport], None]:
    def report(done: EpochReport) -> None:
        kept.append(done)
        if done.epoch == epoch:
            raise Cut

    return report


class TestCutAndResumed:
    @pytest.mark.parametrize(
        ("plan", "epoch"),
        [
            (plan_of(epochs=3), 1),
            (plan_of(epochs=3), 2),
            (replace(plan_of(epochs=3), evaluate_every=0), 2),
            (plan_of(epochs=4, average_from=0.25), 1),
            (plan_of(epochs=4, average_from=0.25), 3),
            (ADVERSARIAL_PLAN, 1),
            (FADING_PLAN, 1),
            (FADING_PLAN, 2),
        ],
        ids=[
            "cross_entropy-1",
            "cross_entropy-2",
            "evaluated-last-2",
            "before-averaging",
            "while-averaging",
            "s2amsnet-1",
            "s2vnet-1",
            "s2vnet-2",
        ],
    )
    def test_it_continues_as_if_it_had_not_been_cut(
        self, make_source: Callable[..., SourceDomain], tmp_path: Path, plan: TrainingPlan, epoch: int
    ) -> None:
        num_pairs = 2 if plan.method == "cross_entropy" else 1
        sources = [make_source(name, seed) for seed, name in enumerate(("first", "second"))][:num_pairs]
        whole = reports_of(plan, sources)
        kept: list[EpochReport] = []
        with pytest.raises(Cut):
            train(plan, sources, report=cut_after(epoch, kept), checkpoints=CheckpointFolder(str(tmp_path)))
        torch.manual_seed(99)  # another process has another global state
        resumed = reports_of(plan, sources, checkpoints=CheckpointFolder(str(tmp_path)))
        # The last complete epoch is reported again: an interrupted listener may have missed it.
        assert without_time(resumed[0]) == without_time(kept[-1])
        assert [without_time(r) for r in kept + resumed[1:]] == [without_time(r) for r in whole]

    def test_each_epoch_has_its_learning_rate_whether_it_was_cut_or_not(
        self, tiny_source: SourceDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rates: list[float] = []
        real = S2VNet.training_step

        def step(method: S2VNet, *batch: Tensor) -> dict[str, Tensor]:
            rates.extend(group["lr"] for group in method.optimizers()["network"].param_groups)
            return real(method, *batch)

        monkeypatch.setattr(S2VNet, "training_step", step)
        plan = replace(FADING_PLAN, epochs=6, evaluate_every=0)
        reports_of(plan, [tiny_source])
        whole, rates = rates, []
        # Three batches per epoch; of ten tenths, floor(10 / 6 of the epochs that are done) are over.
        falls = [0, 1, 3, 5, 6, 8]
        assert whole == pytest.approx([0.01 * 0.9**n for n in falls for _ in range(3)], rel=1e-12)
        folder = CheckpointFolder(str(tmp_path))
        with pytest.raises(Cut):
            train(plan, [tiny_source], report=cut_after(4, []), checkpoints=folder)
        assert rates == whole[:12]
        reports_of(plan, [tiny_source], checkpoints=folder)
        assert rates == whole

    def test_keeping_checkpoints_changes_nothing(self, tiny_source: SourceDomain, tmp_path: Path) -> None:
        kept = reports_of(plan_of(), [tiny_source], checkpoints=CheckpointFolder(str(tmp_path)))
        assert [r.weights for r in kept] == [r.weights for r in reports_of(plan_of(), [tiny_source])]

    def test_a_finished_run_is_reported_and_given_back_without_training(
        self, tiny_source: SourceDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = CheckpointFolder(str(tmp_path))
        first: list[EpochReport] = []
        (finished,) = train(plan_of(), [tiny_source], report=first.append, checkpoints=folder)
        monkeypatch.setattr(CrossEntropy, "training_step", lambda *_: pytest.fail("nothing is left to train"))
        second: list[EpochReport] = []
        (again,) = train(plan_of(), [tiny_source], report=second.append, checkpoints=folder)
        values = dict(first[-1].metrics)
        del values["time/checkpoint_s"]  # known only when the checkpoint is written
        assert second == [replace(first[-1], metrics=values)]
        assert weights_hash(again.classifier) == weights_hash(finished.classifier)
        assert again.validate()["tiny-pair"].confusion.tolist() == finished.validate()["tiny-pair"].confusion.tolist()

    def test_a_finished_run_is_given_back_ready_for_prediction(self, tiny_source: SourceDomain, tmp_path: Path) -> None:
        folder = CheckpointFolder(str(tmp_path))
        for _ in range(2):
            (run,) = train(plan_of(), [tiny_source], report=lambda _: None, checkpoints=folder)
        assert not run.classifier.training


class TestPairsBesideEachOther:
    def test_a_pair_s_result_does_not_depend_on_its_company(self, make_source: Callable[..., SourceDomain]) -> None:
        first, second = make_source("first", 0), make_source("second", 1)
        alone = reports_of(plan_of(), [first])[-1]
        for company in ([first, second], [second, first]):
            report = reports_of(plan_of(), company)[-1]
            assert report.weights["first"] == alone.weights["first"]
            for name in ("train/first/ce", "val/first/oa", "val/first/aa", "val/first/kappa"):
                assert report.metrics[name] == alone.metrics[name]

    def test_pairs_draw_by_their_names(self, make_source: Callable[..., SourceDomain]) -> None:
        sources = [make_source("first", 0), make_source("second", 0)]
        report = reports_of(plan_of(epochs=1, calibrate_bn=False), sources)[0]
        assert report.weights["first"] != report.weights["second"]


class TestDivergence:
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_it_stops_the_run_and_names_the_term(
        self, tiny_source: SourceDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
    ) -> None:
        steps = 0

        def step(*_: object) -> dict[str, Tensor]:
            nonlocal steps
            steps += 1  # three batches per epoch; one of the second epoch's goes wrong
            return {"ce": torch.tensor(value if steps == 5 else 1.0), "kl": torch.tensor(0.5)}

        monkeypatch.setattr(CrossEntropy, "training_step", step)
        reports: list[EpochReport] = []
        folder = CheckpointFolder(str(tmp_path))
        message = r"^training diverged in epoch 2: train/tiny-pair/ce not finite$"
        with pytest.raises(TrainingDiverged, match=message) as error:
            train(plan_of(epochs=3), [tiny_source], report=reports.append, checkpoints=folder)
        assert error.value.epoch == 2
        assert isinstance(error.value, SceneshiftError)
        assert [report.epoch for report in reports] == [1]
        assert folder.load_latest()[0] == 1  # nothing broken was kept


def record_steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    batches: list[tuple[Tensor, Tensor]] = []

    def step(_: object, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        batches.append((patches, labels))
        return {"ce": torch.zeros(())}

    monkeypatch.setattr(CrossEntropy, "training_step", step)
    return batches


class TestBatches:
    @pytest.mark.parametrize(("batch_size", "sizes"), [(40, [30, 30, 30]), (45, [45, 45]), (90, [90]), (256, [90])])
    def test_an_epoch_is_cut_into_equal_batches(
        self, tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch, batch_size: int, sizes: list[int]
    ) -> None:
        batches = record_steps(monkeypatch)
        PairRun(plan_of(batch_size=batch_size), [tiny_source], CPU).train_epoch(1)
        assert [len(labels) for _, labels in batches] == sizes

    def test_batches_that_do_not_divide_differ_by_one_at_most(
        self, tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batches = record_steps(monkeypatch)
        PairRun(plan_of(batch_size=12), [tiny_source], CPU).train_epoch(1)
        assert sorted(len(labels) for _, labels in batches) == [11] * 6 + [12] * 2

    def test_every_training_pixel_comes_once_an_epoch_with_its_label(
        self, tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batches = record_steps(monkeypatch)
        run = PairRun(plan_of(flips=True, noise_scale=0.0, normalization="none"), [tiny_source], CPU)
        seen = []
        for epoch in range(2):
            run.train_epoch(1)
            new = batches[3 * epoch :]
            seen.append([(*p[:, 2, 2].tolist(), int(y)) for ps, ys in new for p, y in zip(ps, ys, strict=True)])
        train_pixels = tiny_source.split.train
        spectra = tiny_source.scene.cube.reshape(-1, 8)[train_pixels].tolist()
        expected = sorted((*s, int(y)) for s, y in zip(spectra, tiny_source.labels_of(train_pixels), strict=True))
        assert sorted(seen[0]) == sorted(seen[1]) == expected
        assert seen[0] != seen[1]  # in another order
        assert seen[0] != expected

    def test_augmentation_is_scaled_by_the_data(
        self, tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def residuals(scale: float, noise_scale: float) -> Tensor:
            scene = replace(tiny_source.scene, cube=np.array(scale * tiny_source.scene.cube, dtype=np.float32))
            batches = record_steps(monkeypatch)
            config = {"flips": False, "noise_scale": noise_scale, "normalization": "none"}
            PairRun(plan_of(**config), [replace(tiny_source, scene=scene)], CPU).train_epoch(1)
            return torch.cat([patches for patches, _ in batches]) / scale

        plain, one, other = residuals(1.0, 0.0), residuals(1.0, 0.5), residuals(4.0, 0.5)
        torch.testing.assert_close(one, other)
        changed = (one != plain).flatten(1).any(dim=1)
        rms = tiny_source.scene.cube.std() ** 2 + tiny_source.scene.cube.mean() ** 2
        assert (one - plain)[changed].std().item() == pytest.approx(0.5 * rms**0.5, rel=0.05)


class TestHooks:
    def test_a_method_looks_once_at_the_training_pixels_as_its_patches_show_them(
        self, tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[Tensor, Tensor]] = []
        monkeypatch.setattr(CrossEntropy, "begin", lambda _, spectra, labels: seen.append((spectra, labels)))
        run = PairRun(plan_of(flips=False, noise_scale=0.0, normalization="none"), [tiny_source], CPU)
        batches = record_steps(monkeypatch)
        run.train_epoch(1)
        ((spectra, labels),) = seen
        pixels = tiny_source.split.train
        np.testing.assert_array_equal(spectra, tiny_source.scene.cube.reshape(-1, 8)[pixels])
        assert labels.tolist() == tiny_source.labels_of(pixels).tolist()
        assert (spectra.dtype, labels.dtype) == (torch.float32, torch.int64)
        shown = [(*p[:, 2, 2].tolist(), int(y)) for ps, ys in batches for p, y in zip(ps, ys, strict=True)]
        assert sorted(shown) == sorted((*s.tolist(), int(y)) for s, y in zip(spectra, labels, strict=True))

    def test_endmembers_start_at_the_training_pixels_means(self, tiny_source: SourceDomain) -> None:
        network = PairRun(FADING_PLAN, [tiny_source], CPU).classifier
        pixels = tiny_source.split.train
        cube = Normalization.fit("minmax-per-band", tiny_source.scene.cube).apply(tiny_source.scene.cube)
        spectra, labels = cube.reshape(-1, 8)[pixels], tiny_source.labels_of(pixels)
        means = np.stack([spectra[labels == k].mean(axis=0) for k in range(3)])
        np.testing.assert_allclose(network.endmembers.detach()[:8].T, means, rtol=1e-5)

    def test_an_epoch_begins_with_its_number_before_its_first_step(
        self, tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        received: list[Any] = []
        monkeypatch.setattr(CrossEntropy, "begin_epoch", lambda _, epoch, *, epochs: received.append((epoch, epochs)))
        real = CrossEntropy.training_step
        monkeypatch.setattr(CrossEntropy, "training_step", lambda *a: received.append("step") or real(*a))
        reports_of(plan_of(epochs=2), [tiny_source])
        assert received == [(1, 2), *["step"] * 3, (2, 2), *["step"] * 3]


def with_planted_validation(source: SourceDomain) -> SourceDomain:
    cube = np.array(source.scene.cube)
    cube.reshape(-1, cube.shape[2])[source.split.validation] = 1e3
    return replace(source, scene=replace(source.scene, cube=cube))


class TestEvaluation:
    @pytest.mark.parametrize("plan", [plan_of(), ADVERSARIAL_PLAN], ids=lambda plan: plan.method)
    def test_evaluating_more_or_less_often_does_not_shift_the_training(
        self, tiny_source: SourceDomain, plan: TrainingPlan
    ) -> None:
        weights = []
        for times in (0, 2):
            run = PairRun(plan, [tiny_source], CPU)
            for _ in range(2):
                run.train_epoch(1)
                for _ in range(times):
                    run.prepare_evaluation()
                    run.validate()
            run.prepare_evaluation()
            weights.append(weights_hash(run.classifier))
        assert weights[0] == weights[1]

    @pytest.mark.parametrize("calibrate", [True, False])
    @pytest.mark.parametrize("plan", [plan_of(epochs=3), FADING_PLAN], ids=lambda plan: plan.method)
    def test_weights_do_not_depend_on_the_interval_between_evaluations(
        self, tiny_source: SourceDomain, plan: TrainingPlan, calibrate: bool
    ) -> None:
        plan = replace(plan, config=replace(plan.config, calibrate_bn=calibrate))
        every_epoch = reports_of(plan, [tiny_source])
        for every in (0, 2):
            seldom = reports_of(replace(plan, evaluate_every=every), [tiny_source])
            assert seldom[-1].weights == every_epoch[-1].weights
            assert without_time(seldom[-1]).metrics == without_time(every_epoch[-1]).metrics
            for one, other in zip(seldom, every_epoch, strict=True):
                trained = {name for name in other.metrics if name.startswith("train/")}
                assert {name: one.metrics[name] for name in trained} == {n: other.metrics[n] for n in trained}

    @pytest.mark.parametrize(("every", "evaluated"), [(0, [3]), (1, [1, 2, 3]), (2, [2, 3])])
    def test_scores_are_reported_of_the_epochs_that_are_evaluated(
        self, tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch, every: int, evaluated: list[int]
    ) -> None:
        prepared: list[PairRun] = []
        real = PairRun.prepare_evaluation
        monkeypatch.setattr(PairRun, "prepare_evaluation", lambda run: prepared.append(run) or real(run))
        reports = reports_of(replace(plan_of(epochs=3), evaluate_every=every), [tiny_source])
        assert len(prepared) == len(evaluated)
        for report in reports:
            scores = {name for name in report.metrics if name.startswith("val/")}
            values = {f"val/{pair}{name}" for pair in ("", "tiny-pair/") for name in ("oa", "aa", "kappa")}
            assert scores == (values if report.epoch in evaluated else set())
            assert "train/tiny-pair/ce" in report.metrics
            assert set(PARTS_OF_AN_EPOCH) <= report.metrics.keys()

    def test_other_pixels_may_be_held_back_from_an_epoch_on(self, tiny_source: SourceDomain) -> None:
        scene = tiny_source.scene
        split = block_split(scene, patch_size=5, seed=8).thinned(scene, pixels_per_class=20)
        other = replace(tiny_source, split=split)
        switched, whole = (PairRun(plan_of(), [source], CPU) for source in (tiny_source, other))
        switched.hold_back([other])
        for run in (switched, whole):
            run.train_epoch(1)
            run.prepare_evaluation()
        assert_equal(parameters(switched), parameters(whole))
        assert switched.validate()["tiny-pair"].confusion.sum() == len(split.validation)

    @pytest.mark.parametrize("calibrate", [True, False])
    def test_statistics_are_re_estimated_where_the_configuration_says_so(
        self, tiny_source: SourceDomain, calibrate: bool
    ) -> None:
        run = PairRun(plan_of(calibrate_bn=calibrate), [tiny_source], CPU)
        run.train_epoch(1)
        before = parameters(run), weights_hash(run.classifier)
        run.prepare_evaluation()
        assert_equal(parameters(run), before[0])
        assert (weights_hash(run.classifier) != before[1]) is calibrate

    def test_statistics_are_of_unaugmented_training_patches(self, tiny_source: SourceDomain) -> None:
        run = PairRun(plan_of(noise_scale=5.0, batch_size=256), [tiny_source], CPU)
        run.prepare_evaluation()
        whole = PairRun(plan_of(noise_scale=0.0, batch_size=256), [tiny_source], CPU)
        whole.prepare_evaluation()
        assert weights_hash(run.classifier) == weights_hash(whole.classifier)

    @pytest.mark.parametrize(
        ("pixels", "batch_size", "sizes"),
        [
            (90, 256, {4, 5}),  # one pass in equal batches
            (90, 2, {2}),  # as many as the batches hold
            (7, 256, {2, 3}),  # several passes, so that no batch is a single patch
        ],
    )
    def test_statistics_are_averaged_over_twenty_batches_of_training_pixels(
        self,
        tiny_source: SourceDomain,
        monkeypatch: pytest.MonkeyPatch,
        pixels: int,
        batch_size: int,
        sizes: set[int],
    ) -> None:
        train = tiny_source.split.train
        train_pixels = train[np.linspace(0, len(train) - 1, pixels).astype(int)]  # of every class
        source = replace(tiny_source, split=replace(tiny_source.split, train=train_pixels))
        seen: list[list[Tensor]] = []
        monkeypatch.setattr(
            "sceneshift.training.pair_run.calibrate_batch_norm", lambda _, batches: seen.append(list(batches))
        )
        run = PairRun(plan_of(batch_size=batch_size, normalization="none"), [source], CPU)
        for _ in range(2):
            run.prepare_evaluation()
            run.train_epoch(1)  # draws that calibration must not depend on
        assert len(seen[0]) == 20
        assert {len(batch) for batch in seen[0]} == sizes
        assert_equal(seen[0], seen[1])
        spectra = torch.from_numpy(tiny_source.scene.cube.reshape(-1, 8)[train_pixels])
        centres = torch.cat(seen[0])[:, :, 2, 2]
        times = (centres[:, None] == spectra[None]).all(dim=2).sum(dim=0)
        assert times.sum() == len(centres)
        assert times.max() - times.min() <= 1
        assert times.max() == math.ceil(len(centres) / pixels)

    def test_neither_training_nor_statistics_see_a_validation_pixel(self, tiny_source: SourceDomain) -> None:
        assert tiny_source.split.separation(5).num_inside_training_patch == 0
        hashes, scores = [], []
        for source in (tiny_source, with_planted_validation(tiny_source)):
            run = PairRun(plan_of(noise_scale=0.0), [source], CPU)
            run.train_epoch(1)
            run.prepare_evaluation()
            hashes.append(weights_hash(run.classifier))
            scores.append(run.validate()["tiny-pair"].confusion.tolist())
        assert hashes[0] == hashes[1]
        assert scores[0] != scores[1]  # the planted pixels were looked at in validation, and there alone

    def test_scores_count_the_validation_pixels_and_no_others(self, tiny_source: SourceDomain) -> None:
        run = PairRun(plan_of(), [tiny_source], CPU)
        counts = run.validate()["tiny-pair"].confusion.sum(axis=1)
        validation = tiny_source.labels_of(tiny_source.split.validation)
        assert counts.tolist() == np.bincount(validation, minlength=3).tolist()
        assert counts.sum() == len(tiny_source.split.validation)

    def test_a_class_that_is_not_scored_does_not_weigh_in_the_average(self, tiny_source: SourceDomain) -> None:
        split = tiny_source.split
        kept = split.validation[tiny_source.labels_of(split.validation) != 2]
        partial: Split = replace(split, validation=kept, scored_classes=(0, 1))
        run = PairRun(plan_of(), [replace(tiny_source, split=partial)], CPU)
        metrics = run_epoch([run], 1)
        scores = run.validate()["tiny-pair"]
        assert scores.confusion[2].sum() == 0
        assert scores.confusion.shape == (3, 3)
        assert metrics["val/tiny-pair/aa"] == pytest.approx((scores.recall[0] + scores.recall[1]) / 2)


class TestNormalization:
    def test_configurations_that_differ_in_it_alone_come_to_other_weights(self, tiny_source: SourceDomain) -> None:
        weights = {name: reports_of(plan_of(normalization=name), [tiny_source])[-1].weights for name in NORMALIZATIONS}
        assert len({by_pair["tiny-pair"] for by_pair in weights.values()}) == len(NORMALIZATIONS)

    @pytest.mark.parametrize("name", NORMALIZATIONS)
    def test_it_is_fitted_on_the_source(self, tiny_source: SourceDomain, name: str) -> None:
        run = PairRun(plan_of(normalization=name), [tiny_source], CPU)
        assert run.normalization.as_dict() == Normalization.fit(name, tiny_source.scene.cube).as_dict()

    @pytest.mark.parametrize("name", NORMALIZATIONS)
    def test_training_and_validation_see_the_normalized_cube(
        self, tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        batches = record_steps(monkeypatch)
        run = PairRun(plan_of(normalization=name, noise_scale=0.0, flips=False), [tiny_source], CPU)
        run.train_epoch(1)
        seen: list[Tensor] = []

        def predict(classifier: nn.Module, sampler: PatchSampler, pixels: NDArray[np.int64], **kwargs: Any) -> Any:
            seen.append(sampler.patches(torch.from_numpy(np.array(pixels))))
            return predict_pixels(classifier, sampler, pixels, **kwargs)

        monkeypatch.setattr("sceneshift.training.pair_run.predict_pixels", predict)
        run.validate()
        spectra = run.normalization.apply(tiny_source.scene.cube).reshape(-1, 8)
        trained = torch.cat([patches for patches, _ in batches])[:, :, 2, 2]
        assert sorted(trained.tolist()) == sorted(spectra[tiny_source.split.train].tolist())
        validated = torch.cat(seen)[:, :, 2, 2]
        assert torch.equal(validated, torch.from_numpy(spectra[tiny_source.split.validation]))

    def test_noise_is_a_multiple_of_the_normalized_cubes_rms(
        self, tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batches = record_steps(monkeypatch)
        loud = {"normalization": "standardize-per-band", "flips": False}
        for noise_scale in (0.0, 0.5):
            PairRun(plan_of(noise_scale=noise_scale, **loud), [tiny_source], CPU).train_epoch(1)
        plain, noisy = (torch.cat([p for p, _ in part]) for part in (batches[:3], batches[3:]))
        changed = (noisy != plain).flatten(1).any(dim=1)
        # The rms is 1. Beside the noise, patches are stretched by up to a tenth.
        assert (noisy - plain)[changed].std().item() == pytest.approx(0.5, rel=0.05)


class TestWhatCannotBeTrained:
    def test_no_source_or_one_pair_twice_is_refused(self, tiny_source: SourceDomain) -> None:
        for sources in ([], [tiny_source, tiny_source]):
            with pytest.raises(InvalidInputError, match="at least one"):
                reports_of(plan_of(), sources)

    def test_checkpoints_of_a_longer_training_are_refused(self, tiny_source: SourceDomain, tmp_path: Path) -> None:
        reports_of(plan_of(epochs=2), [tiny_source], checkpoints=CheckpointFolder(str(tmp_path)))
        with pytest.raises(StudyError, match=r"epoch 2.*1 epochs"):
            reports_of(plan_of(epochs=1), [tiny_source], checkpoints=CheckpointFolder(str(tmp_path)))

    def test_checkpoints_of_other_pairs_are_refused(
        self, make_source: Callable[..., SourceDomain], tmp_path: Path
    ) -> None:
        reports_of(plan_of(epochs=1), [make_source("one")], checkpoints=CheckpointFolder(str(tmp_path)))
        with pytest.raises(StudyError, match=r"\['one'\]"):
            reports_of(plan_of(epochs=2), [make_source("other")], checkpoints=CheckpointFolder(str(tmp_path)))

    def test_divergence_crosses_a_process(self) -> None:
        error = pickle.loads(pickle.dumps(TrainingDiverged(3, ["ce", "kl"])))
        assert type(error) is TrainingDiverged
        assert error.epoch == 3
        assert ": ce, kl " in str(error)

    def test_a_patch_larger_than_the_splits_is_refused(self, tiny_source: SourceDomain) -> None:
        assert tiny_source.split.patch_size == 5
        with pytest.raises(InvalidInputError, match=r"patch_size = 7.*up to 5"):
            PairRun(plan_of(patch_size=7), [tiny_source], CPU)
