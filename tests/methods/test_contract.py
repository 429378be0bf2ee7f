"""What every registered method must do, whatever it is: a method added to METHODS is tested here at once."""

import copy
import io
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, asdict, fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.methods.method import Method, MethodConfig
from sceneshift.methods.one_network import OneNetwork
from sceneshift.methods.registry import METHODS, find_method
from sceneshift.networks.final_layer import features_seen, final_layer
from sceneshift.scenes.patches import PatchSampler
from sceneshift.splits.source import SourceDomain
from sceneshift.training.cuda_graph_step import records_steps
from sceneshift.training.evaluation import predict_pixels
from sceneshift.training.loop import train as train_plan
from sceneshift.training.outputs import FixedPatches
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.workers import Workers

BANDS, CLASSES, PATCH, BATCH = 6, 3, 5, 8
CPU = torch.device("cpu")

#: Small values of whatever parameters a method has of these.
SMALL = {"patch_size": PATCH, "batch_size": BATCH, "width": 8, "generator_channels": 6, "lr": 0.01, "C": 100.0}

every_method = pytest.mark.parametrize("method_type", METHODS.values(), ids=METHODS)
#: Those that gradients move, step by step; the others are fitted at once.
trained_methods = pytest.mark.parametrize(
    "method_type",
    [pytest.param(method, id=name) for name, method in METHODS.items() if not method.fitted_at_once],
)


def small_config(method_type: type[Method], **changes: Any) -> MethodConfig:
    known = {f.name for f in fields(method_type.config_type)} - method_type.config_type.without_effect
    return method_type.config_type.from_mapping({k: v for k, v in SMALL.items() if k in known} | changes)


def build(method_type: type[Method], seed: int = 0, **changes: Any) -> Method:
    config = small_config(method_type, **changes)
    return method_type(config, bands=BANDS, classes=CLASSES, seed=seed, device=CPU)


def learned(method: Method) -> dict[str, Tensor]:
    """What a training moves of the classifier: parameters, and of a method that is fitted at once the buffers."""
    found = dict(method.classifier.named_parameters()) or dict(method.classifier.named_buffers())
    return {name: value.detach().clone() for name, value in found.items()}


def batch_of(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(BATCH, BANDS, PATCH, PATCH, generator=generator)
    return patches, torch.randint(0, CLASSES, (BATCH,), generator=generator)


def train(method: Method, seeds: range) -> Method:
    for seed in seeds:
        method.training_step(*batch_of(seed))
    return method


def flat(state: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested state as one level, tensors cloned."""
    leaves: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}/")
        else:
            leaves[f"{prefix}{key}"] = value.clone() if isinstance(value, Tensor) else value
    return leaves


def assert_same_state(one: Method, other: Method) -> None:
    first, second = flat(one.state_dict()), flat(other.state_dict())
    assert first.keys() == second.keys()
    for name, value in first.items():
        same = torch.equal(value, second[name]) if isinstance(value, Tensor) else value == second[name]
        assert same, name


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


@every_method
class TestConfiguration:
    def test_defaults_are_valid_and_nothing_named_gives_them(self, method_type: type[Method]) -> None:
        defaults = method_type.config_type()
        assert method_type.config_type.from_mapping({}) == defaults
        assert method_type.config_type.from_mapping(asdict(defaults)) == defaults

    def test_named_values_are_taken(self, method_type: type[Method]) -> None:
        values = {"patch_size": 7, "lr": 1, "flips": False, "normalization": "minmax-per-band"}
        values = {k: v for k, v in values.items() if k not in method_type.config_type.without_effect}
        config = method_type.config_type.from_mapping(values)
        assert {name: getattr(config, name) for name in values} == values
        assert config.batch_size == method_type.config_type().batch_size

    def test_a_setting_without_effect_is_refused_but_for_its_default(self, method_type: type[Method]) -> None:
        defaults = method_type.config_type()
        changed = {
            "batch_size": 7,
            "lr": 0.5,
            "calibrate_bn": True,
            "flips": True,
            "noise_scale": 0.1,
            "average_from": 0,
            "source_passes": 2,
        }
        assert method_type.config_type.without_effect <= set(changed)
        for name in method_type.config_type.without_effect:
            assert method_type.config_type.from_mapping({name: getattr(defaults, name)}) == defaults
            with pytest.raises(InvalidInputError, match=f"{name} = "):
                method_type.config_type.from_mapping({name: changed[name]})

    def test_it_is_frozen(self, method_type: type[Method]) -> None:
        with pytest.raises(FrozenInstanceError):
            method_type.config_type().lr = 1.0

    def test_every_parameter_is_documented(self, method_type: type[Method]) -> None:
        documented = method_type.config_type.__doc__ + MethodConfig.__doc__
        assert [f.name for f in fields(method_type.config_type) if f"    {f.name}: " not in documented] == []

    def test_an_unknown_key_is_refused_with_the_nearest_name(self, method_type: type[Method]) -> None:
        message = f"{method_type.config_type.__name__} has no parameter 'patchsize'.*did you mean 'patch_size'"
        with pytest.raises(InvalidInputError, match=message) as error:
            method_type.config_type.from_mapping({"patchsize": 7})
        assert all(f.name in str(error.value) for f in fields(method_type.config_type))

    def test_an_unknown_normalization_is_refused_with_the_nearest_name(self, method_type: type[Method]) -> None:
        with pytest.raises(InvalidInputError, match=r"normalization = 'minmax-band'.*'minmax-per-band'"):
            method_type.config_type.from_mapping({"normalization": "minmax-band"})
        with pytest.raises(InvalidInputError, match=r"normalization = None.*NoneType"):
            method_type.config_type.from_mapping({"normalization": None})

    def test_a_text_is_refused_for_every_parameter(self, method_type: type[Method]) -> None:
        for f in fields(method_type.config_type):
            if f.type is not str:
                with pytest.raises(InvalidInputError, match=rf"{f.name}.*'x'.*{f.type.__name__}"):
                    method_type.config_type.from_mapping({f.name: "x"})

    def test_a_truth_value_is_no_number_and_a_number_no_truth_value(self, method_type: type[Method]) -> None:
        for name, value, message in [
            ("lr", True, "lr = True"),
            ("batch_size", True, "batch_size = True"),
            ("batch_size", 8.0, "batch_size = 8.0 is float; expected int"),
            ("flips", 1, "flips = 1 is int; expected bool"),
        ]:
            with pytest.raises(InvalidInputError, match=message):
                method_type.config_type.from_mapping({name: value})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("patch_size", 4),
            ("patch_size", -1),
            ("batch_size", 1),
            ("lr", 0.0),
            ("lr", -1e-3),
            ("lr", float("nan")),
            ("noise_scale", -0.1),
        ],
    )
    def test_a_value_out_of_range_is_refused(self, method_type: type[Method], name: str, value: float) -> None:
        with pytest.raises(InvalidInputError, match=f"{name} = {value!r}"):
            method_type.config_type.from_mapping({name: value})
        with pytest.raises(InvalidInputError, match=f"{name} = "):
            method_type.config_type(**{name: value})

    def test_a_patch_smaller_than_the_method_s_smallest_is_refused(self, method_type: type[Method]) -> None:
        smallest = method_type.config_type.smallest_patch
        assert method_type.config_type.from_mapping({"patch_size": smallest}).patch_size == smallest
        with pytest.raises(InvalidInputError, match=rf"patch_size = {smallest - 2}.*{smallest}"):
            method_type.config_type.from_mapping({"patch_size": smallest - 2})


@every_method
class TestTraining:
    def test_a_step_returns_finite_detached_scalars(self, method_type: type[Method]) -> None:
        method = build(method_type)
        terms = [method.training_step(*batch_of(seed)) for seed in range(3)]
        assert terms[0]
        for outcome in terms:
            assert outcome.keys() == terms[0].keys()
            for name, value in outcome.items():
                assert (value.shape, value.requires_grad) == ((), False), name
                assert torch.isfinite(value), name

    def test_a_step_changes_the_classifier_s_weights(self, method_type: type[Method]) -> None:
        method = build(method_type)
        before = learned(method)
        method.training_step(*batch_of(0))
        moved = [n for n, p in learned(method).items() if not torch.equal(p, before[n])]
        assert len(moved) > 0.8 * len(before)

    def test_a_step_leaves_the_batch_as_it_was(self, method_type: type[Method]) -> None:
        (patches, labels), (same_patches, same_labels) = batch_of(0), batch_of(0)
        build(method_type).training_step(patches, labels)
        assert torch.equal(patches, same_patches)
        assert torch.equal(labels, same_labels)

    def test_how_adam_computes_is_the_device_s_affair_and_not_the_state_s(self, method_type: type[Method]) -> None:
        one, other = build(method_type), build(method_type)
        one.training_step(*batch_of(0))
        state = copy.deepcopy(one.state_dict())
        for kept in state["optimizers"].values():
            kept["param_groups"][0]["fused"] = True  # as a GPU writes it
        other.load_state_dict(state)
        assert [o.param_groups[0]["fused"] for o in other.optimizers().values()] == [None] * len(other.optimizers())
        got, expected = (method.training_step(*batch_of(1)) for method in (other, one))
        assert got == expected

    def test_labels_matter(self, method_type: type[Method]) -> None:
        patches, labels = batch_of(0)
        one, other = build(method_type), build(method_type)
        one.training_step(patches, labels)
        other.training_step(patches, (labels + 1) % CLASSES)
        if not one.fitted_at_once:  # the head's
            assert not torch.equal(*(list(m.classifier.parameters())[-1] for m in (one, other)))
        got, expected = learned(one), learned(other)
        assert not all(torch.equal(got[name], expected[name]) for name in got)

    def test_same_seed_and_batches_give_the_same_state_bit_for_bit(self, method_type: type[Method]) -> None:
        one, other = train(build(method_type, seed=5), range(3)), train(build(method_type, seed=5), range(3))
        assert_same_state(one, other)

    def test_draws_come_from_the_method_alone(self, method_type: type[Method]) -> None:
        torch.manual_seed(1)
        one = train(build(method_type), range(2))
        torch.manual_seed(2)
        torch.rand(7)
        assert_same_state(one, train(build(method_type), range(2)))

    def test_torch_s_own_generator_is_left_alone(self, method_type: type[Method]) -> None:
        torch.manual_seed(42)
        before = torch.random.get_rng_state()
        train(build(method_type), range(2))
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_every_module_but_its_buffers_is_in_an_optimizer(self, method_type: type[Method]) -> None:
        method = build(method_type)
        ours = {id(p) for module in method.modules().values() for p in module.parameters()}
        moved = [id(p) for o in method.optimizers().values() for group in o.param_groups for p in group["params"]]
        assert len(moved) == len(set(moved))
        assert set(moved) == ours
        assert all(group["lr"] == 0.01 for o in method.optimizers().values() for group in o.param_groups)


@trained_methods
class TestInitialValues:
    def test_another_seed_gives_other_weights_from_the_start(self, method_type: type[Method]) -> None:
        one, other = build(method_type, seed=5), build(method_type, seed=6)
        weights = [torch.cat([p.detach().flatten() for p in m.classifier.parameters()]) for m in (one, other)]
        assert not torch.equal(*weights)


@every_method
class TestState:
    def test_a_restored_method_continues_bit_for_bit(self, method_type: type[Method]) -> None:
        uninterrupted = train(build(method_type), range(2))
        state = through_a_file(uninterrupted.state_dict())
        train(uninterrupted, range(2, 5))
        restored = build(method_type, seed=77)
        restored.load_state_dict(state)
        train(restored, range(2, 5))
        assert_same_state(restored, uninterrupted)

    def test_what_is_loaded_is_what_was_saved(self, method_type: type[Method]) -> None:
        trained = train(build(method_type), range(2))
        restored = build(method_type, seed=77)
        restored.load_state_dict(through_a_file(trained.state_dict()))
        assert_same_state(restored, trained)


@every_method
class TestClassifier:
    def test_logits_have_a_column_a_class(self, method_type: type[Method]) -> None:
        method = build(method_type)
        if method.fitted_at_once:  # before that it knows nothing
            train(method, range(1))
        with torch.no_grad():
            logits = method.classifier(batch_of(0)[0])
        assert logits.shape == (BATCH, CLASSES)
        assert torch.isfinite(logits).all()
        assert logits.std(dim=0).min() > 0

    def test_it_is_one_of_the_modules_that_are_saved(self, method_type: type[Method]) -> None:
        method = build(method_type)
        assert any(module is method.classifier for module in method.modules().values())

    def test_a_built_classifier_takes_the_trained_weights(self, method_type: type[Method]) -> None:
        method = train(build(method_type), range(3))
        built = method_type.build_classifier(method.config, bands=BANDS, classes=CLASSES)
        built.load_state_dict(method.classifier.state_dict())
        patches = batch_of(9)[0]
        with torch.no_grad():
            expected = method.classifier.eval()(patches)
            assert torch.equal(built.eval()(patches), expected)
        assert expected.std() > 0

    def test_in_eval_mode_a_patch_is_classified_alone(self, method_type: type[Method]) -> None:
        classifier = train(build(method_type), range(3)).classifier.eval().double()
        patches = batch_of(9)[0].double()
        with torch.no_grad():
            together = classifier(patches)
            alone = torch.cat([classifier(patch[None]) for patch in patches])
            among_giants = classifier(torch.cat([patches[:1], 1e6 * patches[1:]]))[:1]
        torch.testing.assert_close(alone, together, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(among_giants, together[:1], rtol=1e-10, atol=1e-10)

    def test_its_final_layer_makes_the_logits_of_its_features(self, method_type: type[Method]) -> None:
        classifier = train(build(method_type), range(3)).classifier.eval()
        layer = final_layer(classifier)
        with torch.no_grad(), features_seen(layer) as seen:
            logits = classifier(batch_of(9)[0])
        assert (layer is None) == method_type.fitted_at_once
        if layer is not None:
            (features,) = seen
            torch.testing.assert_close(layer(features).float(), logits)
            assert features.shape == (BATCH, layer.in_features)

    def test_patches_that_are_fixed_are_answered_as_any(self, method_type: type[Method]) -> None:
        classifier = train(build(method_type), range(3)).classifier.eval()
        cube = np.random.default_rng(0).normal(size=(9, 12, BANDS)).astype(np.float32)
        sampler, pixels = PatchSampler(cube, patch_size=PATCH, device=CPU), np.array([0, 5, 11, 50, 51, 63, 107])
        for chosen in (pixels, np.arange(108)):  # apart, and so near that places are shared
            patches = FixedPatches((9, 12), chosen, patch_size=PATCH, device=CPU)
            logits, features = patches.outputs(classifier, torch.from_numpy(cube.reshape(-1, BANDS)[patches.places]))
            with torch.no_grad():
                expected = classifier(sampler.patches(torch.from_numpy(chosen)))
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
            assert (features is None) == method_type.fitted_at_once

    def test_pixels_get_the_class_of_their_own_patch(self, method_type: type[Method]) -> None:
        classifier = train(build(method_type), range(3)).classifier.eval().double()
        cube = np.random.default_rng(0).normal(size=(9, 12, BANDS))
        sampler = PatchSampler(cube, patch_size=PATCH, device=CPU)
        with torch.no_grad():
            alone = torch.cat([classifier(sampler.patches(torch.tensor([pixel]))) for pixel in range(108)])
        assert alone.std(dim=0).min() > 0
        np.testing.assert_array_equal(predict_pixels(classifier, sampler, np.arange(108)), alone.argmax(dim=1))


@every_method
def test_a_method_is_found_by_its_name(method_type: type[Method]) -> None:
    assert find_method(method_type.name) is method_type
    assert METHODS[method_type.name] is method_type


def test_names_are_known_before_anything_is_imported() -> None:
    assert [METHODS[name].name for name in METHODS] == list(METHODS)
    assert len(METHODS) == len(set(METHODS.values()))
    script = "import sys; from sceneshift.methods.registry import METHODS; print(*METHODS, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*METHODS, "False"]


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match=r"'s2amsnt'.*'s2amsnet'") as error:
        find_method("s2amsnt")
    assert all(name in str(error.value) for name in METHODS)


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("name", ["lr", "noise_scale"])
@every_method
def test_a_number_that_is_not_finite_is_refused(method_type: type[Method], name: str, value: float) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} = {value}"):
        method_type.config_type(**{name: value})


class Toy(OneNetwork):
    """A linear layer on the centre pixel: what a method can do, it says itself; this one says nothing."""

    name = "toy"
    config_type = MethodConfig
    published_epochs = 1

    @classmethod
    def build_classifier(cls, config: MethodConfig, *, bands: int, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(bands * config.patch_size**2, classes))

    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.network(patches)
        return {"ce": functional.cross_entropy(logits, labels), "size": 0.01 * logits.square().mean()}


class AbleToy(Toy):
    graph_safe = shardable = compilable = True


@pytest.fixture(params=[Toy, AbleToy])
def toy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Method]:
    for module in ("pair_run", "plan"):
        monkeypatch.setattr(f"sceneshift.training.{module}.find_method", lambda _: request.param)
    return request.param


def plan_of_toy(**changes: Any) -> TrainingPlan:
    return TrainingPlan(method="toy", config=MethodConfig(patch_size=PATCH, batch_size=40), epochs=2, seed=0, **changes)


class TestWhatAMethodCanDo:
    def test_it_can_do_nothing_it_does_not_claim(self) -> None:
        assert (Method.graph_safe, Method.shardable, Method.compilable) == (False, False, False)

    @every_method
    def test_a_claim_is_a_truth_value(self, method_type: type[Method]) -> None:
        for claim in (method_type.graph_safe, method_type.shardable, method_type.compilable):
            assert type(claim) is bool

    @every_method
    def test_a_claim_is_made_by_the_class_itself(self, method_type: type[Method]) -> None:
        """What a method derived from another one supports is tested anew."""
        claims = {name for name in ("graph_safe", "shardable", "compilable") if getattr(method_type, name)}
        assert claims <= vars(method_type).keys()

    def test_what_is_asked_for_by_nobody_is_refused_to_nobody(
        self, toy: type[Method], tiny_source: SourceDomain
    ) -> None:
        reports = []
        train_plan(plan_of_toy(), [tiny_source], report=reports.append)
        losses = [report.metrics for report in reports]
        for text in losses:
            terms = [text[f"train/tiny-pair/{name}"] for name in ("loss", "ce", "size")]
            assert terms[0] == pytest.approx(terms[1] + terms[2], rel=1e-5)
        assert losses[1]["train/tiny-pair/loss"] < losses[0]["train/tiny-pair/loss"]

    def test_several_workers_are_refused_before_anything_is_built(
        self, toy: type[Method], tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(toy, "build", lambda _: pytest.fail("built"))
        two = Workers(rank=0, num=2)
        if toy.shardable:
            plan_of_toy().check_workers(2)
            return
        for ask in (lambda: PairRun(plan_of_toy(), [tiny_source], CPU, two), lambda: plan_of_toy().check_workers(2)):
            with pytest.raises(InvalidInputError) as error:
                ask()
            assert "'toy'" in str(error.value)
            assert "2 workers" in str(error.value)

    def test_compiling_is_refused_with_the_plan(self, toy: type[Method]) -> None:
        if toy.compilable:
            assert plan_of_toy(compile=True).compile
            return
        with pytest.raises(InvalidInputError, match=r"'toy'.*compile = True"):
            plan_of_toy(compile=True)

    def test_a_step_is_recorded_where_the_method_allows_it(self, toy: type[Method]) -> None:
        gpu = torch.device("cuda")
        assert records_steps(toy, gpu, num_workers=1) is toy.graph_safe
        assert not records_steps(toy, gpu, num_workers=2)
        assert not records_steps(toy, CPU, num_workers=1)
