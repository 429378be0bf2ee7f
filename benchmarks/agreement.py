"""Whether our step equals the plain step: same weights, same batch, same draws; both losses and every gradient.

The min step's gradients are the discriminator's, the max step's those of generators and encoder. Adam's first step is
close to a sign, so that the smallest difference of a gradient becomes one of the learning rate's size in a weight: the
max step is therefore compared from the same discriminator, the plain one's after its min step.

A distance is the norm of the difference over the norm of what it is compared with, per module. Float64 shows
whether both sides compute the same function. Float32 adds rounding, which the generators' wide initial weights
enlarge, and which sometimes puts a unit on the other side of a ReLU's kink. The plain network has both as well: its
distance from its own float64 step is reported with ours. Kinks affect both sides at random: where we are farther
from float64 than that explains, a CPU's steps are compared with float64 on the same side of every kink (kinks.py),
which leaves rounding alone; on a GPU five batches are taken, and their medians decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from kinks import in_plain_order, on_sides, sides_of
from machine import settle
from plain_s2amsnet import PlainS2AMSnet
from sceneshift.methods.s2amsnet import S2AMSnet
from sides import Batch, Shape, build_ours, build_plain, rounded_to

#: Largest distance at which two float32 steps are equal, and two float64 steps.
FP32_DISTANCE, FP64_DISTANCE = 1e-4, 1e-8

#: Patches of the float64 comparison of both sides.
FP64_BATCH = 8

#: Batches on a GPU whose medians decide where the first does not.
DRAWS = 5

#: How much farther from float64 than the plain network our float32 may be, where rounding exceeds FP32_DISTANCE.
ROUNDING_FACTOR = 2.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one min and one max step gave: losses as single numbers, gradients as float64 vectors."""

    parts: Mapping[str, Tensor]
    """Both losses, and the gradient of each module."""

    discriminator: Mapping[str, Tensor]
    """The discriminator's state between the two steps."""

    def distances(self, other: "Step") -> dict[str, float]:
        """Relative distance of every part from another step's."""
        return {
            name: float((part - other.parts[name]).norm() / other.parts[name].norm())
            for name, part in self.parts.items()
        }


def plain_step(plain: PlainS2AMSnet, batch: Batch, *, moved: Mapping[str, Tensor] | None = None) -> Step:
    """The plain network's step; `moved` is the discriminator's state for the max step, by default its own."""
    domains = plain.synthesize(batch.patches, noise=batch.noise, betas=batch.betas)
    min_loss = plain.min_step(batch.labels, domains)
    state = _take_over(plain.discriminator, moved)
    max_loss = plain.max_step(batch.patches, domains)
    return _step(plain.modules(), min_loss, max_loss, state)


def our_step(ours: S2AMSnet, batch: Batch, *, moved: Mapping[str, Tensor], precision: str = "fp32") -> Step:
    """Our network's step with the batch's draws; `moved` is the discriminator's state for the max step."""
    noise = iter(batch.noise)
    ours._draw_noise = lambda batch: next(noise)  # type: ignore[method-assign]
    ours._betas.copy_(torch.tensor(batch.betas, dtype=torch.float64))
    patches = batch.patches.to(memory_format=torch.channels_last)
    for module in ours.modules().values():
        module.train()
    with rounded_to(precision, ours.device):
        domains = ours.synthesize(patches)
        min_loss = ours.min_step(patches, batch.labels, domains)["min"]
        state = _take_over(ours.discriminator, moved)
        max_loss = ours.max_step(patches, domains)["max"]
    return _step(ours.modules(), min_loss, max_loss, state)


def both_steps(shape: Shape, batch: Batch, *, dtype: torch.dtype = torch.float32) -> tuple[Step, Step]:
    """Our step and the plain one, from the same weights."""
    ours = build_ours(shape, device=batch.patches.device)
    plain = build_plain(shape, ours)
    for module in (*ours.modules().values(), *plain.modules().values()):
        module.to(dtype)
    reference = plain_step(plain, batch.to(dtype))
    return our_step(ours, batch.to(dtype), moved=reference.discriminator), reference


def compare(
    shape: Shape, size: int, *, device: torch.device, threads: int, truth: bool, rounded: Sequence[str]
) -> dict[str, Any]:
    """Compare a step of both sides.

    Args:
        shape: Of network and patches.
        size: B of the float32 comparison.
        device: Where.
        threads: Of torch.
        truth: Whether there is memory for the plain network's step in float64, twice what it needs in float32.
        rounded: Precisions below float32 in which our step is also taken, such as "bf16".

    Returns:
        ``equal``, ``how`` it was decided, and distances.
    """
    settle(threads)
    exact, exact_reference = both_steps(
        shape, Batch.draw(shape, FP64_BATCH, device=device, seed=1), dtype=torch.float64
    )
    measured: dict[str, Any] = {"fp64": exact.distances(exact_reference), "fp64_batch": FP64_BATCH, "fp32_batch": size}
    draws: list[dict[str, dict[str, float]]] = []
    for seed in range(1 if device.type == "cpu" else DRAWS):
        draws.append(_single_precision(shape, Batch.draw(shape, size, device=device, seed=seed), truth=truth))
        medians = {
            kind: {part: median(draw[kind][part] for draw in draws) for part in distances}
            for kind, distances in draws[0].items()
        }
        decided = verdict(measured | medians)
        if decided["equal"]:
            break
    measured |= {**medians, "fp32_draws": len(draws)}
    if decided["equal"] is False and truth and device.type == "cpu":
        measured |= rounding_alone(shape, Batch.draw(shape, size, device=device))
        decided = verdict(measured)
    batch = Batch.draw(shape, size, device=device)
    measured["rounded_losses"] = {}
    for precision in rounded:
        ours = build_ours(shape, device=device)
        reference = plain_step(build_plain(shape, ours), batch)
        distances = our_step(ours, batch, moved=reference.discriminator, precision=precision).distances(reference)
        measured["rounded_losses"][precision] = {name: distances[name] for name in ("min loss", "max loss")}
    return {**decided, **measured}


def rounding_alone(shape: Shape, batch: Batch) -> dict[str, Any]:
    """Distance of each side's float32 step from float64 on the same side of every kink; on a CPU.

    Returns:
        Distances by part, ours and the baseline's, and at how many kinks the two were on different sides.
    """
    ours = build_ours(shape, device=batch.patches.device)
    plain = build_plain(shape, ours)
    with sides_of(plain.modules()) as baseline_sides:
        reference = plain_step(plain, batch)
    with sides_of(ours.modules()) as passes:
        single = our_step(ours, batch, moved=reference.discriminator)
    our_sides = in_plain_order(passes)
    measured: dict[str, Any] = {
        "fp32_kinks_apart": sum(
            int((first != second).sum())
            for pair in zip(our_sides, baseline_sides, strict=True)
            for first, second in zip(*pair, strict=True)
        )
    }
    for name, step, sides in (("ours", single, our_sides), ("baseline", reference, baseline_sides)):
        with on_sides(sides):
            measured[f"fp32_{name}_from_fp64_on_the_same_sides"] = step.distances(_double_step(shape, batch, reference))
    return measured


def verdict(measured: Mapping[str, Any]) -> dict[str, Any]:
    """``equal``: yes, no, or None where that needs more memory than there is; and ``how`` it was decided."""
    if not all(distance <= FP64_DISTANCE for distance in measured["fp64"].values()):
        return {"equal": False, "how": f"float64 differs by more than {FP64_DISTANCE:g}"}
    beyond = [name for name, distance in measured["fp32"].items() if not distance <= FP32_DISTANCE]
    if not beyond:
        return {"equal": True, "how": f"float32 within {FP32_DISTANCE:g} of the baseline"}
    names = ", ".join(beyond)
    if "fp32_ours_from_fp64" not in measured:
        return {"equal": None, "how": f"{names} beyond {FP32_DISTANCE:g}, and no memory for the baseline in float64"}
    ours, plain = measured["fp32_ours_from_fp64"], measured["fp32_baseline_from_fp64"]
    if all(ours[name] <= ROUNDING_FACTOR * plain[name] for name in beyond):
        return {
            "equal": True,
            "how": f"{names} beyond {FP32_DISTANCE:g} of the baseline, but at most {ROUNDING_FACTOR:g} times as far "
            "from float64 as the baseline's own float32",
        }
    if "fp32_ours_from_fp64_on_the_same_sides" in measured:
        ours = measured["fp32_ours_from_fp64_on_the_same_sides"]
        plain = measured["fp32_baseline_from_fp64_on_the_same_sides"]
        if all(ours[name] <= max(FP32_DISTANCE, ROUNDING_FACTOR * plain[name]) for name in ours):
            return {
                "equal": True,
                "how": f"on the same side of every kink within {max(ours.values()):.1g} of float64; {names} farther "
                "where a few ReLUs or pools chose the other",
            }
    return {"equal": False, "how": f"{names} farther from float64 than the baseline's rounding explains"}


def _single_precision(shape: Shape, batch: Batch, *, truth: bool) -> dict[str, dict[str, float]]:
    """Distances of both sides' float32 steps on one batch: from each other and, for `truth`, from float64."""
    single, reference = both_steps(shape, batch)
    measured = {"fp32": single.distances(reference)}
    if truth:
        double = _double_step(shape, batch, reference)
        measured["fp32_ours_from_fp64"] = single.distances(double)
        measured["fp32_baseline_from_fp64"] = reference.distances(double)
    return measured


def _double_step(shape: Shape, batch: Batch, reference: Step) -> Step:
    """The plain network's step in float64, the max step with the reference's discriminator."""
    plain = build_plain(shape, build_ours(shape, device=batch.patches.device))
    for module in plain.modules().values():
        module.double()
    return plain_step(plain, batch.to(torch.float64), moved=reference.discriminator)


def _take_over(discriminator: nn.Module, moved: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
    if moved is not None:
        discriminator.load_state_dict(moved)
    return {name: value.clone() for name, value in discriminator.state_dict().items()}


def _step(modules: Mapping[str, nn.Module], min_loss: Tensor, max_loss: Tensor, state: Mapping[str, Tensor]) -> Step:
    generators = modules["generators"]
    assert isinstance(generators, nn.ModuleList)
    parts = {"min loss": min_loss.detach().double().cpu(), "max loss": max_loss.detach().double().cpu()}
    for name, module in (
        ("discriminator", modules["discriminator"]),
        ("generator a", generators[0]),
        ("generator b", generators[1]),
        ("encoder", modules["encoder"]),
    ):
        gradients = [
            (torch.zeros_like(p) if p.grad is None else p.grad).detach().double().cpu().flatten()
            for _, p in sorted(module.named_parameters())
        ]
        parts[name] = torch.cat(gradients)
    return Step(parts=parts, discriminator=state)
