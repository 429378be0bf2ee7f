"""Batch-norm statistics: the plain average over the batches given, and nothing else moves."""

import pytest
import torch
from torch import nn

from sceneshift.methods import batch_norm
from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.networks.discriminator import Discriminator


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.37), nn.Dropout(0.5))


def batches(num: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(6, 3, 5, 5, generator=generator) * (1 + i) + i for i in range(num)]


def test_statistics_are_the_plain_average_over_the_batches() -> None:
    net = network()
    net(torch.full((2, 3, 5, 5), 1e3))  # statistics from before must be forgotten
    calibrate_batch_norm(net, iter(batches()))
    means = torch.stack([x.mean(dim=(0, 2, 3)) for x in batches()])
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(dim=1) for x in batches()])
    torch.testing.assert_close(net[0].running_mean, means.mean(dim=0))
    torch.testing.assert_close(net[0].running_var, variances.mean(dim=0))


def test_inner_layers_see_their_input_normalized_batch_by_batch() -> None:
    net = network()
    calibrate_batch_norm(net, batches())
    with torch.no_grad():
        hidden = [net[1](nn.functional.batch_norm(x, None, None, net[0].weight, net[0].bias, True)) for x in batches()]
    torch.testing.assert_close(net[2].running_mean, torch.stack([h.mean(dim=(0, 2, 3)) for h in hidden]).mean(dim=0))


def test_one_batch_gives_its_own_statistics() -> None:
    net = network()
    calibrate_batch_norm(net, batches(1))
    torch.testing.assert_close(net[0].running_mean, batches(1)[0].mean(dim=(0, 2, 3)))


def test_calibrating_twice_is_calibrating_once() -> None:
    net = network()
    calibrate_batch_norm(net, batches())
    once = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    calibrate_batch_norm(net, batches())
    assert all(torch.equal(tensor, once[name]) for name, tensor in net.state_dict().items())


def test_weights_stay_and_momentum_comes_back() -> None:
    net = network()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    calibrate_batch_norm(net, batches())
    assert all(torch.equal(p, before[name]) for name, p in net.named_parameters())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert (net[0].momentum, net[2].momentum) == (0.1, 0.37)


@pytest.mark.parametrize("training", [True, False])
def test_the_module_is_left_in_eval_mode_and_run_without_dropout(training: bool) -> None:
    net = network().train(training)
    modes = []
    net[3].register_forward_hook(lambda module, *_: modes.append(module.training))
    calibrate_batch_norm(net, batches())
    assert modes == [False] * 5
    assert not any(module.training for module in net.modules())


def test_a_norm_without_running_statistics_is_left_alone() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.BatchNorm2d(3))
    calibrate_batch_norm(net, batches())
    assert net[0].running_mean is None
    assert net[1].running_mean.abs().max() < 1e-5  # what the first has normalized


def test_a_module_without_batch_norm_is_only_put_into_eval_mode() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    def nothing_may_be_read() -> object:
        yield pytest.fail("no batch is needed")

    calibrate_batch_norm(net, nothing_may_be_read())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not net.training


class BatchByBatch(Discriminator):
    """A discriminator that records the patches of each pass; as a separate type it is given batch after batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes = [*getattr(self, "passes", []), len(x)]
        return super().forward(x)


@pytest.mark.parametrize("patch_size", [5, 7])
@pytest.mark.parametrize(("sizes", "most"), [((5, 4, 4, 4, 4), 9), ((5, 4, 4, 4, 4), 512), ((2,), 512), ((9, 3, 2), 8)])
def test_stacked_batches_give_a_discriminator_the_statistics_of_each(
    monkeypatch: pytest.MonkeyPatch, patch_size: int, sizes: tuple[int, ...], most: int
) -> None:
    monkeypatch.setattr(batch_norm, "_STACKED", most)
    torch.manual_seed(0)
    one_by_one = BatchByBatch(10, 3, patch_size=patch_size, width=8).double()
    stacked = Discriminator(10, 3, patch_size=patch_size, width=8).double()
    stacked.load_state_dict(one_by_one.state_dict())
    # Batches so different that statistics over several of them would be others.
    patches = [torch.randn(n, 10, patch_size, patch_size).double() * (1 + i) + i for i, n in enumerate(sizes)]
    calibrate_batch_norm(one_by_one, iter(patches))
    passes: list[int] = []
    stacked.register_forward_hook(lambda _, inputs, __: passes.append(len(inputs[0])))
    calibrate_batch_norm(stacked, iter(patches))
    assert one_by_one.passes == list(sizes)
    assert sum(passes) == sum(sizes)
    assert all(n <= most or n in sizes for n in passes)
    assert len(passes) == {9: 3, 512: 1, 8: 2}[most]
    for name, tensor in stacked.state_dict().items():
        torch.testing.assert_close(tensor, one_by_one.state_dict()[name], rtol=1e-11, atol=1e-12, msg=name)
    assert all(m.momentum == 0.1 for m in stacked.modules() if isinstance(m, nn.BatchNorm2d))
