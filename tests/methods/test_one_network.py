"""What a method of one network and one loss is given: a step on what it minimizes, and what is reported of it."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from sceneshift.methods.method import MethodConfig
from sceneshift.methods.one_network import OneNetwork

CONFIG = MethodConfig(patch_size=5, lr=0.1)


class Scale(OneNetwork):
    """One weight w on the mean of a patch x; the terms are (w x)² and w."""

    name = "scale"
    config_type = MethodConfig
    network_name = "scale"

    @classmethod
    def build_classifier(cls, config: MethodConfig, *, bands: int, classes: int) -> nn.Module:
        layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(layer.weight, 3.0)
        return layer

    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = self.network(patches.flatten(1).mean(dim=1, keepdim=True))
        return {"square": outputs.square().mean(), "weight": self.network.weight.sum()}


class Weighted(Scale):
    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        return terms["square"] - 100 * terms["weight"]


@pytest.mark.parametrize(("kind", "loss", "gradient"), [(Scale, 39.0, 25.0), (Weighted, -264.0, -76.0)])
def test_the_total_is_minimized_and_reported_before_its_terms(kind: type[Scale], loss: float, gradient: float) -> None:
    method = kind(CONFIG, bands=2, classes=3, seed=0, device=torch.device("cpu"))
    method.network.eval()
    terms = method.training_step(torch.full((4, 2, 5, 5), 2.0), torch.zeros(4, dtype=torch.int64))
    assert list(terms) == ["loss", "square", "weight"]
    assert [value.item() for value in terms.values()] == pytest.approx([loss, 36.0, 3.0])
    assert method.network.training
    assert method.network.weight.grad.item() == pytest.approx(gradient)
    # Adam's first step is the learning rate, against the gradient.
    assert method.network.weight.item() == pytest.approx(3.0 - 0.1 * (1 if gradient > 0 else -1), rel=1e-5)
    assert list(method.modules()) == list(method.optimizers()) == ["scale"]
