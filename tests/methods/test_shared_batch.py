"""Every shardable method on a shared batch: two or three workers make the step that one makes, in float64 over gloo."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.methods.method import Method
from sceneshift.methods.registry import METHODS
from sceneshift.networks.shared_batch import Share, shared_batch
from sceneshift.training.workers import Workers

BANDS, CLASSES, PATCH, STEPS = 6, 3, 5, 2

#: Rows that two workers share as 4 and 3, three as 3, 2 and 2.
BATCH = 7

SMALL = {"patch_size": PATCH, "batch_size": BATCH, "width": 8, "heads": 2, "generator_channels": 6, "lr": 0.01}

#: Each method as it is, and with all that changes what a batch comes to.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name, method in METHODS.items() if method.shardable},
    "s2amsnet, source and norms": ("s2amsnet", {"lambda_src": 0.5, "renormalize": True, "init_std": 0.3}),
    "s2amsnet, release": (
        "s2amsnet",
        {
            "mi_normalize": False,
            "kl_of_probabilities": True,
            "discriminator_steps_twice": True,
            "encoder_accumulates": True,
            "generator_shares_norm": True,
        },
    ),
    "s2amsnet, no contrast": ("s2amsnet", {"lambda_mi": 0.0, "encoder_accumulates": True}),
    "s2amsnet, nothing adversarial": ("s2amsnet", {"lambda_mi": 0.0, "lambda_adv": 0.0}),
    "s2vnet, release": (
        "s2vnet",
        {
            "released_endmembers": True,
            "released_decoder_input": True,
            "released_batch_axis": True,
            "released_cosine": True,
        },
    ),
}


def build(case: str) -> Method:
    name, changes = CASES[case]
    method_type = METHODS[name]
    known = {f.name for f in fields(method_type.config_type)}
    config = method_type.config_type.from_mapping({k: v for k, v in SMALL.items() if k in known} | changes)
    method = method_type(config, bands=BANDS, classes=CLASSES, seed=5, device=torch.device("cpu"))
    for module in method.modules().values():
        module.double()
    return method


def train(case: str, share: Share | None) -> dict[str, Any]:
    """Some steps on a worker's rows, with all that they leave behind: gradients after each, terms, and the state."""
    method = build(case)
    gradients: list[dict[str, dict[str, Tensor]]] = []
    terms: list[dict[str, Tensor]] = []
    for seed in range(STEPS):
        generator = torch.Generator().manual_seed(seed)
        patches = torch.rand(BATCH, BANDS, PATCH, PATCH, generator=generator, dtype=torch.float64)
        labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)
        rows = slice(None) if share is None else share.rows
        with shared_batch(share):
            terms.append(method.training_step(patches[rows], labels[rows]))
        gradients.append(
            {
                name: {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
                for name, module in method.modules().items()
            }
        )
    modules = {name: dict(module.state_dict()) for name, module in method.modules().items()}
    return {"gradients": gradients, "terms": terms, "modules": modules, "draws": method.generator.get_state()}


def train_all() -> dict[str, dict[str, Any]]:
    share = Workers.of_this_process().share_of(BATCH)
    return {case: train(case, share) for case in CASES}


@pytest.fixture(scope="module", params=[2, 3])
def workers(request: pytest.FixtureRequest, in_workers: Callable[..., list[Any]]) -> list[dict[str, Any]]:
    return in_workers(request.param, train_all)


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Any]]:
    return {case: train(case, None) for case in CASES}


every_case = pytest.mark.parametrize("case", CASES)


@every_case
def test_every_network_s_gradients_are_those_of_one_worker(case: str, workers: list[Any], alone: Any) -> None:
    for worker in workers:
        for step, expected in enumerate(alone[case]["gradients"]):
            got = worker[case]["gradients"][step]
            assert got.keys() == expected.keys()
            for network, gradients in expected.items():
                assert got[network].keys() == gradients.keys()
                if not gradients:
                    continue
                scale = max(float(gradient.abs().max()) for gradient in gradients.values())
                assert scale > 0
                for name, gradient in gradients.items():
                    # Of a tensor whose gradient is rounding alone, such as a bias before a norm, the network's counts.
                    size = max(float(gradient.abs().max()), 1e-4 * scale)
                    assert float((got[network][name] - gradient).abs().max()) <= 1e-8 * size, (network, name)


@every_case
def test_weights_and_running_statistics_are_those_of_one_worker(case: str, workers: list[Any], alone: Any) -> None:
    # Adam makes steps of a gradient that is rounding alone, such as that of a bias before a norm; and the release's
    # contrast is a loss in the millions, with rounding to match.
    tolerance = 1e-4 if case == "s2amsnet, release" else 1e-7
    for worker in workers:
        for network, expected in alone[case]["modules"].items():
            for name, value in expected.items():
                got = worker[case]["modules"][network][name]
                torch.testing.assert_close(got, value, rtol=1e-9, atol=tolerance, msg=f"{network} {name}")


@every_case
def test_all_workers_hold_the_same_bits(case: str, workers: list[Any], alone: Any) -> None:
    first, *others = workers
    for other in others:
        assert torch.equal(other[case]["draws"], first[case]["draws"])
        for network, values in first[case]["modules"].items():
            for name, value in values.items():
                assert torch.equal(other[case]["modules"][network][name], value), (network, name)
    assert torch.equal(first[case]["draws"], alone[case]["draws"])


@every_case
def test_the_workers_parts_of_a_loss_sum_up_to_it(case: str, workers: list[Any], alone: Any) -> None:
    for step, expected in enumerate(alone[case]["terms"]):
        assert all(worker[case]["terms"][step].keys() == expected.keys() for worker in workers)
        for name, value in expected.items():
            total = sum(worker[case]["terms"][step][name] for worker in workers)
            torch.testing.assert_close(total, value, rtol=1e-9, atol=1e-12)
