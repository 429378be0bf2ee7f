"""What S2AMSnet's generators make of one batch, and what is compared with what (Chen et al., TGRS 2024).

Shape letters: B batch, C bands, P patch size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Domains:
    """The generated inputs of one step, each (B, C, P, P).

    Args:
        a: The first generator's.
        b: The second generator's; None without one.
        mix_a: ``a`` mixed with the source; None without mixing.
        mix_b: ``b`` mixed with the source; None without mixing or a second generator.
    """

    a: Tensor
    b: Tensor | None = None
    mix_a: Tensor | None = None
    mix_b: Tensor | None = None

    def inputs(self) -> dict[str, Tensor]:
        """Those that there are, by name: generated domains, then mixes."""
        return {name: x for name in ("a", "b", "mix_a", "mix_b") if (x := getattr(self, name)) is not None}

    def generated(self) -> tuple[Tensor, ...]:
        """The generated domains without their mixes."""
        return (self.a,) if self.b is None else (self.a, self.b)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """What the KL terms compare, by name: each generated domain with the other one's mix."""
        if self.mix_a is None:
            return (("a", "b"),)
        return (("a", "mix_a"),) if self.b is None else (("a", "mix_b"), ("b", "mix_a"))

    def detached(self) -> "Domains":
        """The same patches, cut off from the generators."""
        return Domains(**{name: x.detach() for name, x in self.inputs().items()})

    def cut(self) -> "Domains":
        """The same patches as leaves that gather gradients."""
        return Domains(**{name: x.detach().requires_grad_() for name, x in self.inputs().items()})

    def run_back(self, cut: "Domains") -> None:
        """Run the gradients that gathered at the leaves back into the generators."""
        reached = {name: leaf.grad for name, leaf in cut.inputs().items() if leaf.grad is not None}
        torch.autograd.backward([self.inputs()[name] for name in reached], list(reached.values()))
