"""S2VNet whole: its size, how its parts are joined, and that a patch's logits are its own affair."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.networks.s2vnet.losses import band_variation, gaussian_divergence
from sceneshift.networks.s2vnet.network import Departures, Parts, S2VNetwork
from sceneshift.networks.s2vnet.unmixing import EDGE

BANDS, CLASSES, PATCH = 9, 4, 5
RELEASED = ("endmembers", "decoder_input", "batch_axis", "batch_cosine", "offset")
PARTS = ("variability", "nonlinear", "cosine", "unmixing")


def build(*, seed: int = 0, patch_size: int = PATCH, **departures: bool) -> S2VNetwork:
    torch.manual_seed(seed)
    return S2VNetwork(
        BANDS, CLASSES, patch_size=patch_size, width=8, heads=2, departures=Departures(**departures)
    ).double()


def without(*parts: str) -> S2VNetwork:
    torch.manual_seed(0)
    left_out = Parts(**dict.fromkeys(parts, False))
    return S2VNetwork(BANDS, CLASSES, patch_size=PATCH, width=8, heads=2, parts=left_out).double()


def used(network: S2VNetwork, seed: int = 0) -> S2VNetwork:
    """In eval mode, off its start: running statistics and weights are no longer those of a new network."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        network.keep_endmembers_in_range()
        network.train()
        for _ in range(3):
            network(patches_of(8, seed=seed, patch_size=network.patch_size))
    return network.eval()


def patches_of(batch: int, *, seed: int = 0, patch_size: int = PATCH) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((batch, BANDS, patch_size, patch_size)))


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_unmoved(network: nn.Module, before: dict[str, Tensor]) -> None:
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class TestSize:
    def test_parameters_are_as_many_as_published(self) -> None:
        network = S2VNetwork(200, 16, patch_size=7)
        assert sum(parameter.numel() for parameter in network.parameters()) == 227_786

    @pytest.mark.parametrize("departures", [{}, *({name: True} for name in RELEASED)])
    def test_no_departure_changes_the_parameters(self, departures: dict[str, bool]) -> None:
        shapes = {name: value.shape for name, value in build().state_dict().items()}
        assert {name: value.shape for name, value in build(**departures).state_dict().items()} == shapes

    @pytest.mark.parametrize(("bands", "classes", "patch_size"), [(4, 2, 3), (103, 9, 9), (48, 7, 11)])
    def test_any_bands_classes_and_patch(self, bands: int, classes: int, patch_size: int) -> None:
        torch.manual_seed(0)
        network = S2VNetwork(bands, classes, patch_size=patch_size, width=8, heads=2)
        logits = network(torch.rand(2, bands, patch_size, patch_size))
        assert logits.shape == (2, classes)
        assert torch.isfinite(logits).all()
        assert not torch.allclose(logits[0], logits[1])

    @pytest.mark.parametrize("patch_size", [1, 4])
    def test_a_patch_size_that_does_not_fit_is_named(self, patch_size: int) -> None:
        with pytest.raises(InvalidInputError, match=rf"patch_size = {patch_size}.*3"):
            S2VNetwork(BANDS, CLASSES, patch_size=patch_size)

    @pytest.mark.parametrize(
        "shape", [(2, BANDS, PATCH, PATCH + 2), (2, BANDS + 1, PATCH, PATCH), (BANDS, PATCH, PATCH)]
    )
    def test_wrong_patches_are_named(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(InvalidInputError, match=r"expected \(B, 9, 5, 5\)"):
            build()(torch.zeros(shape).double())


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


class TestParts:
    def test_the_view_is_its_parts_joined(self) -> None:
        network, x = used(build(patch_size=7)), patches_of(3, patch_size=7)
        with torch.no_grad():
            view = network.view(x)
            variation = network.variability(network.endmembers)
            first, second = variation.endmembers.chunk(2)
            conv, norm, _ = network.abundance_features
            for b, patch in enumerate(x):
                spectra = patch.flatten(1).T  # pixels in rows
                scores = network.encoder(spectra).abs()
                shares = scores / scores.sum(dim=1, keepdim=True)
                reconstruction = network.decoder(shares, variation.endmembers)
                of_patch = slice(49 * b, 49 * (b + 1))
                torch.testing.assert_close(view.abundances[of_patch], shares, rtol=1e-8, atol=1e-10)
                torch.testing.assert_close(view.reconstruction[of_patch], reconstruction, rtol=1e-8, atol=1e-10)
                maps = functional.conv2d(shares.T.reshape(1, CLASSES, 7, 7), conv.weight, conv.bias, stride=2)
                features = torch.relu(norm(maps))
                torch.testing.assert_close(view.abundance_features[b : b + 1], features, rtol=1e-8, atol=1e-10)
                joined = torch.cat([features.flatten(1), network.pixel_classifier(patch[None])], dim=1)
                joint = torch.relu(joined @ network.joint.weight.T + network.joint.bias)
                mean = reconstruction.mean(dim=0).numpy()
                cosines = [cosine(mean, endmember) for endmember in (first + second).T.numpy()]
                fused = torch.cat([joint, torch.tensor([cosines])], dim=1)
                logits = fused @ network.head.weight.T + network.head.bias
                torch.testing.assert_close(view.logits[b : b + 1], logits, rtol=1e-8, atol=1e-8)
            assert view.abundance_features.shape == (3, CLASSES, 3, 3)
            assert torch.equal(network(x), view.logits)

    def test_abundances_are_not_negative_and_sum_to_one(self) -> None:
        abundances = used(build()).view(patches_of(6)).abundances
        assert abundances.shape == (6 * PATCH**2, CLASSES)
        assert abundances.min() >= 0
        torch.testing.assert_close(abundances.sum(dim=1), torch.ones(6 * PATCH**2).double(), rtol=1e-12, atol=0)
        assert abundances.std(dim=0).min() > 1e-3

    def test_unmixing_single_pixels_is_unmixing_patches(self) -> None:
        network, x = used(build()), patches_of(2)
        view = network.view(x)
        abundances, reconstruction, _ = network.unmix(x.permute(0, 2, 3, 1).reshape(-1, BANDS))
        torch.testing.assert_close(abundances, view.abundances)
        torch.testing.assert_close(reconstruction, view.reconstruction)

    def test_every_parameter_gets_a_gradient(self) -> None:
        network, noise = build().train(), torch.randn(2 * BANDS, 4).double()
        view = network.view(patches_of(8), noise)
        weights = torch.randn_like(view.logits)
        ((view.logits * weights).sum() + view.reconstruction.square().sum()).backward()
        assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

    def test_logits_are_float32_under_autocast_and_near_those_without(self) -> None:
        network, x = used(build()).float(), patches_of(6).float()
        full = network(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = network(x)
        assert rounded.dtype == torch.float32
        assert not torch.equal(rounded, full)
        assert (rounded - full).norm() < 0.05 * full.norm()


class TestEndmembers:
    def test_they_are_one_parameter_that_starts_within_its_range(self) -> None:
        network = build()
        assert dict(network.named_parameters())["endmembers"] is network.endmembers
        assert network.endmembers.shape == (2 * BANDS, CLASSES)
        assert network.endmembers.min() >= EDGE
        assert network.endmembers.max() <= 1 - EDGE

    def test_they_start_from_given_spectra_with_a_small_second_layer(self) -> None:
        network, spectra = build(), torch.rand(CLASSES, BANDS).double()
        spectra[0, 0], spectra[1, 0], spectra[2, 0] = 0, 1, -3
        parameter = network.endmembers
        network.start_from(spectra)
        assert network.endmembers is parameter
        first, second = network.endmembers.detach().chunk(2)
        torch.testing.assert_close(first.T, spectra.clamp(EDGE, 1 - EDGE))
        assert second.unique().tolist() == [0.01]
        adjusted = network.eval().view(patches_of(1)).variation.endmembers
        torch.testing.assert_close(adjusted, network.endmembers, rtol=0, atol=0.03)

    def test_they_are_kept_off_zero_and_one(self) -> None:
        for network in (build(), build().float()):
            with torch.no_grad():
                network.endmembers.copy_(torch.linspace(-1, 2, 2 * BANDS * CLASSES).view(2 * BANDS, CLASSES))
            network.keep_endmembers_in_range()
            assert network.endmembers.min().item() == pytest.approx(EDGE, rel=1e-5)
            assert 1 - network.endmembers.max().item() == pytest.approx(EDGE, rel=0.05)
            assert torch.isfinite(network.variability(network.endmembers).endmembers).all()


class TestPurity:
    def test_a_patch_has_the_same_logits_alone_in_any_batch_in_any_order_and_twice(self) -> None:
        network, x = used(build()), patches_of(7)
        before = state_of(network)
        order = torch.tensor([4, 0, 6, 2, 5, 1, 3])
        with torch.no_grad():
            together = network(x)
            again = network(x)
            alone = torch.cat([network(patch[None]) for patch in x])
            shuffled = network(x[order])
            pairs = torch.cat([network(x[[i, (3 * i + 1) % 7]])[:1] for i in range(7)])
            among_giants = torch.cat([network(torch.cat([1e6 * x[1:], p[None]]))[-1:] for p in x])
        assert torch.equal(again, together)
        for other in (alone, pairs, among_giants):
            torch.testing.assert_close(other, together, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(shuffled, together[order], rtol=1e-10, atol=1e-10)
        assert together.std(dim=0).min() > 1e-3
        assert_unmoved(network, before)

    def test_evaluation_draws_nothing(self) -> None:
        network, x = used(build()), patches_of(2)
        before = torch.random.get_rng_state()
        network(x)
        assert torch.equal(torch.random.get_rng_state(), before)

    @pytest.mark.parametrize("name", [None, *RELEASED])
    def test_forward_moves_no_parameter_in_training_either(self, name: str | None) -> None:
        network = build(**({name: True} if name else {})).train()
        before = {n: p.clone() for n, p in network.named_parameters()}
        network.view(patches_of(4), torch.randn(2 * BANDS, 4).double())
        assert all(torch.equal(p, before[n]) for n, p in network.named_parameters())

    @pytest.mark.parametrize(("name", "depends"), [*((name, name.startswith("batch_")) for name in RELEASED)])
    def test_released_axis_and_cosine_make_it_hang_on_its_neighbours(self, name: str, depends: bool) -> None:
        network, x = used(build(**{name: True})), patches_of(4)
        with torch.no_grad():
            moved = (network(x)[0] - network(x[[0, 3]])[0]).abs().max()
        assert moved > 1e-5 if depends else moved < 1e-10


class TestReleasedForms:
    def view(self, **departures: bool) -> Any:
        with torch.no_grad():
            return used(build(**departures)).view(patches_of(3))

    def test_endmembers_of_the_release_stay_above_one_half(self) -> None:
        assert self.view(endmembers=True).variation.endmembers.min() >= 0.5
        assert self.view().variation.endmembers.min() < 0.3

    def test_its_decoder_is_fed_scores(self) -> None:
        network, x = used(build(decoder_input=True)), patches_of(3)
        spectra = x.permute(0, 2, 3, 1).reshape(-1, BANDS)
        abundances, reconstruction, variation = network.unmix(spectra)
        layers = torch.relu(network.encoder(spectra) @ variation.endmembers.T)
        mixed = network.decoder.outer(torch.sigmoid(network.decoder.inner(layers)))
        torch.testing.assert_close(reconstruction, mixed + layers[:, :BANDS] + layers[:, BANDS:])
        torch.testing.assert_close(abundances, self.view().abundances)  # of the same weights

    def test_its_cosine_has_one_norm_for_the_batch(self) -> None:
        network, x = used(build(batch_cosine=True)), patches_of(3)
        view = network.view(x)
        spectra = view.reconstruction.view(3, -1, BANDS).mean(dim=1)
        first, second = view.variation.endmembers.chunk(2)
        cosines = spectra @ (first + second) / spectra.norm() ** 2
        joined = torch.cat([view.abundance_features.flatten(1), network.pixel_classifier(x)], dim=1)
        logits = network.head(torch.cat([torch.relu(network.joint(joined)), cosines], dim=1))
        torch.testing.assert_close(view.logits, logits)


class TestWithoutParts:
    """What a network without one of its parts computes, and that the part is read nowhere."""

    @pytest.mark.parametrize("part", PARTS)
    def test_parameters_are_the_same_and_the_logits_others(self, part: str) -> None:
        whole, network = used(build()), without(part)
        network.load_state_dict(whole.state_dict())
        assert not torch.allclose(network.eval()(patches_of(3)), whole(patches_of(3)))

    def test_endmembers_that_don_t_vary_are_the_matrix_s_own(self) -> None:
        network = used(without("variability"))
        variation = network.view(patches_of(3), torch.randn(2 * BANDS, 4).double()).variation
        assert torch.equal(variation.endmembers, network.endmembers)
        assert gaussian_divergence(variation.mean, variation.log_variance) == 0
        assert band_variation(variation.perturbation) == 0

    def test_without_the_nonlinear_part_a_reconstruction_is_a_mixture(self) -> None:
        network = used(without("nonlinear"))
        view = network.view(patches_of(3))
        first, second = view.variation.endmembers.chunk(2)
        torch.testing.assert_close(view.reconstruction, view.abundances @ (first + second).T)

    @pytest.mark.parametrize(
        ("part", "unread"),
        [
            ("variability", ("variability",)),
            ("nonlinear", ("decoder",)),
            ("cosine", ()),
            ("unmixing", ("encoder", "variability", "decoder", "abundance_features", "joint", "head", "endmembers")),
        ],
    )
    def test_the_part_is_read_nowhere(self, part: str, unread: tuple[str, ...]) -> None:
        network, x = used(without(part)), patches_of(3)
        before = network(x)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.startswith(unread) if unread else False:
                    parameter.add_(0.01)
            if part == "cosine":
                network.head.weight[:, CLASSES:].add_(1.0)
        assert torch.equal(network(x), before)

    @pytest.mark.parametrize("part", PARTS)
    def test_a_step_trains_what_is_left(self, part: str) -> None:
        network = without(part).train()
        network.view(patches_of(4), torch.randn(2 * BANDS, 4).double()).logits.square().sum().backward()
        grads = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        assert any(name.startswith("pixel_classifier") for name in grads)
        assert all(torch.isfinite(grad).all() for grad in grads.values())


class TestHardCases:
    @pytest.mark.parametrize("name", [None, *RELEASED])
    def test_a_batch_of_one_trains_and_predicts(self, name: str | None) -> None:
        network = build(**({name: True} if name else {})).float()
        x = patches_of(1).float()
        network.train().view(x, torch.randn(2 * BANDS, 4)).logits.square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())
        assert torch.isfinite(network.eval()(x)).all()

    @pytest.mark.parametrize("patch", ["constant band", "zeros", "ones"])
    def test_patches_without_variation_give_finite_logits_and_gradients(self, patch: str) -> None:
        network, x = build().float().train(), patches_of(4).float()
        if patch == "constant band":
            x[:, 2] = 0
        else:
            x.fill_(float(patch == "ones"))
        network.start_from(x.mean(dim=(2, 3)))  # as the classes' means would be
        view = network.view(x, torch.randn(2 * BANDS, 4))
        (view.logits.square().sum() + view.reconstruction.square().sum()).backward()
        assert torch.isfinite(view.logits).all()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())
        assert torch.isfinite(network.eval()(x)).all()

    def test_huge_values_give_finite_logits(self) -> None:
        assert torch.isfinite(used(build()).float()(1e6 * patches_of(2).float())).all()
