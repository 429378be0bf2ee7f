"""S2AMSnet's two steps, term by term, and what each departure of the release does."""

import contextlib
import io
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.methods.augmentations import RadiationNoise
from sceneshift.methods.s2amsnet import S2AMSnet, S2AMSnetConfig
from sceneshift.networks import discriminator
from sceneshift.networks.generated_domains import Domains
from sceneshift.networks.involution import Involution
from sceneshift.networks.losses import mutual_information

SMALL = S2AMSnetConfig(patch_size=5, batch_size=8, width=8, generator_channels=6)
BANDS, CLASSES = 6, 3


def build(**changes: Any) -> S2AMSnet:
    return S2AMSnet(replace(SMALL, **changes), bands=BANDS, classes=CLASSES, seed=0, device=torch.device("cpu"))


def batch_of(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, BANDS, 5, 5, generator=generator), torch.randint(0, CLASSES, (8,), generator=generator)


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def moved(module: nn.Module, before: dict[str, Tensor]) -> list[str]:
    return [name for name, p in module.named_parameters() if not torch.equal(p, before[name])]


def all_weights(method: S2AMSnet) -> dict[str, dict[str, Tensor]]:
    return {name: weights(module) for name, module in method.modules().items()}


def all_moved(method: S2AMSnet, before: dict[str, dict[str, Tensor]]) -> set[str]:
    return {name for name, module in method.modules().items() if moved(module, before[name])}


def kl(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """KL(p || q), torch's own: the input is q."""
    return functional.kl_div(q_logits.log_softmax(1), p_logits.log_softmax(1), reduction="batchmean", log_target=True)


def logits_of(method: S2AMSnet, domains: Domains) -> dict[str, Tensor]:
    with torch.no_grad():
        return {name: method.discriminator(getattr(domains, name)) for name in ("a", "b", "mix_a", "mix_b")}


def synthesized(method: S2AMSnet, patches: Tensor) -> Domains:
    method.draw_on_host()
    return method.synthesize(patches)


class TestMixing:
    def test_a_mixed_patch_is_between_source_and_generated(self) -> None:
        method = build()
        x, _ = batch_of()
        betas = []
        for _ in range(2):
            domains = synthesized(method, x)
            for generated, mixed in ((domains.a, domains.mix_a), (domains.b, domains.mix_b)):
                beta = ((mixed - x) * (generated - x)).sum() / (generated - x).square().sum()
                torch.testing.assert_close(mixed, beta * generated + (1 - beta) * x, rtol=1e-4, atol=1e-4)
                betas.append(beta.item())
        assert all(0 <= beta <= 1 for beta in betas)
        assert len({round(min(beta, 1 - beta), 4) for beta in betas}) == 4  # one draw a domain and step

    @pytest.mark.parametrize(("alpha", "least", "most"), [(0.02, 0.15, 0.25), (0.6, 0.05, 0.2), (200.0, 0.0, 0.01)])
    def test_beta_alpha_spreads_the_draws(self, alpha: float, least: float, most: float) -> None:
        method = build(beta_alpha=alpha)
        x = batch_of()[0][:2]
        betas = []
        with torch.no_grad():
            for _ in range(40):
                domains = synthesized(method, x)
                for generated, mixed in ((domains.a, domains.mix_a), (domains.b, domains.mix_b)):
                    betas.append(((mixed - x).norm() / (generated - x).norm()).item())
        # Beta(alpha, alpha): mean 1/2, variance 1 / (4 (2 alpha + 1)).
        assert np.mean(betas) == pytest.approx(0.5, abs=0.12)
        assert least <= np.var(betas) <= most

    def test_the_two_generators_have_weights_and_noise_of_their_own(self) -> None:
        method = build()
        x, _ = batch_of()
        first, second = synthesized(method, x), synthesized(method, x)
        assert not torch.allclose(first.a, first.b)
        assert not torch.allclose(first.a, second.a)  # noise is drawn again
        assert not torch.allclose(first.b, second.b)

    def test_detached_patches_are_the_same_without_a_way_back(self) -> None:
        domains = synthesized(build(), batch_of()[0])
        assert domains.mix_a.requires_grad
        for name in ("a", "b", "mix_a", "mix_b"):
            cut = getattr(domains.detached(), name)
            assert torch.equal(cut, getattr(domains, name))
            assert not cut.requires_grad


class TestMinStep:
    def test_only_the_discriminator_moves(self) -> None:
        method = build()
        x, y = batch_of()
        domains = synthesized(method, x)
        before = all_weights(method)
        buffers = {n: b.clone() for m in (method.generators, method.encoder) for n, b in m.named_buffers()}
        method.min_step(x, y, domains)
        assert all_moved(method, before) == {"discriminator"}
        assert len(moved(method.discriminator, before["discriminator"])) > 0.8 * len(before["discriminator"])
        for module in (method.generators, method.encoder):
            assert all(p.grad is None for p in module.parameters())
            assert all(torch.equal(b, buffers[n]) for n, b in module.named_buffers())

    def test_its_loss_is_the_formula(self) -> None:
        method = build(lambda_ce=0.7, lambda_kl=1.3)
        x, y = batch_of()
        domains = synthesized(method, x)
        logits = logits_of(method, domains)
        terms = method.min_step(x, y, domains)
        ce = sum(functional.cross_entropy(each, y) for each in logits.values())
        divergence = kl(logits["a"], logits["mix_b"]) + kl(logits["b"], logits["mix_a"])
        torch.testing.assert_close(terms["ce"], ce)
        torch.testing.assert_close(terms["kl"], divergence)
        torch.testing.assert_close(terms["min"], 0.7 * ce + 1.3 * divergence)
        assert divergence > 1e-3

    def test_lambda_src_adds_the_cross_entropy_of_the_raw_source(self) -> None:
        x, y = batch_of()
        without, with_source = build(), build(lambda_src=2.0)
        with torch.no_grad():
            expected = 2 * functional.cross_entropy(build().discriminator(x), y)
        least = without.min_step(x, y, synthesized(without, x))["min"]
        more = with_source.min_step(x, y, synthesized(with_source, x))["min"]
        torch.testing.assert_close(more - least, expected)
        assert moved(with_source.discriminator, weights(without.discriminator))

    def test_gradients_of_the_step_before_are_forgotten(self) -> None:
        x, y = batch_of()
        plain, stale = build(), build()
        for p in stale.discriminator.parameters():
            p.grad = torch.full_like(p, 1e3)
        for method in (plain, stale):
            method.min_step(x, y, synthesized(method, x))
        assert moved(stale.discriminator, weights(plain.discriminator)) == []


class TestMaxStep:
    def test_only_generators_and_encoder_move(self) -> None:
        method = build()
        x, y = batch_of()
        domains = synthesized(method, x)
        method.min_step(x, y, domains)
        before = all_weights(method)
        gradients = {name: p.grad.clone() for name, p in method.discriminator.named_parameters()}
        method.max_step(x, domains)
        assert all_moved(method, before) == {"generators", "encoder"}
        for index in (0, 1):
            assert any(name.startswith(f"{index}.") for name in moved(method.generators, before["generators"]))
        for name, p in method.discriminator.named_parameters():
            assert p.requires_grad
            assert torch.equal(p.grad, gradients[name]), name

    def test_its_loss_is_the_formula(self) -> None:
        method = build(lambda_adv=0.7, lambda_mi=1.3, temperature=0.2)
        x, _ = batch_of()
        domains = synthesized(method, x)
        logits = logits_of(method, domains)
        divergence = kl(logits["a"], logits["mix_b"]) + kl(logits["b"], logits["mix_a"])
        with torch.no_grad():
            information = sum(
                mutual_information(method.encoder(x), method.encoder(g), temperature=0.2, normalize=True)
                for g in (domains.a, domains.b)
            )
        terms = method.max_step(x, domains)
        torch.testing.assert_close(terms["adversarial_kl"], divergence)
        torch.testing.assert_close(terms["mi"], information)
        torch.testing.assert_close(terms["max"], 1.3 * information - 0.7 * divergence)

    def test_mutual_information_falls_where_it_is_all_that_counts(self) -> None:
        method = build(lambda_adv=0.0, lr=0.01)
        x, _ = batch_of()
        information = [method.max_step(x, synthesized(method, x))["mi"].item() for _ in range(30)]
        assert np.mean(information[-5:]) < 0.8 * np.mean(information[:5])

    def test_divergence_rises_where_it_is_all_that_counts(self) -> None:
        method = build(lambda_mi=0.0, lr=0.01, init_std=0.1)
        x, y = batch_of()
        for _ in range(10):  # a discriminator that distinguishes classes
            method.min_step(x, y, synthesized(method, x))
        before = weights(method.encoder)
        divergence = [method.max_step(x, synthesized(method, x))["adversarial_kl"].item() for _ in range(50)]
        assert np.mean(divergence[-20:]) > 1.5 * np.mean(divergence[:20])
        assert moved(method.encoder, before) == []

    def test_without_both_terms_the_generators_rest(self) -> None:
        method = build(lambda_adv=0.0, lambda_mi=0.0)
        before = all_weights(method)
        terms = method.training_step(*batch_of())
        assert all_moved(method, before) == {"discriminator"}
        assert [terms[name].item() for name in ("max", "adversarial_kl", "mi")] == [0.0, 0.0, 0.0]

    def test_a_step_is_min_then_max_on_the_same_patches(self) -> None:
        whole, parts = build(), build()
        x, y = batch_of()
        terms = whole.training_step(x, y)
        domains = synthesized(parts, x)
        expected = parts.min_step(x, y, domains) | parts.max_step(x, domains)
        assert terms == expected
        assert list(terms) == ["min", "ce", "kl", "max", "adversarial_kl", "mi"]
        for name, module in whole.modules().items():
            assert moved(module, weights(parts.modules()[name])) == []

    def test_a_step_after_an_evaluation_is_in_train_mode_again(self) -> None:
        method = build()
        for module in method.modules().values():
            module.eval()
        method.training_step(*batch_of())
        assert all(module.training for module in method.modules().values())
        assert all(m.training for m in method.discriminator.modules())


#: The order in which the discriminator sees its inputs, in either step.
ORDER = ("a", "mix_b", "b", "mix_a")


def build_wide(**changes: Any) -> S2AMSnet:
    """In float64, so that only a difference in the formula is one in the gradients."""
    method = build(**changes)
    for module in method.modules().values():
        module.double()
    return method


def plain_min_loss(method: S2AMSnet, x: Tensor, y: Tensor, domains: Domains) -> Tensor:
    """The discriminator's loss as the paper has it, in one graph."""
    config = method.config
    logits = {name: method.discriminator(getattr(domains, name).detach()) for name in ORDER}
    loss = config.lambda_ce * sum(functional.cross_entropy(each, y) for each in logits.values())
    loss = loss + config.lambda_kl * (kl(logits["a"], logits["mix_b"]) + kl(logits["b"], logits["mix_a"]))
    if config.lambda_src > 0:
        loss = loss + config.lambda_src * functional.cross_entropy(method.discriminator(x), y)
    return loss


def plain_max_loss(method: S2AMSnet, x: Tensor, domains: Domains) -> Tensor:
    """The generators' and the encoder's loss, in one graph."""
    config = method.config
    logits = {name: method.discriminator(getattr(domains, name)) for name in ORDER}
    divergence = kl(logits["a"], logits["mix_b"]) + kl(logits["b"], logits["mix_a"])
    information = sum(
        mutual_information(
            method.encoder(x), method.encoder(generated), temperature=config.temperature, normalize=config.mi_normalize
        )
        for generated in (domains.a, domains.b)
    )
    return config.lambda_mi * information - config.lambda_adv * divergence


def same_gradients(module: nn.Module, expected: tuple[Tensor, ...]) -> None:
    scale = max(want.abs().max().item() for want in expected)
    for (name, p), want in zip(module.named_parameters(), expected, strict=True):
        got = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-10 * scale, msg=lambda m, n=name: f"{n}: {m}")


def gradients(loss: Tensor, module: nn.Module) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, materialize_grads=True)


class TestGradients:
    """Running pairs back one after the other gives what one graph of the whole loss gives."""

    @pytest.mark.parametrize(
        "lambdas",
        [
            {},
            {"lambda_ce": 0.7, "lambda_kl": 1.3},
            {"lambda_src": 0.5},
            {"lambda_ce": 0.0, "lambda_src": 2.0},
            {"lambda_kl": 0.0},
        ],
    )
    def test_of_the_min_step(self, lambdas: dict[str, float]) -> None:
        method, plain = build_wide(**lambdas), build_wide(**lambdas)
        x, y = batch_of()[0].double(), batch_of()[1]
        loss = plain_min_loss(plain, x, y, synthesized(plain, x))
        terms = method.min_step(x, y, synthesized(method, x))
        torch.testing.assert_close(terms["min"], loss.detach(), rtol=1e-10, atol=1e-12)
        expected = gradients(loss, plain.discriminator)
        assert max(each.abs().max() for each in expected) > 1e-2
        same_gradients(method.discriminator, expected)
        for name, buffer in plain.discriminator.named_buffers():
            torch.testing.assert_close(method.discriminator.get_buffer(name), buffer, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"lambda_adv": 0.7, "lambda_mi": 1.3, "temperature": 0.2},
            {"lambda_adv": 0.0},
            {"lambda_mi": 0.0},
            {"lambda_src": 1.0, "mi_normalize": False, "lambda_mi": 1e-4},
            {"renormalize": True, "generator_shares_norm": True},
        ],
    )
    def test_of_the_max_step_after_a_min_step(self, changes: dict[str, Any]) -> None:
        method, plain = build_wide(**changes), build_wide(**changes)
        x, y = batch_of()[0].double(), batch_of()[1]
        domains = {id(each): synthesized(each, x) for each in (method, plain)}
        for each in (method, plain):
            each.min_step(x, y, domains[id(each)])
        loss = plain_max_loss(plain, x, domains[id(plain)])
        terms = method.max_step(x, domains[id(method)])
        torch.testing.assert_close(terms["max"], loss.detach(), rtol=1e-9, atol=1e-12)
        for name in ("generators", "encoder"):
            expected = gradients(loss, plain.modules()[name])
            same_gradients(method.modules()[name], expected)
            assert any(each.any() for each in expected) == (name == "generators" or method.config.lambda_mi > 0)
        assert moved(method.discriminator, weights(plain.discriminator)) == []

    def test_the_max_step_looks_with_the_weights_the_min_step_left(self) -> None:
        method = build_wide(lr=0.05)
        x, y = batch_of()[0].double(), batch_of()[1]
        domains = synthesized(method, x)
        divergence = method.min_step(x, y, domains)["kl"]
        logits = logits_of(method, domains)
        expected = kl(logits["a"], logits["mix_b"]) + kl(logits["b"], logits["mix_a"])
        seen = method.max_step(x, domains)["adversarial_kl"]
        torch.testing.assert_close(seen, expected, rtol=1e-10, atol=1e-12)
        assert abs(seen - divergence) > 1e-3

    @pytest.mark.parametrize("lambda_src", [0.0, 1.0])
    def test_each_input_has_batch_statistics_of_its_own(self, lambda_src: float) -> None:
        method = build_wide(lambda_src=lambda_src, lr=0.05)
        x, y = batch_of()[0].double(), batch_of()[1]
        domains = synthesized(method, x)
        block = method.discriminator.features.blocks[0]
        norm = block.spatial_norm
        mean, variance, count = norm.running_mean.clone(), norm.running_var.clone(), 0
        steps = {"min": lambda: method.min_step(x, y, domains), "max": lambda: method.max_step(x, domains)}
        for name, step in steps.items():
            inputs = [getattr(domains, each) for each in ORDER] + [x] * (name == "min" and lambda_src > 0)
            for each in inputs:  # with the weights of this step: the max step's are those that the min step left
                values = block.spatial(each).detach()
                mean = 0.9 * mean + 0.1 * values.mean((0, 2, 3))
                variance = 0.9 * variance + 0.1 * values.var((0, 2, 3), unbiased=True)
                count += 1
            step()
            torch.testing.assert_close(norm.running_mean, mean, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(norm.running_var, variance, rtol=1e-10, atol=1e-12)
            assert norm.num_batches_tracked == count
        assert count == (9 if lambda_src > 0 else 8)

    def test_a_step_with_torch_s_operators_alone_is_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # What a GPU does, on a CPU.
        method, other = build_wide(), build_wide()
        x, y = batch_of()[0].double(), batch_of()[1]
        terms = method.training_step(x, y)
        monkeypatch.setattr(Involution, "forward", Involution._by_planes)
        monkeypatch.setattr(discriminator, "max_pool", lambda h: functional.max_pool2d(h, 2))
        monkeypatch.setattr(
            discriminator,
            "blend_branches",
            lambda h, h_norm, g, g_norm, w: w[0] * functional.relu(h_norm(h)) + w[1] * functional.relu(g_norm(g)),
        )
        for name, value in other.training_step(x, y).items():
            torch.testing.assert_close(terms[name], value, rtol=1e-8, atol=1e-10)
        for name, module in other.modules().items():
            same_gradients(method.modules()[name], tuple(p.grad for p in module.parameters()))

    @pytest.mark.parametrize("changes", [{}, {"lambda_src": 1.0, "renormalize": True}, "released"])
    def test_a_step_on_a_device_asks_for_no_number(self, changes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        # A meta tensor has no numbers: what would wait for a GPU, or mix in the CPU's tensors, is an error there.
        method = build(**(RELEASED if changes == "released" else changes))
        for module in method.modules().values():
            module.to("meta")
        method.device, method.generator = torch.device("meta"), None
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)  # which knows no meta device
        monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
        patches, labels = torch.empty(8, BANDS, 5, 5, device="meta"), torch.empty(8, dtype=torch.int64, device="meta")
        terms = method.training_step(patches, labels)
        assert {(value.device.type, value.shape) for value in terms.values()} == {("meta", ())}


class TestAblations:
    @pytest.mark.parametrize(
        ("changes", "names", "pairs"),
        [
            ({}, ("a", "b", "mix_a", "mix_b"), (("a", "mix_b"), ("b", "mix_a"))),
            ({"num_generators": 1}, ("a", "mix_a"), (("a", "mix_a"),)),
            ({"mixing": False}, ("a", "b"), (("a", "b"),)),
        ],
    )
    def test_what_is_synthesized_and_compared(
        self, changes: dict[str, Any], names: tuple[str, ...], pairs: tuple[tuple[str, str], ...]
    ) -> None:
        domains = synthesized(build(**changes), batch_of()[0])
        assert tuple(domains.inputs()) == names
        assert domains.pairs() == pairs

    @pytest.mark.parametrize(
        "changes",
        [
            {"num_generators": 1},
            {"mixing": False},
            {"lambda_mi": 0.0},
            {"spectral_branch": False},
            {"spatial_branch": False},
            {"num_generators": 1, "generated_first": True},
        ],
    )
    def test_what_is_left_still_learns(self, changes: dict[str, Any]) -> None:
        method = build(**changes)
        before = all_weights(method)
        method.training_step(*batch_of())
        expected = {"discriminator", "generators"} | ({"encoder"} if method.config.lambda_mi else set())
        assert all_moved(method, before) == expected

    def test_without_mixing_the_two_domains_are_compared_both_ways(self) -> None:
        method = build_wide(mixing=False)
        x, y = batch_of()[0].double(), batch_of()[1]
        domains = synthesized(method, x)
        with torch.no_grad():
            a, b = method.discriminator(domains.a), method.discriminator(domains.b)
        terms = method.min_step(x, y, domains)
        torch.testing.assert_close(terms["kl"], kl(a, b) + kl(b, a))
        torch.testing.assert_close(terms["ce"], functional.cross_entropy(a, y) + functional.cross_entropy(b, y))

    def test_a_single_domain_is_compared_with_its_own_mix(self) -> None:
        method = build_wide(num_generators=1)
        x, y = batch_of()[0].double(), batch_of()[1]
        domains = synthesized(method, x)
        with torch.no_grad():
            a, mix = method.discriminator(domains.a), method.discriminator(domains.mix_a)
        torch.testing.assert_close(method.min_step(x, y, domains)["kl"], kl(a, mix))
        assert len(method.generators) == 1

    @pytest.mark.parametrize(
        ("changes", "unread"), [({"spectral_branch": False}, "spectral"), ({"spatial_branch": False}, "spatial")]
    )
    def test_a_branch_left_out_is_read_nowhere(self, changes: dict[str, Any], unread: str) -> None:
        method = build(**changes)
        x, _ = batch_of()
        method.discriminator.eval()
        noise = torch.zeros(3, len(x), method.config.noise_dim)
        before = method.discriminator(x), method.generators[0](x, noise)
        with torch.no_grad():
            for name, parameter in (*method.discriminator.named_parameters(), *method.generators.named_parameters()):
                if f".{unread}" in name or (unread == "spectral" and ".involution" in name):
                    parameter.add_(1.0)
        assert torch.equal(before[0], method.discriminator(x))
        assert torch.equal(before[1], method.generators[0](x, noise))

    @pytest.mark.parametrize(
        "changes", [{"num_generators": 1, "mixing": False}, {"spectral_branch": False, "spatial_branch": False}]
    )
    def test_a_network_with_nothing_left_is_rejected(self, changes: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError):
            build(**changes)

    @pytest.mark.parametrize("num", [0, 3])
    def test_one_or_two_generators(self, num: int) -> None:
        with pytest.raises(InvalidInputError):
            build(num_generators=num)


def same_everywhere(x: Tensor) -> Domains:
    return Domains(a=x, b=x, mix_a=x, mix_b=x)


RELEASED = {
    "mi_normalize": False,
    "kl_of_probabilities": True,
    "discriminator_steps_twice": True,
    "encoder_accumulates": True,
    "generator_shares_norm": True,
}


class TestRelease:
    def test_the_preset_has_the_switches_of_the_release(self) -> None:
        released, defaults = asdict(S2AMSnetConfig.released()), asdict(S2AMSnetConfig())
        assert {name: value for name, value in released.items() if value != defaults[name]} == {
            "fixed_noise": True,
            "generated_first": True,
            "calibrate_bn": False,
            "mi_normalize": False,
            "kl_of_probabilities": True,
            "discriminator_steps_twice": True,
            "encoder_accumulates": True,
            "generator_shares_norm": True,
        }

    @pytest.mark.parametrize("rms", [0.07, 0.14, 3.0])
    def test_its_noise_is_0_04_whatever_the_data(self, rms: float) -> None:
        *_, noise = S2AMSnetConfig.released().augmentations(rms=rms)
        assert isinstance(noise, RadiationNoise)
        assert noise.std == 0.04

    def test_it_passes_five_times_over_a_small_source(self) -> None:
        small = S2AMSnetConfig.released(small_source=True)
        assert small == replace(S2AMSnetConfig.released(), source_passes=5)
        assert S2AMSnetConfig.from_mapping(S2AMSnetConfig.preset("released-small-source")) == small

    def test_an_unknown_preset_is_rejected(self) -> None:
        assert S2AMSnetConfig.preset(None) == {}
        with pytest.raises(InvalidInputError, match="released"):
            S2AMSnetConfig.preset("relesed")

    @pytest.mark.parametrize(
        ("generated_first", "order"), [(False, ("a", "mix_b", "b", "mix_a")), (True, ("a", "b", "mix_a", "mix_b"))]
    )
    def test_both_steps_run_the_discriminator_in_its_order(
        self, generated_first: bool, order: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        method = build(generated_first=generated_first)
        x, y = batch_of()
        domains = synthesized(method, x)
        seen: list[str] = []

        def hear(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen.extend(name for name in order if torch.equal(args[0], getattr(domains, name)))

        method.discriminator.register_forward_pre_hook(hear)
        method.min_step(x, y, domains)
        method.max_step(x, domains)
        assert tuple(seen) == 2 * order

    def test_the_order_changes_running_statistics_and_no_weight(self) -> None:
        x, y = batch_of()
        by_order = [build(generated_first=generated_first) for generated_first in (False, True)]
        for method in by_order:
            method.training_step(x, y)
        ours, theirs = (method.discriminator for method in by_order)
        for name, parameter in theirs.named_parameters():
            torch.testing.assert_close(ours.get_parameter(name), parameter, rtol=1e-4, atol=1e-6)
        means = [name for name, _ in ours.named_buffers() if name.endswith("_norm.running_mean")]
        assert means
        for name in means:
            assert not torch.allclose(ours.get_buffer(name), theirs.get_buffer(name), rtol=1e-3)

    def test_equal_inputs_have_no_divergence_but_a_negative_one_in_the_release(self) -> None:
        x, y = batch_of()
        assert build().min_step(x, y, same_everywhere(x))["kl"].item() == pytest.approx(0.0, abs=1e-6)
        method = build(kl_of_probabilities=True)
        with torch.no_grad():
            p = method.discriminator(x).softmax(1)
        released = method.min_step(x, y, same_everywhere(x))["kl"]
        torch.testing.assert_close(released, 2 * (p * (p.log() - p)).mean())
        assert released < 0

    def test_rows_that_are_not_normalized_weigh_by_their_length(self) -> None:
        x, _ = batch_of()
        method = build(mi_normalize=False)
        domains = synthesized(method, x)
        with torch.no_grad():
            expected = sum(
                mutual_information(method.encoder(x), method.encoder(g), temperature=0.07, normalize=False)
                for g in (domains.a, domains.b)
            )
        torch.testing.assert_close(method.max_step(x, domains)["mi"], expected)
        normalized = build()
        assert expected > 100 * normalized.max_step(x, synthesized(normalized, x))["mi"]

    def test_the_discriminator_steps_again_on_the_min_step_s_gradients(self) -> None:
        x, y = batch_of()
        once, twice = build(), build(discriminator_steps_twice=True)
        for method in (once, twice):
            method.training_step(x, y)
        assert len(moved(twice.discriminator, weights(once.discriminator))) > 0.8 * len(weights(once.discriminator))
        once.optimizers()["discriminator"].step()
        assert moved(twice.discriminator, weights(once.discriminator)) == []
        assert moved(twice.generators, weights(once.generators)) == []

    def test_the_encoder_s_gradients_pile_up(self) -> None:
        x, y = batch_of()
        zeroed, piled = build(), build(encoder_accumulates=True)
        gradients: dict[str, list[dict[str, Tensor]]] = {"zeroed": [], "piled": []}
        for _ in range(2):  # the first step is the same in both, so the second starts from the same weights
            for name, method in (("zeroed", zeroed), ("piled", piled)):
                method.training_step(x, y)
                gradients[name].append({n: p.grad.clone() for n, p in method.encoder.named_parameters()})
        for name, first in gradients["zeroed"][0].items():
            torch.testing.assert_close(gradients["piled"][0][name], first)
            torch.testing.assert_close(gradients["piled"][1][name], first + gradients["zeroed"][1][name])
        assert moved(piled.encoder, weights(zeroed.encoder))
        assert moved(piled.generators, weights(zeroed.generators)) == []

    @pytest.mark.parametrize(("shared", "expected"), [(False, 36_852), (True, 36_468)])
    def test_a_generator_s_blocks_share_a_norm(self, shared: bool, expected: int) -> None:
        config = S2AMSnetConfig(patch_size=5, width=8, generator_shares_norm=shared)
        method = S2AMSnet(config, bands=48, classes=7, seed=0, device=torch.device("cpu"))
        assert [sum(p.numel() for p in g.parameters()) for g in method.generators] == [expected, expected]
        assert sum(p.numel() for p in method.encoder.parameters()) == 117_112

    def test_it_trains(self) -> None:
        method = build(**RELEASED)
        for seed in range(3):
            assert all(torch.isfinite(v) for v in method.training_step(*batch_of(seed)).values())

    def test_a_restored_run_continues_bit_for_bit(self) -> None:
        uninterrupted, restored = build(**RELEASED), build(**RELEASED)
        for seed in range(2):
            uninterrupted.training_step(*batch_of(seed))
        buffer = io.BytesIO()
        torch.save(uninterrupted.state_dict(), buffer)
        restored.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
        for method in (uninterrupted, restored):
            method.training_step(*batch_of(2))
        assert all_moved(restored, all_weights(uninterrupted)) == set()


class TestConfiguration:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("width", 0),
            ("generator_channels", 0),
            ("noise_dim", 0),
            ("beta_alpha", 0.0),
            ("temperature", 0.0),
            ("init_std", -1.0),
            *((f"lambda_{name}", -0.1) for name in ("ce", "kl", "adv", "mi", "src")),
        ],
    )
    def test_a_value_out_of_range_is_refused(self, name: str, value: float) -> None:
        with pytest.raises(InvalidInputError, match=f"{name} = {value}"):
            S2AMSnetConfig(**{name: value})

    def test_what_may_be_zero_may_be_zero(self) -> None:
        config = S2AMSnetConfig(lambda_ce=0, lambda_kl=0, lambda_adv=0, lambda_mi=0, lambda_src=0, noise_scale=0)
        assert config.lambda_kl == 0

    def test_settings_reach_the_networks(self) -> None:
        method = build(noise_dim=5, init_std=0.02, renormalize=True)
        x, _ = batch_of()
        domains = synthesized(method, x)
        torch.testing.assert_close(domains.a.norm(dim=1), x.norm(dim=1))
        assert method.generators[0].adains[0].linear.in_features == 5
        assert method.generators[1].decoder.weight.std().item() == pytest.approx(0.02, rel=0.2)
        assert method.generators[0].blocks[0].spectral.out_channels == 6
        assert method.discriminator.head[-1].in_features == 8
