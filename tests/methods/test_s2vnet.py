"""S2VNet's way of learning: a step by hand, where it starts, how its learning rate falls."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.methods.s2vnet import S2VNet, S2VNetConfig
from sceneshift.networks.s2vnet.retentive import PixelClassifier
from sceneshift.networks.s2vnet.unmixing import EDGE

BANDS, CLASSES, PATCH = 8, 3, 5
CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"patch_size": PATCH, "batch_size": 12, "width": 8, "heads": 2, "lr": 0.01}
RELEASED = ("released_endmembers", "released_decoder_input", "released_batch_axis", "released_cosine")
WEIGHTS = {"lambda_sad": 0.7, "lambda_kl": 0.3, "lambda_tv_e": 0.2, "lambda_tv_a": 0.4}


def build(**changes: Any) -> S2VNet:
    return S2VNet(S2VNetConfig(**SMALL | changes), bands=BANDS, classes=CLASSES, seed=0, device=CPU)


def separable_batch(batch: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three spectra with some noise, in [0, 1]."""
    spectra = torch.from_numpy(np.random.default_rng(7).uniform(0.2, 0.8, (CLASSES, BANDS))).float()
    labels = torch.arange(batch) % CLASSES
    noise = torch.randn(batch, BANDS, PATCH, PATCH, generator=torch.Generator().manual_seed(seed))
    return (spectra[labels][:, :, None, None] + 0.03 * noise).clamp(0, 1), labels


def loss_by_hand(method: S2VNet, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The five terms and their weighted sum, out of what the network makes of a batch."""
    noise = torch.randn(2 * BANDS, method.config.z_dim, generator=method.generator)
    view = method.network.train().view(patches, noise)
    variation, config = view.variation, method.config
    pixels = patches.permute(0, 2, 3, 1).reshape(-1, BANDS)
    cosines = functional.cosine_similarity(pixels, view.reconstruction, dim=1)
    delta, features = variation.perturbation, view.abundance_features
    steps = torch.cat([delta[1:BANDS] - delta[: BANDS - 1], delta[BANDS + 1 :] - delta[BANDS:-1]])
    down, across = features[:, :, 1:] - features[:, :, :-1], features[..., 1:] - features[..., :-1]
    spread = 1 + variation.log_variance - variation.mean**2 - variation.log_variance.exp()
    terms = {
        "ce": -view.logits.log_softmax(dim=1)[torch.arange(len(labels)), labels].mean(),
        "sad": torch.acos(cosines).mean(),
        "kl": (-0.5 * spread.sum(dim=1)).mean(),
        "tv_e": steps.abs().mean(),
        "tv_a": ((down**2).sum() + (across**2).sum()) / (2 * len(patches) * features.shape[2] * features.shape[3]),
    }
    weights = {"ce": 1.0} | {name: getattr(config, f"lambda_{name}") for name in terms if name != "ce"}
    return {"loss": sum((weights[name] * term for name, term in terms.items()), torch.zeros(()))} | terms


class TestStep:
    def test_steps_are_adams_on_the_summed_loss(self) -> None:
        method, twin = build(**WEIGHTS), build(**WEIGHTS)
        for one in (method, twin):
            one.network.double()
        patches, labels = separable_batch()
        patches = patches.double()
        names = [name for name, _ in twin.network.named_parameters()]
        first = {name: torch.zeros_like(p) for name, p in twin.network.named_parameters()}
        second = {name: torch.zeros_like(p) for name, p in twin.network.named_parameters()}
        for step in range(1, 4):
            terms = loss_by_hand(twin, patches, labels)
            gradients = torch.autograd.grad(terms["loss"], list(twin.network.parameters()))
            with torch.no_grad():
                for name, p, g in zip(names, twin.network.parameters(), gradients, strict=True):
                    first[name] = 0.9 * first[name] + 0.1 * g
                    second[name] = 0.999 * second[name] + 0.001 * g**2
                    corrected = (second[name] / (1 - 0.999**step)).sqrt() + 1e-8
                    p -= 0.01 * first[name] / (1 - 0.9**step) / corrected
                twin.network.endmembers.clamp_(1e-6, 1 - 1e-6)
            found = method.training_step(patches, labels)
            assert found.keys() == terms.keys()
            for name, value in terms.items():
                assert found[name].item() == pytest.approx(value.item(), rel=1e-7), name
        for name, value in method.network.state_dict().items():
            torch.testing.assert_close(value, twin.network.state_dict()[name], rtol=1e-6, atol=1e-8)

    @pytest.mark.parametrize("name", WEIGHTS)
    def test_every_weight_counts_its_own_term(self, name: str) -> None:
        zero = dict.fromkeys(WEIGHTS, 0.0)
        terms = build(**zero | {name: 2.0}).training_step(*separable_batch())
        expected = terms["ce"] + 2 * terms[name.removeprefix("lambda_")]
        torch.testing.assert_close(terms["loss"], expected)
        assert terms[name.removeprefix("lambda_")] > 0

    def test_terms_are_float32_under_autocast(self) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            rounded = build().training_step(*separable_batch())
        full = build().training_step(*separable_batch())
        for name, value in rounded.items():
            assert value.dtype == torch.float32, name
            assert value.item() == pytest.approx(full[name].item(), rel=0.15, abs=0.02), name

    def test_the_noise_is_the_methods_own_draw_and_matters(self) -> None:
        one, other = build(), build()
        other.generator.manual_seed(5)
        batch = separable_batch()
        assert one.training_step(*batch)["sad"] != other.training_step(*batch)["sad"]

    def test_a_step_after_an_evaluation_is_in_train_mode_again(self) -> None:
        method = build()
        method.classifier.eval()
        method.training_step(*separable_batch())
        assert all(module.training for module in method.classifier.modules())

    @pytest.mark.parametrize("released", [None, *RELEASED])
    def test_a_batch_of_one_trains_and_predicts(self, released: str | None) -> None:
        method = build(**({released: True} if released else {}))
        patches, labels = separable_batch()
        for i in range(3):
            terms = method.training_step(patches[i : i + 1], labels[i : i + 1])
            assert all(torch.isfinite(value) for value in terms.values())
        assert all(torch.isfinite(value).all() for value in method.network.state_dict().values())
        assert torch.isfinite(method.classifier.eval()(patches[:1])).all()

    def test_a_constant_band_gives_no_nan(self) -> None:
        method = build()
        patches, labels = separable_batch()
        patches[:, 2] = 0
        patches[0] = 0  # and a patch of spectra of zeros
        method.begin(patches[:, :, 2, 2], labels)
        for _ in range(5):
            terms = method.training_step(patches, labels)
            assert all(torch.isfinite(value) for value in terms.values())
            assert all(torch.isfinite(p.grad).all() for p in method.network.parameters())
        assert torch.isfinite(method.classifier.eval()(patches)).all()


class TestEndmembers:
    def test_they_start_at_the_classes_mean_spectra(self) -> None:
        method = build()
        spectra, labels = torch.rand(20, BANDS, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
        method.begin(spectra, labels)
        first, second = method.network.endmembers.detach().chunk(2)
        for k in range(2):
            torch.testing.assert_close(first[:, k], spectra[labels == k].mean(dim=0))
        torch.testing.assert_close(first[:, 2], spectra.mean(dim=0))  # a class without a training pixel
        assert second.max() <= 0.01

    def test_beginning_replaces_no_parameter(self) -> None:
        method = build()
        parameter = method.network.endmembers
        method.begin(*(t[:, :, 2, 2] if t.ndim == 4 else t for t in separable_batch()))
        (group,) = method.optimizers()["network"].param_groups
        assert method.network.endmembers is parameter
        assert any(p is parameter for p in group["params"])

    def test_those_of_the_release_start_at_random(self) -> None:
        method = build(released_endmembers=True)
        before = method.network.endmembers.detach().clone()
        method.begin(torch.rand(6, BANDS), torch.arange(6) % 3)
        assert torch.equal(method.network.endmembers, before)
        assert before.std() > 0.05

    def test_the_optimizer_moves_them_at_every_step_within_their_range(self) -> None:
        method = build(lr=0.2)  # far enough to run into both ends
        parameter = method.network.endmembers
        seen = [parameter.detach().clone()]
        for seed in range(8):
            method.training_step(*separable_batch(seed=seed))
            seen.append(parameter.detach().clone())
            assert parameter.min() >= torch.tensor(EDGE)
            assert parameter.max() <= torch.tensor(1 - EDGE)
        assert method.network.endmembers is parameter
        assert all(not torch.equal(one, other) for one, other in itertools.pairwise(seen))
        assert seen[-1].min() == torch.tensor(EDGE)
        assert seen[-1].max() == torch.tensor(1 - EDGE)


class TestLearningRate:
    def rates(self, epochs: int, **changes: Any) -> list[float]:
        method = build(**changes)
        rates = []
        for epoch in range(1, epochs + 1):
            method.begin_epoch(epoch, epochs=epochs)
            rates += [group["lr"] for group in method.optimizers()["network"].param_groups]
        return rates

    def test_it_falls_to_nine_tenths_at_every_tenth_and_not_an_epoch_early(self) -> None:
        rates = self.rates(500)
        assert rates[:50] == [0.01] * 50
        assert rates[50] == pytest.approx(0.009)
        expected = [0.01 * 0.9**tenth for tenth in range(10) for _ in range(50)]
        assert rates == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("epochs", [1, 3, 10, 15, 64])
    def test_no_fall_comes_before_its_tenth_is_done(self, epochs: int) -> None:
        for done, rate in enumerate(self.rates(epochs)):
            tenths = sum(10 * done >= tenth * epochs for tenth in range(1, 10))
            assert rate == pytest.approx(0.01 * 0.9**tenths, rel=1e-12)

    def test_it_follows_from_the_epoch_alone(self) -> None:
        method = build()
        for epoch in (9, 2, 9, 1):
            method.begin_epoch(epoch, epochs=10)
            assert method.optimizers()["network"].param_groups[0]["lr"] == pytest.approx(0.01 * 0.9 ** (epoch - 1))

    def test_the_decay_is_as_asked_for(self) -> None:
        assert self.rates(10, lr_decay=0.5)[-1] == pytest.approx(0.01 * 0.5**9)
        assert set(self.rates(10, lr_decay=1.0)) == {0.01}


class TestLearning:
    def test_a_separable_problem_is_learned(self) -> None:
        method = build()
        patches, labels = separable_batch(24)
        method.begin(patches[:, :, 2, 2], labels)
        terms = [method.training_step(patches, labels) for _ in range(60)]
        assert terms[0]["ce"] > 0.8
        assert terms[-1]["ce"] < 0.2
        assert terms[-1]["sad"] < 0.3 * terms[0]["sad"]
        unseen, their_labels = separable_batch(30, seed=1)
        calibrate_batch_norm(method.classifier, [patches])
        assert torch.equal(method.classifier(unseen).argmax(dim=1), their_labels)

    def test_after_training_evaluation_moves_nothing_and_is_a_patch_s_own(self) -> None:
        method = build()
        for seed in range(5):
            method.training_step(*separable_batch(seed=seed))
        network, (patches, _) = method.network.eval().double(), separable_batch()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        with torch.no_grad():
            together, again = network(patches.double()), network(patches.double())
            alone = torch.cat([network(patch[None].double()) for patch in patches.flip(0)]).flip(0)
        assert torch.equal(together, again)
        torch.testing.assert_close(alone, together, rtol=1e-10, atol=1e-10)
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class TestConfiguration:
    def test_defaults_are_the_paper_s(self) -> None:
        config = S2VNetConfig()
        assert (config.patch_size, config.batch_size, config.lr, config.lr_decay) == (7, 64, 1e-3, 0.9)
        assert (config.flips, config.noise_scale) == (False, 0)
        assert (config.width, config.heads, config.z_dim) == (32, 4, 4)
        assert (config.lambda_sad, config.lambda_kl, config.lambda_tv_e, config.lambda_tv_a) == (1, 0.01, 0.01, 0.01)
        assert not any(getattr(config, name) for name in RELEASED)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("lr_decay", 0.0),
            ("lr_decay", 1.1),
            ("lr_decay", math.nan),
            ("heads", 0),
            ("z_dim", 0),
            ("width", 30),
            ("width", 0),
            ("lambda_sad", -1.0),
            ("lambda_kl", math.inf),
            ("lambda_tv_e", -0.1),
            ("lambda_tv_a", math.nan),
        ],
    )
    def test_a_value_out_of_range_is_refused(self, name: str, value: float) -> None:
        with pytest.raises(InvalidInputError, match=f"{name} = {value!r}"):
            S2VNetConfig(**{name: value})

    def test_sizes_reach_the_network(self) -> None:
        network = build(width=12, heads=3, z_dim=5).network
        assert network.pixel_classifier.head.weight.shape == (CLASSES, 12)
        assert network.pixel_classifier.block.attention.heads == 3
        assert network.variability.mean.weight.shape == (5, CLASSES)

    @pytest.mark.parametrize("released", RELEASED)
    def test_each_released_form_changes_the_logits_by_itself(self, released: str) -> None:
        patches = separable_batch()[0].double()
        ours, theirs = (build(**forms).network.double().eval() for forms in ({}, {released: True}))
        theirs.load_state_dict(ours.state_dict())
        assert not torch.allclose(ours(patches), theirs(patches), rtol=0, atol=1e-8)


def test_compiling_reaches_what_a_step_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: compiled.append((self, options)))
    method = build()
    with pytest.raises(InvalidInputError, match="CUDA"):
        method.compile()
    method.device = torch.device("cuda")
    method.compile()
    modules = [module for module, _ in compiled]
    assert modules[0] is method.network
    assert any(isinstance(module, PixelClassifier) for module in modules)
    assert {id(module) for module in modules[1:]} == {id(child) for child in method.network.children()}
    assert all(options == {"dynamic": False} for _, options in compiled)
