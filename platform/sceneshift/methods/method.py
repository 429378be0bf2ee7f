"""What every method is: a configuration, modules and optimizers, and one training step.

Shape letters: B batch, C bands, P patch size, K classes, D sources of a pair.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.methods.augmentations import Augmentation, Flips, RadiationNoise
from sceneshift.networks.shared_batch import current_share, sum_in_place
from sceneshift.scenes.normalization import check_normalization
from sceneshift.seeding import derive_seed

Module = TypeVar("Module", bound=nn.Module)


class Kept(Protocol):
    """What has a state that checkpoints keep."""

    def state_dict(self) -> dict[str, Any]:
        """The state."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""


Thing = TypeVar("Thing", bound=Kept)


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """What all methods share.

    Args:
        patch_size: P; odd, 5 or more.
        batch_size: Most patches in a step, of all sources together; an epoch is cut into equal batches no larger than
            this.
        lr: Learning rate of Adam.
        flips: Flip training patches at random.
        noise_scale: Standard deviation of the radiation noise, as a multiple of the normalized scene's rms. The
            paper's n/25 is 0.28 times the rms of its 48-band scenes and 0.57 times that of a 200-band scene.
        calibrate_bn: Re-estimate batch-norm statistics on unaugmented source training patches before any
            evaluation; the saved model carries them.
        normalization: Named step the cube goes through, fitted on the source scene: one of
            :data:`sceneshift.scenes.normalization.NORMALIZATIONS`.
        source_passes: Passes over the training pixels per epoch, in one random order; the learning rate's course and
            evaluations are counted in epochs all the same.
        average_from: Share of the epochs after which the classifier's weights are averaged, once per epoch; the average
            is what is evaluated and kept (stochastic weight averaging: Izmailov et al., UAI 2018; for domain
            generalization: Cha et al., NeurIPS 2021). 1 keeps the last epoch's weights, as published.

    Raises:
        InvalidInputError: A value is out of range, or was given to a setting that has no effect on the method.
    """

    patch_size: int = 13
    batch_size: int = 256
    lr: float = 1e-3
    flips: bool = True
    noise_scale: float = 0.28
    calibrate_bn: bool = True
    normalization: str = "l2-per-pixel"
    average_from: float = 1.0
    source_passes: int = 1

    #: The smallest patch the method's classifier takes.
    smallest_patch: ClassVar[int] = 5
    #: Settings that change nothing of this method: they keep their defaults.
    without_effect: ClassVar[frozenset[str]] = frozenset()
    #: Named sets of settings, such as those of the authors' release.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __post_init__(self) -> None:
        is_patch = self.patch_size >= self.smallest_patch and self.patch_size % 2 == 1
        self._require(is_patch, "patch_size", f"an odd number >= {self.smallest_patch}")
        self._require(self.batch_size >= 2, "batch_size", "at least 2")
        self._require(self.lr > 0, "lr", "a positive number")
        self._require(self.noise_scale >= 0, "noise_scale", "zero or a positive number")
        check_normalization(self.normalization)
        self._require(0 <= self.average_from <= 1, "average_from", "a share of the epochs, 0 to 1")
        self._require(self.source_passes >= 1, "source_passes", "at least 1")
        for f in fields(self):
            if f.name in self.without_effect and getattr(self, f.name) != f.default:
                raise InvalidInputError(
                    f"{f.name} = {getattr(self, f.name)!r} has no effect on this method; leave it at {f.default!r}."
                )

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not (holds and math.isfinite(getattr(self, name))):
            raise InvalidInputError(f"{name} = {getattr(self, name)!r}; expected {expected}.")

    def noise_std(self, *, rms: float) -> float:
        """Standard deviation of the radiation noise.

        Args:
            rms: Root mean square of the normalized cube.
        """
        return self.noise_scale * rms

    def augmentations(self, *, rms: float) -> tuple[Augmentation, ...]:
        """What changes training patches at random, in this order; a method may list others.

        Args:
            rms: Root mean square of the normalized cube.
        """
        std = self.noise_std(rms=rms)
        flips: tuple[Augmentation, ...] = (Flips(),) if self.flips else ()
        return (*flips, RadiationNoise(std=std)) if std > 0 else flips

    @classmethod
    def preset(cls, name: str | None) -> Mapping[str, Any]:
        """The settings of a preset; none if no preset is named.

        Raises:
            InvalidInputError: There is no such preset.
        """
        if name is None:
            return {}
        if name not in cls.presets:
            known = f"Known: {', '.join(cls.presets)}." if cls.presets else "It has none."
            raise InvalidInputError(f"{cls.__name__} has no preset {name!r}{nearest_name(name, cls.presets)}. {known}")
        return cls.presets[name]

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration from plain values; what is not named keeps its default.

        Raises:
            InvalidInputError: A key is unknown, or a value has another type or is out of range.
        """
        known = {f.name: f for f in fields(cls)}
        for key, value in values.items():
            if key not in known:
                raise InvalidInputError(
                    f"{cls.__name__} has no parameter {key!r}{nearest_name(key, known)}. Known: {', '.join(known)}."
                )
            # The annotation itself: this module does not postpone their evaluation.
            expected = cast(type, known[key].type)
            accepted = (int, float) if expected is float else (expected,)
            if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
                raise InvalidInputError(f"{key} = {value!r} is {type(value).__name__}; expected {expected.__name__}.")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(MethodConfig):
    """What methods share whose classifier is S2AMSnet's discriminator.

    Args:
        width: d, the discriminator's projection width.

    Raises:
        InvalidInputError: A value is out of range.
    """

    width: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.width >= 1, "width", "at least 1")


class DomainBatch(NamedTuple):
    """What a step receives of one source, in a method that handles sources separately.

    Attributes:
        patches: (B, C, P, P) float32.
        labels: (B,) int64 class indices 0..K-1.
    """

    patches: Tensor
    labels: Tensor


class Method(ABC):
    """A network with its way of learning.

    A subclass names itself and its configuration and adds its modules in :meth:`build`; one that has a single network
    and a single loss derives from :class:`sceneshift.methods.one_network.OneNetwork`. Initial values are drawn from
    the seed alone, on the CPU, so that they are the same on every device; every later draw comes from
    ``self.generator``, which is saved with the state.

    Args:
        config: The method's configuration, of type ``config_type``.
        bands: C.
        classes: K.
        seed: Where all of the method's random numbers come from.
        device: Where modules live.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[MethodConfig]]
    #: Epochs of a training as published.
    published_epochs: ClassVar[int]
    #: Whether a step may be recorded as a CUDA graph and replayed: the host neither draws nor reads anything in it, and
    #: each step does what the one before did. A method that may not is trained without recordings.
    graph_safe: ClassVar[bool] = False
    #: Whether several workers may hold a batch together (:mod:`sceneshift.networks.shared_batch`).
    shardable: ClassVar[bool] = False
    #: Whether its modules may be compiled by `torch.compile`.
    compilable: ClassVar[bool] = False
    #: Whether one step takes all training pixels, as they are and in the split's order: a training has one epoch then.
    fitted_at_once: ClassVar[bool] = False
    #: Whether a step receives one batch per source (:meth:`step_on_domains`), instead of one batch in which the
    #: pixels of all sources are mixed. Such a method trains in one process and without recorded steps.
    takes_domains: ClassVar[bool] = False
    #: Fewest sources of a pair it trains on: 2 of a method that would be another one on a single source.
    least_sources: ClassVar[int] = 1

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.takes_domains and (cls.graph_safe or cls.shardable or cls.fitted_at_once):
            raise TypeError(
                f"{cls.__name__} takes_domains, and is graph_safe, shardable or fitted_at_once; these are of one mixed "
                "batch. Leave the one or the other out."
            )

    def __init__(self, config: MethodConfig, *, bands: int, classes: int, seed: int, device: torch.device) -> None:
        self.config = config
        self.bands = bands
        self.classes = classes
        self.seed = seed
        self.device = device
        self.generator = torch.Generator(device).manual_seed(derive_seed(seed, "draws"))
        self._modules: dict[str, nn.Module] = {}
        self._optimizers: dict[str, torch.optim.Optimizer] = {}
        self._kept: dict[str, Kept] = {}
        with torch.random.fork_rng(devices=[]):
            # The CPU's generator alone: torch.manual_seed would seed every GPU's as well.
            torch.default_generator.manual_seed(derive_seed(seed, "initial values"))
            self.build()

    @classmethod
    @abstractmethod
    def build_classifier(cls, config: Any, *, bands: int, classes: int) -> nn.Module:  # noqa: ANN401
        """Build the module kept for prediction, on the CPU: (B, C, P, P) to logits (B, K).

        Args:
            config: A configuration of the method's ``config_type``.
            bands: C.
            classes: K.
        """

    @abstractmethod
    def build(self) -> None:
        """Build all modules and :meth:`add` them; called once, with torch's generator seeded."""

    def add(self, name: str, module: Module) -> Module:
        """Bring a module to the device, give it an Adam, and keep both under a name in checkpoints."""
        self._modules[name] = module.to(self.device)
        self._optimizers[name] = self._adam(module)
        return module

    def keep(self, name: str, thing: Thing) -> Thing:
        """Keep the state of something that is no module, such as draws on the host, under a name in checkpoints."""
        self._kept[name] = thing
        return thing

    def begin(self, spectra: Tensor, labels: Tensor) -> None:  # noqa: B027  # most methods need nothing
        """Look at the training pixels of all sources once, before the first step of a training.

        Args:
            spectra: (N, C) float32, normalized as the patches will be, on the device.
            labels: (N,) int64 class indices 0..K-1.
        """

    def begin_epoch(self, epoch: int, *, epochs: int) -> None:  # noqa: B027
        """Set what depends on training progress, such as a learning rate; called before an epoch's first step.

        What is set here follows from the arguments alone, so that an interrupted training can continue without it.

        Args:
            epoch: 1-based.
            epochs: Epochs of the whole training.
        """

    def training_step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Draw what the host draws, then :meth:`step`."""
        self.draw_on_host()
        return self.step(patches, labels)

    def draw_on_host(self) -> None:  # noqa: B027
        """Draw what a step takes from a random generator of the host, and put it where :meth:`step` reads it.

        Apart from the step, because a step that was recorded (:mod:`sceneshift.training.cuda_graph_step`) repeats what
        the device did and no Python.
        """

    @abstractmethod
    def step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Take one optimizer step (or several) on one batch. The host neither draws nor reads anything in it.

        Of a shared batch (:mod:`sceneshift.networks.shared_batch`) a worker is given its rows. All workers draw what
        one would draw for the whole batch, and make the steps it would make.

        Args:
            patches: (B, C, P, P) float32.
            labels: (B,) int64 class indices 0..K-1.

        Returns:
            Loss terms by name, detached scalars on the device (nothing is synchronized with the host); of a shared
            batch this worker's parts, which sum up to the batch's terms.
        """

    def step_on_domains(self, domains: Sequence[DomainBatch]) -> dict[str, Tensor]:
        """Take one optimizer step (or several) on a batch of every source; for methods that ``takes_domains``.

        Args:
            domains: D batches of equal size, in the order of the pair's sources; one of a pair with one source.

        Returns:
            As :meth:`step`.
        """
        raise NotImplementedError(f"{type(self).__name__} takes_domains and has no step_on_domains")

    @property
    @abstractmethod
    def classifier(self) -> nn.Module:
        """The module kept for prediction: (B, C, P, P) to logits (B, K)."""

    def modules(self) -> Mapping[str, nn.Module]:
        """All modules by name, for checkpoints."""
        return self._modules

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """All optimizers by name, for checkpoints."""
        return self._optimizers

    def _adam(self, module: nn.Module) -> torch.optim.Adam:
        """Adam on a module; on a GPU as one kernel, which keeps its count of steps there."""
        fused = True if self.device.type == "cuda" else None
        return torch.optim.Adam(module.parameters(), lr=self.config.lr, fused=fused)

    def _descend(self, loss: Tensor | Sequence[Tensor], *names: str, along: Sequence[Tensor] | None = None) -> None:
        """Take one step of Adam on modules.

        Args:
            loss: What is minimized: a scalar, or several that are each of other modules.
            names: The modules.
            along: The parameters that move, where not all of the modules do; the others get no gradient.
        """
        optimizers = [self._optimizers[name] for name in names]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss, inputs=along)
        for name, optimizer in zip(names, optimizers, strict=True):
            self._sum_gradients(self._modules[name])
            optimizer.step()

    def _sum_gradients(self, module: nn.Module) -> None:
        """Sum a module's gradients over the workers that share the batch; between a backward pass and its step.

        DistributedDataParallel would do so while a backward pass runs, for a single one of a single module: here
        several networks are run back in pieces, parts of them frozen in between, and one may pile its gradients up.
        """
        if current_share() is not None:
            sum_in_place([p.grad for p in module.parameters() if p.grad is not None])

    def compile(self) -> None:
        """Compile all modules with `torch.compile`, in place; parameters and state stay what they are.

        Raises:
            InvalidInputError: The method is on a CPU, where Numba compiles what is worth it.
        """
        if self.device.type == "cpu":
            raise InvalidInputError("torch.compile is for CUDA devices; on a CPU the hot loops are compiled as it is.")
        for module in self.modules().values():
            for part in module if isinstance(module, nn.ModuleList) else (module,):
                part.compile(dynamic=False)

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on: modules, optimizers, the state of the draws, what else is kept."""
        return {
            "modules": {name: module.state_dict() for name, module in self.modules().items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers().items()},
            "generator": self.generator.get_state(),
            **{name: thing.state_dict() for name, thing in self._kept.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        for name, module in self.modules().items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers().items():
            kept = state["optimizers"][name]
            # How Adam computes is this device's affair, also where another device wrote the state.
            own = [{name: group[name] for name in ("fused", "capturable")} for group in optimizer.param_groups]
            groups = [group | here for group, here in zip(kept["param_groups"], own, strict=True)]
            optimizer.load_state_dict(kept | {"param_groups": groups})
        self.generator.set_state(state["generator"].cpu())
        for name, thing in self._kept.items():
            thing.load_state_dict(state[name])
