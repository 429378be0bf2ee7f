"""Steps replayed from a CUDA graph are the steps that are taken one by one."""

import copy
import itertools
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.methods.method import Method
from sceneshift.methods.registry import METHODS, find_method
from sceneshift.methods.s2amsnet import S2AMSnetConfig
from sceneshift.splits.source import SourceDomain
from sceneshift.training.cuda_graph_step import RecordedStep
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.precision import computing_in

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.usefixtures("no_tf32", "same_sums"),
]

BANDS, CLASSES, PATCH = 12, 3, 5
PLAN = TrainingPlan(
    method="s2amsnet",
    config=S2AMSnetConfig(patch_size=5, batch_size=20, width=8, generator_channels=6),
    epochs=2,
    seed=0,
)
GRAPH_SAFE = [name for name, method in METHODS.items() if method.graph_safe]
SIZES = [16, 16, 15, 16, 15, 15, 16]


@pytest.fixture
def same_sums() -> Iterator[None]:
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    yield
    torch.backends.cudnn.deterministic = before


def build(name: str, **changes: Any) -> Method:
    method = find_method(name)
    config = method.config_type(patch_size=PATCH, width=8, lr=1e-3, **changes)
    return method(config, bands=BANDS, classes=CLASSES, seed=0, device=torch.device("cuda"))


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    draws = torch.Generator().manual_seed(0)
    for size in SIZES:
        patches = torch.rand(size, BANDS, PATCH, PATCH, generator=draws).contiguous(memory_format=torch.channels_last)
        yield patches.cuda(), torch.randint(0, CLASSES, (size,), generator=draws).cuda()


def weights(method: Method) -> dict[str, Tensor]:
    modules = method.modules().items()
    return {f"{name}.{key}": value for name, module in modules for key, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "changes"), [*((name, {}) for name in GRAPH_SAFE), ("s2amsnet", {"encoder_accumulates": True})]
)
def test_replayed_steps_are_those_taken_one_by_one(name: str, changes: dict[str, Any]) -> None:
    method, reference = build(name, **changes), build(name, **changes)
    # In float64: Adam makes whole steps even of gradients that are all rounding, and so enlarges float32's.
    for module in (*method.modules().values(), *reference.modules().values()):
        module.double()
    recorded = RecordedStep(method, nullcontext)
    for step, (patches, labels) in enumerate(batches()):
        if step == 5:
            for each in (method, reference):
                for optimizer in each.optimizers().values():
                    optimizer.param_groups[0]["lr"] = 3e-4
        got = recorded(patches.double(), labels)
        expected = reference.training_step(patches.double(), labels)
        for term, value in expected.items():
            assert got[term].item() == pytest.approx(value.item(), rel=1e-6, abs=1e-9), (step, term)
    for key, value in weights(reference).items():
        torch.testing.assert_close(weights(method)[key], value, rtol=1e-4, atol=1e-6, msg=key)
    assert torch.equal(method.generator.get_state(), reference.generator.get_state())
    assert not any(group["capturable"] for o in method.optimizers().values() for group in o.param_groups)


@pytest.mark.parametrize("name", GRAPH_SAFE)
def test_in_bfloat16_the_first_step_that_is_replayed_is_the_one_taken_otherwise(name: str) -> None:
    computing = partial(computing_in, "bfloat16", torch.device("cuda"))
    method, reference = build(name), build(name)
    recorded = RecordedStep(method, computing)
    for patches, labels in itertools.islice(batches(), 2):
        got = recorded(patches, labels)
        with computing():
            expected = reference.training_step(patches, labels)
        for term, value in expected.items():
            assert got[term].item() == pytest.approx(value.item(), rel=0.02, abs=1e-4), term


def test_after_another_state_is_loaded_steps_continue_from_that(tiny_source: SourceDomain) -> None:
    one, other = (PairRun(PLAN, [tiny_source], torch.device("cuda")) for _ in range(2))
    one.train_epoch(1)
    state = copy.deepcopy(one.state_dict())
    expected = one.train_epoch(2)
    other.train_epoch(1)
    other.train_epoch(2)
    other.load_state_dict(state)
    assert other.train_epoch(2)["ce"] == pytest.approx(expected["ce"], rel=0.02)
    assert all(
        entry["step"] == len(list(other._batches.of_an_epoch())) * 2
        for entry in other.method.optimizers()["discriminator"].state.values()
    )


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
def test_a_replayed_step_draws_again_and_the_host_does_not_wait() -> None:
    recorded = RecordedStep(build("s2amsnet", generator_channels=6), nullcontext)
    patches, labels = next(batches())
    terms = [recorded(patches, labels) for _ in range(3)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        terms += [recorded(patches, labels) for _ in range(3)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len({each["mi"].item() for each in terms}) == len(terms)


def test_a_training_on_a_gpu_replays_its_steps(tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch) -> None:
    run = PairRun(PLAN, [tiny_source], torch.device("cuda"))
    taken, step = [], run.method.step
    monkeypatch.setattr(run.method, "step", lambda *batch: taken.append(None) or step(*batch))
    for epoch in (1, 2):
        losses = run.train_epoch(epoch)
        assert all(value == value for value in losses.values())
    # Each of at most two sizes of a batch: once as usual, once recorded.
    assert 2 <= len(taken) <= 4
