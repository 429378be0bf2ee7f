"""What a training records, that it changes nothing, and that no label of the target gets in."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.methods.cross_entropy import CrossEntropyConfig
from sceneshift.methods.spectral import PenaltyConfig
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scenes.scene import Scene
from sceneshift.scores import Scores
from sceneshift.simulation.shift_bank import SHIFT_NAMES, ShiftBank
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import everything_split
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.data import DataSpec
from sceneshift.training.epoch_record import RecordFolder, TrialOutputs
from sceneshift.training.loop import EpochReport, train
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.recording import feature_projection, stratified_positions
from sceneshift.training.target_pixels import TARGET_PIXELS, TargetPixels

CONFIG = CrossEntropyConfig(patch_size=5, batch_size=40, width=8, lr=0.01)
PLAN = TrainingPlan(method="cross_entropy", config=CONFIG, epochs=2, seed=0, record=True)


def trained(
    plan: TrainingPlan, source: SourceDomain, folder: Path, **arguments: Any
) -> tuple[PairRun, list[EpochReport], TrialOutputs]:
    reports: list[EpochReport] = []
    checkpoints = CheckpointFolder(str(folder))
    (run,) = train(plan, [source], report=reports.append, checkpoints=checkpoints, **arguments)
    return run, reports, RecordFolder(str(folder)).read()


def target_of(scene: Scene, pair_name: str = "tiny-pair") -> TargetPixels:
    elsewhere = replace(scene, name="elsewhere", footprint=None).without_labels()
    pair = ScenePair(name=pair_name, sources=(scene,), target=elsewhere)
    return TargetPixels.draw(pair)


def logits_of(run: PairRun, cube: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """What the classifier answers, patch by patch."""
    sampler = PatchSampler(run.normalization.apply(cube), patch_size=CONFIG.patch_size, device="cpu")
    with torch.inference_mode():
        return run.classifier.eval()(sampler.patches(torch.from_numpy(pixels))).numpy()


def without_time(report: EpochReport) -> EpochReport:
    return replace(report, metrics={k: v for k, v in report.metrics.items() if not k.startswith("time/")})


class TestWhatIsRecorded:
    def test_the_last_epoch_s_record_is_what_the_network_answers(self, tiny_source, make_scene, tmp_path):
        target = target_of(make_scene(5, name="other"))
        plan = replace(PLAN, target_access="unlabelled")
        run, reports, outputs = trained(plan, tiny_source, tmp_path, targets=[target])
        header, last = outputs.headers["tiny-pair"], outputs.records[-1]
        assert [(r.epoch, r.is_average) for r in outputs.records] == [(1, False), (2, False)]
        assert header.num_classes == 3
        assert header.seed == PLAN.seed
        assert header.shifts == SHIFT_NAMES
        np.testing.assert_array_equal(header.validation_pixels, tiny_source.split.validation)
        np.testing.assert_array_equal(header.validation_labels, tiny_source.labels_of(tiny_source.split.validation))
        cube, pixels = tiny_source.scene.cube, header.validation_pixels
        expected = logits_of(run, cube, pixels)
        np.testing.assert_allclose(last.validation.logits, expected, atol=0.02, rtol=2e-3)
        np.testing.assert_allclose(
            last.target.logits, logits_of(run, target.scene.cube, target.pixels), atol=0.02, rtol=2e-3
        )
        assert last.shifted.shape == (len(SHIFT_NAMES), len(pixels), 3)
        spectra = cube.reshape(-1, cube.shape[2])
        for name in ("haze", "band gains", "red light"):  # without draws of their own for each place
            moved = ShiftBank.of_scene(tiny_source.scene).apply(name, spectra).reshape(cube.shape)
            found = last.shifted[SHIFT_NAMES.index(name)]
            np.testing.assert_allclose(found, logits_of(run, moved, pixels), atol=0.02, rtol=2e-3)
            assert np.abs(found - last.validation.logits).max() > 0.02
        scores = Scores.from_labels(header.validation_labels, last.validation.logits.argmax(axis=1), num_classes=3)
        assert scores.aa == pytest.approx(reports[-1].metrics["val/aa"], abs=0.02)

    def test_features_are_the_input_of_the_final_layer(self, tiny_source, tmp_path):
        run, _, outputs = trained(PLAN, tiny_source, tmp_path)
        validation = outputs.records[-1].validation
        layer = run.classifier.head[-1]
        assert validation.features.shape == (len(tiny_source.split.validation), 8)
        again = validation.features.astype(np.float32) @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        np.testing.assert_allclose(again, validation.logits, atol=0.05)

    def test_many_features_are_projected_and_the_header_says_how(self, tiny_source, tmp_path):
        wide = replace(PLAN, config=replace(CONFIG, width=40))
        _, _, outputs = trained(wide, tiny_source, tmp_path)
        header, validation = outputs.headers["tiny-pair"], outputs.records[-1].validation
        assert header.projection.shape == (40, 32)
        assert validation.features.shape == (len(header.validation_pixels), 32)
        np.testing.assert_array_equal(header.projection, feature_projection(40))

    def test_a_spectral_floor_leaves_logits_without_features(self, tiny_source, tmp_path):
        plan = TrainingPlan(
            method="logistic_regression", config=PenaltyConfig(patch_size=5), epochs=1, seed=0, record=True
        )
        _, _, outputs = trained(plan, tiny_source, tmp_path)
        (only,) = outputs.records
        assert only.validation.logits.dtype == np.float16
        assert np.isfinite(only.validation.logits).all()
        assert only.validation.features is None
        assert outputs.headers["tiny-pair"].num_features is None

    def test_only_evaluated_epochs_are_recorded(self, tiny_source, tmp_path):
        _, reports, outputs = trained(replace(PLAN, epochs=5, evaluate_every=2), tiny_source, tmp_path)
        assert [record.epoch for record in outputs.records] == [2, 4, 5]
        assert ["time/recording_s" in report.metrics for report in reports] == [False, True, False, True, True]
        assert ["time/writing_s" in report.metrics for report in reports] == [False, True, False, True, True]

    def test_a_training_of_all_pixels_records_the_target_alone_or_nothing(self, tiny_source, make_scene, tmp_path):
        whole = replace(tiny_source, split=everything_split(tiny_source.scene, 5))
        with pytest.raises(StudyError, match="recorded"):
            trained(PLAN, whole, tmp_path / "nothing")
        plan = replace(PLAN, target_access="unlabelled")
        _, _, outputs = trained(plan, whole, tmp_path / "target", targets=[target_of(make_scene(5))])
        assert outputs.records[-1].shifted is None
        assert outputs.records[-1].validation.logits.shape == (0, 3)
        assert outputs.records[-1].target.logits.shape == (TARGET_PIXELS, 3)


class TestTheTraining:
    @pytest.mark.parametrize("average_from", [1.0, 0.5])
    def test_it_is_the_same_as_without_a_record(self, tiny_source, tmp_path, average_from):
        plan = replace(PLAN, epochs=3, config=replace(CONFIG, average_from=average_from))
        _, recorded, _ = trained(plan, tiny_source, tmp_path)
        plain: list[EpochReport] = []
        train(replace(plan, record=False), [tiny_source], report=plain.append)
        assert [without_time(report) for report in recorded] == [without_time(report) for report in plain]

    @pytest.mark.parametrize("cut", ["after the checkpoint", "before the checkpoint"])
    def test_one_that_is_cut_and_resumed_leaves_the_same_record(
        self, tiny_source, make_scene, tmp_path, monkeypatch, cut
    ):
        plan = replace(PLAN, epochs=7, target_access="unlabelled", config=replace(CONFIG, lr=1e-9))
        arguments = {"targets": [target_of(make_scene(5))]}
        trained(plan, tiny_source, tmp_path / "whole", **arguments)

        class Cut(Exception):
            pass

        def stopping(*given: Any, **named: Any) -> None:
            if given[0].epoch == 5 if cut == "after the checkpoint" else given[1] == 5:
                raise Cut
            if cut == "before the checkpoint":
                save(*given, **named)

        folder, save = CheckpointFolder(str(tmp_path / "cut")), CheckpointFolder.save
        report = stopping if cut == "after the checkpoint" else lambda _: None
        if cut == "before the checkpoint":
            monkeypatch.setattr(CheckpointFolder, "save", stopping)
        with pytest.raises(Cut):
            train(plan, [tiny_source], report=report, checkpoints=folder, **arguments)
        monkeypatch.undo()
        trained(plan, tiny_source, tmp_path / "cut", **arguments)
        ends = [(tmp_path / name / "record" / "epochs.parquet").read_bytes() for name in ("whole", "cut")]
        assert ends[0] == ends[1]
        records = RecordFolder(str(tmp_path / "cut")).read().records
        # A rate of nothing leaves validation flat: the average begins after the fourth evaluation.
        assert [r.epoch for r in records if not r.is_average] == [1, 2, 3, 4, 5, 6, 7]
        assert [r.epoch for r in records if r.is_average] == [5, 6, 7]

    def test_one_that_was_not_recorded_can_not_be_resumed_with_a_record(self, tiny_source, tmp_path):
        folder = CheckpointFolder(str(tmp_path))
        train(replace(PLAN, record=False), [tiny_source], report=lambda _: None, checkpoints=folder)
        with pytest.raises(StudyError, match="recorded"):
            trained(replace(PLAN, epochs=3), tiny_source, tmp_path)

    def test_a_record_of_other_pixels_is_not_continued(self, tiny_source, make_source, tmp_path):
        trained(PLAN, tiny_source, tmp_path)
        other = make_source()
        thinned = replace(
            other.split, validation=other.split.validation[::2], scored_classes=other.split.scored_classes
        )
        with pytest.raises(StudyError, match="pixels"):
            trained(replace(PLAN, epochs=3), replace(other, split=thinned), tmp_path)

    def test_a_record_needs_a_place(self, tiny_source):
        with pytest.raises(InvalidInputError, match="without checkpoints"):
            train(PLAN, [tiny_source], report=lambda _: None)


class TestTheTarget:
    def test_its_labels_change_no_recorded_byte(self, unit_catalogue: Callable[..., str], tmp_path):
        catalogue = unit_catalogue()
        stored, rng = tmp_path / "two.arrow", np.random.default_rng(0)

        def recorded(name: str) -> bytes:
            data = DataSpec(pairs=("one-two",), catalogue=catalogue, patch_size=5, pixels_per_class=10).load()
            plan = replace(PLAN, target_access="unlabelled", epochs=1)
            trained(plan, data.sources[0], tmp_path / name, targets=data.target_pixels(plan.target_access))
            return (tmp_path / name / "record" / "epochs.parquet").read_bytes()

        before = recorded("before")
        target = open_scene(str(stored))
        labels = rng.permutation(target.labels.ravel()).reshape(target.shape)
        assert (labels != target.labels).any()
        moved = replace(target, cube=np.array(target.cube), labels=labels)
        stored.unlink()
        write_scene(moved, stored)
        assert recorded("after") == before
        assert len(RecordFolder(str(tmp_path / "after")).read().records[0].target.logits) == TARGET_PIXELS

    def test_a_scene_with_labels_is_refused(self, tiny_scene):
        with pytest.raises(InvalidInputError, match="without_labels"):
            TargetPixels(pair_name="a-b", scene=tiny_scene, pixels=np.arange(3))

    @pytest.mark.parametrize("pixels", [[3, 3], [2, 1], [-1, 4], [0, 1200]])
    def test_pixels_are_distinct_and_inside(self, tiny_scene, pixels):
        with pytest.raises(InvalidInputError, match=r"within 0\.\.1199"):
            TargetPixels(pair_name="a-b", scene=tiny_scene.without_labels(), pixels=np.array(pixels))

    def test_nothing_of_it_is_handed_over_unless_that_is_allowed(self, tiny_source, make_scene, tmp_path):
        target = target_of(make_scene(5))
        with pytest.raises(InvalidInputError, match="'none'"):
            trained(PLAN, tiny_source, tmp_path, targets=[target])
        with pytest.raises(InvalidInputError, match="tiny-pair"):
            trained(replace(PLAN, target_access="unlabelled"), tiny_source, tmp_path)
        data = DataSpec(pairs=("sw-se",)).load()
        assert data.target_pixels("none") == ()
        (allowed,) = data.target_pixels("unlabelled")
        assert len(allowed.pixels) == TARGET_PIXELS
        assert not isinstance(allowed.scene, Scene)

    def test_pixels_without_a_measurement_are_not_drawn(self, tiny_scene):
        cube = np.array(tiny_scene.cube)
        cube[:20] = 0
        drawn = target_of(replace(tiny_scene, cube=cube)).pixels
        np.testing.assert_array_equal(drawn, np.arange(600, 1200))

    def test_within_one_scene_pixels_that_train_are_left_out(self, tiny_scene, as_scene_pair):
        pair = as_scene_pair(tiny_scene)
        drawn = TargetPixels.draw(pair).pixels
        assert len(drawn) == 1200 - len(pair.test_split.train) < TARGET_PIXELS
        assert np.intersect1d(drawn, pair.test_split.train).size == 0


class TestDraws:
    def test_each_class_has_as_many_as_there_are(self):
        labels = np.repeat([0, 1, 2, 3], [5, 1000, 300, 90])
        rows = stratified_positions(labels, 400, pair="a-b")
        assert np.bincount(labels[rows]).tolist() == [5, 153, 152, 90]
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(rows, stratified_positions(labels, 400, pair="a-b"))
        assert (rows != stratified_positions(labels, 400, pair="b-a")).any()

    def test_few_pixels_are_taken_whole(self):
        np.testing.assert_array_equal(stratified_positions(np.zeros(512), 512, pair=""), np.arange(512))
        assert stratified_positions(np.empty(0, np.int64), 512, pair="").shape == (0,)

    def test_a_projection_is_orthonormal_and_fixed(self):
        projection = feature_projection(128)
        assert projection.dtype == np.float32
        np.testing.assert_allclose(projection.T @ projection, np.eye(32), atol=1e-6)
        np.testing.assert_array_equal(projection, feature_projection(128))
        assert feature_projection(32) is None


class TestPlan:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"target_access": "labels"}, "target_access = 'labels'"),
            ({"record": False, "target_access": "unlabelled"}, "record = True"),
            ({"compile": True}, r"record = True.*compile = True"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, changes, message):
        with pytest.raises(InvalidInputError, match=message):
            replace(PLAN, **changes)


def test_normalization_of_the_record_is_the_training_s(tiny_source):
    plan = replace(PLAN, config=replace(CONFIG, normalization="minmax-per-band"))
    run = PairRun(plan, [tiny_source], torch.device("cpu"))
    expected = Normalization.fit("minmax-per-band", tiny_source.scene.cube).apply(tiny_source.scene.cube)
    ((patches, (plain, *_)),) = run.recorder._shifted_patches()
    np.testing.assert_array_equal(plain.numpy(), expected.reshape(-1, 8)[patches.places])
