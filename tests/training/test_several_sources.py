"""Training on a pair of several sources: batches, scores, records, resuming, and methods that take sources apart."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.methods import registry
from sceneshift.methods.cross_entropy import CrossEntropy
from sceneshift.methods.group_dro import GroupDRO
from sceneshift.methods.method import DiscriminatorConfig, DomainBatch, Method, MethodConfig
from sceneshift.methods.one_network import NetworkOverDomains
from sceneshift.methods.registry import find_method
from sceneshift.networks.shared_batch import Share
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scenes.scene import Scene
from sceneshift.splits.blocks import block_split
from sceneshift.splits.source import SourceDomain, by_pair, joined_hash, joined_pixels
from sceneshift.training.batches import SourceBatches, steps_of_epoch
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.epoch_record import RecordFolder
from sceneshift.training.evaluation import predict_pixels
from sceneshift.training.loop import EpochReport, run_epoch, train
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.workers import Workers

CPU = torch.device("cpu")
PAIR = "a+b-c"


@pytest.fixture(scope="module")
def sources(make_scene: Callable[..., Scene]) -> list[SourceDomain]:
    """Two sources of different sizes: 30 and 20 training pixels per class."""
    whole = make_scene(0, name="a")
    part = make_scene(0, name="b")
    part = replace(part, cube=part.cube[:, :21] + np.float32(0.1), labels=part.labels[:, :21], footprint=None)
    found = []
    for scene, pixels in ((whole, 30), (part, 20)):
        split = block_split(scene, patch_size=5, seed=3).thinned(scene, pixels_per_class=pixels)
        found.append(SourceDomain(pair_name=PAIR, scene=scene, split=split, part=scene.name))
    return found


def batches_of(
    sources: Sequence[SourceDomain], config: MethodConfig, *, apart: bool = False, seed: int = 0
) -> SourceBatches:
    return SourceBatches(
        sources,
        [source.scene.cube for source in sources],
        config=config,
        at_once=False,
        apart=apart,
        draws=torch.Generator().manual_seed(seed),
        device=CPU,
        workers=Workers(),
    )


class WorstDomain(NetworkOverDomains):
    """Descends on the loss of the source that has the largest: what a step needs to see the sources apart for."""

    name = "worst_domain"
    config_type = DiscriminatorConfig
    published_epochs = 2
    seen: list[list[tuple[int, ...]]] = []  # noqa: RUF012

    @classmethod
    def build_classifier(cls, config: DiscriminatorConfig, *, bands: int, classes: int) -> nn.Module:
        return CrossEntropy.build_classifier(config, bands=bands, classes=classes)

    def domain_losses(self, domains: Sequence[DomainBatch]) -> dict[str, Tensor]:
        self.seen.append([tuple(domain.patches.shape) for domain in domains])
        losses = [functional.cross_entropy(self.network(patches), labels) for patches, labels in domains]
        return {"worst": torch.stack(losses).max()}


@pytest.fixture
def worst_domain(monkeypatch: pytest.MonkeyPatch) -> type[Method]:
    monkeypatch.setitem(registry._CLASSES, "worst_domain", ("cross_entropy", "WorstDomain"))
    monkeypatch.setattr("sceneshift.methods.cross_entropy.WorstDomain", WorstDomain, raising=False)
    monkeypatch.setattr(WorstDomain, "seen", [])
    return WorstDomain


def plan_of(method: str = "cross_entropy", **changes: object) -> TrainingPlan:
    config = find_method(method).config_type(patch_size=5, batch_size=24, width=8)  # type: ignore[call-arg]
    values = {"method": method, "config": config, "epochs": 2, "seed": 1}
    return TrainingPlan(**{**values, **changes})  # type: ignore[arg-type]


def without_time(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("time/")}


def test_of_one_source_batches_are_bit_for_bit_those_of_its_own_scene(tiny_source: SourceDomain) -> None:
    """Computed here by themselves: one permutation, equal parts, patches of the scene, flips and noise of its rms."""
    config = MethodConfig(patch_size=5, batch_size=40)
    batches = list(batches_of([tiny_source], config, seed=7).of_an_epoch())
    draws = torch.Generator().manual_seed(7)
    sampler = PatchSampler(tiny_source.scene.cube, patch_size=5, device=CPU)
    pixels = torch.from_numpy(np.array(tiny_source.split.train))
    labels = torch.from_numpy(tiny_source.labels_of(tiny_source.split.train))
    from sceneshift.methods.augmentations import Draws

    parts = torch.randperm(90, generator=draws).tensor_split(3)
    assert len(batches) == len(parts)
    for batch, chosen in zip(batches, parts, strict=True):
        patches = sampler.patches(pixels[chosen])
        for change in config.augmentations(rms=sampler.rms):
            patches = change(patches, Draws(generator=draws, batch=30))
        assert torch.equal(batch.patches, patches)
        assert torch.equal(batch.labels, labels[chosen])


def test_pixels_of_all_sources_are_mixed_in_a_batch(sources: list[SourceDomain]) -> None:
    config = MethodConfig(patch_size=5, batch_size=150, flips=False, noise_scale=0.0)
    (batch,) = batches_of(sources, config).of_an_epoch()
    spectra = [source.scene.cube.reshape(-1, 8)[source.split.train] for source in sources]
    expected = np.concatenate(spectra)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_array_equal(batch.patches[:, :, 2, 2].numpy(), expected[order])
    labels = np.concatenate([source.labels_of(source.split.train) for source in sources])
    np.testing.assert_array_equal(batch.labels.numpy(), labels[order])
    assert batch.share is None or isinstance(batch.share, Share)


def test_each_source_has_a_batch_of_the_same_size(sources: list[SourceDomain]) -> None:
    config = MethodConfig(patch_size=5, batch_size=24, flips=False, noise_scale=0.0)
    steps = list(batches_of(sources, config, apart=True).domains_of_an_epoch())
    # 90 pixels of the larger source, 12 a step: 8 steps of 12.
    assert len(steps) == steps_of_epoch([90, 60], MethodConfig(batch_size=24), apart=True) == 8
    assert {tuple(len(domain.labels) for domain in step) for step in steps} == {(12, 12)}
    for number, source in enumerate(sources):
        own = {row.tobytes() for row in source.scene.cube.reshape(-1, 8)[source.split.train]}
        shown = np.concatenate([step[number].patches[:, :, 2, 2].numpy() for step in steps])
        # Every pixel is shown, and no other.
        assert {row.tobytes() for row in shown} == own


def test_a_batch_without_room_for_two_patches_of_each_source_is_rejected(
    sources: list[SourceDomain], worst_domain: type[Method]
) -> None:
    with pytest.raises(InvalidInputError, match="batch_size = 3 for 2 sources"):
        PairRun(plan_of("worst_domain", config=DiscriminatorConfig(patch_size=5, batch_size=3, width=8)), sources, CPU)


@pytest.mark.parametrize("name", registry.METHODS)
def test_every_method_trains_an_epoch_on_two_sources(name: str, sources: list[SourceDomain]) -> None:
    method = find_method(name)
    small = {"patch_size": 5, "batch_size": 24, "width": 8, "generator_channels": 6}
    known = set(method.config_type.__dataclass_fields__) - method.config_type.without_effect
    config = method.config_type.from_mapping({key: value for key, value in small.items() if key in known})
    run = PairRun(TrainingPlan(method=name, config=config, epochs=1, seed=0), sources, CPU)
    metrics = run_epoch([run], 1)
    each = [metrics[f"val/{PAIR}/{part}/aa"] for part in ("a", "b")]
    assert metrics["val/aa"] == metrics[f"val/{PAIR}/aa"] == pytest.approx(np.mean(each))
    assert all(np.isfinite(value) for value in metrics.values())


def test_each_source_is_scored_on_its_own_validation_pixels(sources: list[SourceDomain]) -> None:
    run = PairRun(plan_of(), sources, CPU)
    run.train_epoch(1)
    run.prepare_evaluation()
    scores = run.validate()
    assert list(scores) == [f"{PAIR}/a", f"{PAIR}/b"]
    for source in sources:
        sampler = PatchSampler(run.normalization.apply(source.scene.cube), patch_size=5, device=CPU)
        predicted = predict_pixels(run.classifier, sampler, source.split.validation)
        truth = source.labels_of(source.split.validation)
        assert scores[source.key].oa == pytest.approx((predicted == truth).mean())


def test_a_method_that_takes_sources_apart_is_given_them_apart_and_learns(
    sources: list[SourceDomain], worst_domain: type[Method]
) -> None:
    reports: list[EpochReport] = []
    train(plan_of("worst_domain", epochs=3), sources, report=reports.append)
    assert set(map(tuple, worst_domain.seen)) == {((12, 8, 5, 5), (12, 8, 5, 5))}
    worst = [report.metrics[f"train/{PAIR}/worst"] for report in reports]
    assert worst[-1] < worst[0]
    of_one = PairRun(plan_of("worst_domain"), sources[:1], CPU)
    assert np.isfinite(of_one.train_epoch(1)["worst"])
    with pytest.raises(InvalidInputError, match="'worst_domain'"):
        plan_of("worst_domain").check_workers(2)


@pytest.mark.parametrize("name", ["deep_coral", "group_dro"])
def test_a_method_that_compares_sources_is_given_each_and_refuses_a_single_one(
    name: str, sources: list[SourceDomain]
) -> None:
    run = PairRun(plan_of(name), sources, CPU)
    first, *_, last = [run.train_epoch(epoch) for epoch in (1, 2, 3)]
    term = "ce" if name == "deep_coral" else "weighted_ce"
    assert last[term] < first[term]
    with pytest.raises(InvalidInputError, match=re.escape(PAIR)):
        PairRun(plan_of(name), sources[:1], CPU)
    with pytest.raises(InvalidInputError, match=f"method '{name}' compares sources"):
        plan_of(name).check_sources(PAIR, 1)


def test_group_dro_s_weights_are_of_the_pair_s_sources(sources: list[SourceDomain]) -> None:
    run = PairRun(plan_of("group_dro"), sources, CPU)
    run.train_epoch(1)
    assert isinstance(run.method, GroupDRO)
    assert run.method.weights is not None
    assert run.method.weights.shape == (2,)


def test_a_method_can_not_take_sources_apart_and_share_a_batch() -> None:
    with pytest.raises(TypeError, match="takes_domains"):
        type("Both", (WorstDomain,), {"shardable": True})


@pytest.mark.parametrize("name", ["cross_entropy", "worst_domain", "deep_coral", "group_dro"])
def test_an_interrupted_training_is_resumed_bit_for_bit(
    name: str, sources: list[SourceDomain], worst_domain: type[Method], tmp_path: Path
) -> None:
    def stop(report: EpochReport) -> None:
        raise KeyboardInterrupt

    whole: list[EpochReport] = []
    train(plan_of(name), sources, report=whole.append)
    folder, resumed = CheckpointFolder(str(tmp_path)), list[EpochReport]()
    with pytest.raises(KeyboardInterrupt):
        train(plan_of(name), sources, report=stop, checkpoints=folder)
    train(plan_of(name), sources, report=resumed.append, checkpoints=folder)
    assert [without_time(r.metrics) for r in resumed] == [without_time(r.metrics) for r in whole]
    assert [r.weights for r in resumed] == [r.weights for r in whole]


def test_an_epoch_s_record_has_pixels_of_every_source(sources: list[SourceDomain], tmp_path: Path) -> None:
    plan = plan_of(record=True)
    (run,) = train(plan, sources, report=lambda _: None, checkpoints=CheckpointFolder(str(tmp_path)))
    headers = RecordFolder(str(tmp_path)).headers()
    assert headers is not None
    header = headers[PAIR]
    labels = np.concatenate([source.scene.labels.ravel() for source in sources])
    np.testing.assert_array_equal(labels[header.validation_pixels] - 1, header.validation_labels)
    assert header.validation_pixels[-1] >= sources[0].scene.labels.size > header.validation_pixels[0]
    assert run.recorder is not None
    run.recorder.record(run.classifier, 2)
    run.validate()
    run.recorder.record(run.classifier, 2, taken=run._taken)
    by_patches, in_passing = run.recorder.pending
    np.testing.assert_allclose(
        by_patches.validation.logits.astype(float), in_passing.validation.logits.astype(float), atol=2e-2
    )


def test_sources_are_grouped_by_pair(sources: list[SourceDomain], tiny_source: SourceDomain) -> None:
    grouped = by_pair([*sources, tiny_source])
    assert {name: len(of_pair) for name, of_pair in grouped.items()} == {PAIR: 2, "tiny-pair": 1}
    size = sources[0].scene.labels.size
    first = sources[0].split.train
    np.testing.assert_array_equal(
        joined_pixels(sources, lambda source: source.split.train), [*first, *(size + sources[1].split.train)]
    )
    assert joined_hash(["ab"]) == "ab"
    assert len(joined_hash(["ab", "cd"])) == 16
    with pytest.raises(InvalidInputError, match="each once"):
        train(plan_of(), [tiny_source, tiny_source], report=lambda _: None)
