"""S2AMSnet: two generators synthesize domains, a discriminator learns what stays true across them.

Chen, Gao, Zhang, Chen, Yan, "Spectral-Spatial Adversarial Multidomain Synthesis Network for Cross-Scene
Hyperspectral Image Classification", IEEE TGRS 62 (2024), doi 10.1109/TGRS.2024.3401231.

Shape letters: B batch, C bands, P patch size, K classes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.methods.method import DiscriminatorConfig, Method
from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.encoder import ContentEncoder
from sceneshift.networks.generated_domains import Domains
from sceneshift.networks.generator import DomainGenerator
from sceneshift.networks.losses import kl_divergence, mutual_information, released_kl
from sceneshift.networks.shared_batch import current_share, part_of_mean
from sceneshift.seeding import derive_seed

#: Standard deviation of the authors' radiation noise (the paper's n/25), whatever the data.
_RELEASED_NOISE_STD = 0.04

#: Passes over a small source per epoch in the authors' release.
_RELEASED_PASSES = 5


@dataclass(frozen=True, kw_only=True)
class S2AMSnetConfig(DiscriminatorConfig):
    """Settings of S2AMSnet; the defaults are the paper's, :meth:`released` gives the authors' release.

    Args:
        patch_size: P; odd, 5 or more.
        batch_size: Most patches in a step.
        lr: Learning rate of Adam, for discriminator, generators and encoder.
        flips: Flip training patches at random.
        noise_scale: Radiation noise as a multiple of the normalized scene's rms.
        source_passes: Passes over the training pixels per epoch.
        calibrate_bn: Re-estimate batch-norm statistics on source training patches before evaluation.
        normalization: Named step the cube goes through, fitted on the source scene.
        width: d, the discriminator's projection width.
        generator_channels: ch, the width of a generator's blocks.
        noise_dim: Length of the noise vector behind each AdaIN.
        beta_alpha: Mixing draws beta ~ Beta(beta_alpha, beta_alpha).
        temperature: tau of the InfoNCE terms.
        lambda_ce: Weight of the cross-entropy on generated and mixed patches.
        lambda_kl: Weight of the KL terms in the discriminator's step.
        lambda_adv: Weight of the KL terms in the generators' step (they raise it).
        lambda_mi: Weight of the mutual-information term in the generators' step.
        lambda_src: Weight of the cross-entropy on the raw source patches; 0 in the paper.
        init_std: Standard deviation of the generators' initial weights.
        renormalize: Scale each generated pixel to the L2 norm of its source pixel.
        mi_normalize: L2-normalize the rows before InfoNCE.
        kl_of_probabilities: Release: the KL fed probabilities instead of log-probabilities, mean over elements.
        discriminator_steps_twice: Release: the discriminator steps again on the min step's gradients.
        encoder_accumulates: Release: the encoder's gradients are zeroed once in the whole run.
        generator_shares_norm: Release: one BN and one AdaIN for a generator's three blocks.
        generated_first: Release: the discriminator runs on both generated domains, then on both mixes. Only its running
            statistics depend on the order, by 4 to 8 %, which counts where they are not re-estimated.
        fixed_noise: Release: the radiation noise has standard deviation 0.04 whatever the data, and `noise_scale` has
            no effect.
        num_generators: Generators, and so generated domains: 2, or 1 to see what the second adds. A single domain is
            compared with its own mix.
        mixing: Mix generated domains with the source. Without it the two generated domains are compared with each
            other, in both directions, and the discriminator learns from these two alone.
        spectral_branch: The involution branch of every spectral-spatial block, in generators and discriminator. Without
            it the discriminator computes the branch with weight 0, so that seconds stay those of the whole network.
        spatial_branch: The 3x3 convolution of every block, likewise.

    Raises:
        InvalidInputError: A value is out of range, or nothing is left to compare or to compute.
    """

    generator_channels: int = 24
    noise_dim: int = 2
    beta_alpha: float = 0.6
    temperature: float = 0.07
    lambda_ce: float = 1.0
    lambda_kl: float = 1.0
    lambda_adv: float = 1.0
    lambda_mi: float = 1.0
    lambda_src: float = 0.0
    init_std: float = 1.0
    renormalize: bool = False
    mi_normalize: bool = True
    kl_of_probabilities: bool = False
    discriminator_steps_twice: bool = False
    encoder_accumulates: bool = False
    generator_shares_norm: bool = False
    generated_first: bool = False
    fixed_noise: bool = False
    num_generators: int = 2
    mixing: bool = True
    spectral_branch: bool = True
    spatial_branch: bool = True

    _RELEASED: ClassVar[Mapping[str, Any]] = {
        "noise_scale": 0.28,
        "fixed_noise": True,
        "calibrate_bn": False,
        "mi_normalize": False,
        "kl_of_probabilities": True,
        "discriminator_steps_twice": True,
        "encoder_accumulates": True,
        "generator_shares_norm": True,
        "generated_first": True,
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "released": _RELEASED,
        "released-small-source": {**_RELEASED, "source_passes": _RELEASED_PASSES},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("generator_channels", "noise_dim"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("beta_alpha", "temperature", "init_std"):
            self._require(getattr(self, name) > 0, name, "a positive number")
        for name in ("lambda_ce", "lambda_kl", "lambda_adv", "lambda_mi", "lambda_src"):
            self._require(getattr(self, name) >= 0, name, "zero or a positive number")
        self._require(self.num_generators in (1, 2), "num_generators", "1 or 2")
        if self.num_generators == 1 and not self.mixing:
            raise InvalidInputError(
                "num_generators = 1 and mixing = False leave a single domain, which is compared with nothing; change "
                "one of them."
            )
        if not self.spectral_branch and not self.spatial_branch:
            raise InvalidInputError("spectral_branch = False and spatial_branch = False leave no branch; keep one.")

    @classmethod
    def released(cls, *, small_source: bool = False) -> Self:
        """The authors' release as it behaves, for measuring what each departure from the paper costs.

        With equal weights and draws it trains to the release's weights. It reproduces the release's loss (KL, contrast
        without normalized rows), the second step of the discriminator, the gradients that pile up in the encoder, the
        generators' shared norms, the order of the discriminator's runs, its running statistics as they are gathered in
        training, the absolute noise, and with ``small_source`` the five passes per epoch. Not reproduced: what the
        release's involution reads beyond its memory where 3 does not divide the channels (here the last group's kernel
        serves them); its split with one fixed seed; its choice of the epoch by target labels, which
        :mod:`sceneshift.comparison` offers as a fault of its own; one seed for all repeats.

        Args:
            small_source: Whether the source has fewer labelled pixels than a quarter of the target's, as Houston 2013
                has beside 2018 (and Pavia University has not): the release then passes over it five times per epoch,
                without which 400 epochs are a fifth of the published steps.
        """
        return cls(**cls.presets["released-small-source" if small_source else "released"])

    def noise_std(self, *, rms: float) -> float:
        """Standard deviation of the radiation noise; with ``fixed_noise`` it does not depend on the scene."""
        return _RELEASED_NOISE_STD if self.fixed_noise else super().noise_std(rms=rms)


class S2AMSnet(Method):
    """The whole network with its two-step min-max training (paper, section III)."""

    name = "s2amsnet"
    config_type = S2AMSnetConfig
    published_epochs = 400
    graph_safe = shardable = compilable = True
    config: S2AMSnetConfig

    @classmethod
    def build_classifier(cls, config: S2AMSnetConfig, *, bands: int, classes: int) -> nn.Module:
        """Build the discriminator."""
        return Discriminator(
            bands,
            classes,
            patch_size=config.patch_size,
            width=config.width,
            has_spectral_branch=config.spectral_branch,
            has_spatial_branch=config.spatial_branch,
        )

    def build(self) -> None:
        """Build discriminator, generators, encoder, and an Adam each."""
        config = self.config
        discriminator = self.build_classifier(config, bands=self.bands, classes=self.classes)
        generators = nn.ModuleList(
            DomainGenerator(
                self.bands,
                channels=config.generator_channels,
                noise_dim=config.noise_dim,
                init_std=config.init_std,
                renormalize=config.renormalize,
                shared_norm=config.generator_shares_norm,
                has_spectral_branch=config.spectral_branch,
                has_spatial_branch=config.spatial_branch,
            )
            for _ in range(config.num_generators)
        )
        self.discriminator = self.add("discriminator", discriminator)
        self.generators = self.add("generators", generators)
        self.encoder = self.add("encoder", ContentEncoder(self.bands))
        self._mixing = np.random.default_rng(derive_seed(self.seed, "mixing"))
        self._betas = torch.full((config.num_generators,), torch.nan, dtype=torch.float64, device=self.device)

    @property
    def classifier(self) -> nn.Module:
        """The discriminator: all that is kept for prediction."""
        return self.discriminator

    def draw_on_host(self) -> None:
        """Draw the two weights with which this step's domains are mixed with the source."""
        for beta in self._betas:
            beta.fill_(self._mixing.beta(self.config.beta_alpha, self.config.beta_alpha))  # without waiting for the GPU

    def step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One min step and one max step on a batch.

        Args:
            patches: (B, C, P, P).
            labels: (B,) class indices.

        Returns:
            ``min``, ``ce``, ``kl`` of the discriminator's step; ``max``, ``adversarial_kl``, ``mi`` of the other.
        """
        for module in self.modules().values():
            module.train()
        domains = self.synthesize(patches)
        return self.min_step(patches, labels, domains) | self.max_step(patches, domains)

    def synthesize(self, patches: Tensor) -> Domains:
        """Draw the generated domains and mix each with the source, with one beta a domain, drawn before.

        In float32 under autocast too: the rounding of bfloat16 would be as large as the differences between spectra.
        """
        with torch.autocast(self.device.type, enabled=False):
            generated = [generate(patches, self._draw_noise(len(patches))) for generate in self.generators]
        domains = dict(zip(("a", "b"), generated, strict=False))
        if self.config.mixing:
            betas = self._betas.to(patches.dtype)
            mixes = [torch.lerp(patches, x, beta) for x, beta in zip(generated, betas, strict=True)]
            domains |= dict(zip(("mix_a", "mix_b"), mixes, strict=False))
        return Domains(**domains)

    def min_step(self, patches: Tensor, labels: Tensor, domains: Domains) -> dict[str, Tensor]:
        """Move the discriminator alone: right classes on every domain, like outputs across them.

        A KL term ties a domain to the other's mix, and nothing ties these two pairs: each is run back before the next
        is run forward, so that the activations of two inputs are held at a time and not of four.
        """
        config = self.config
        self._optimizers["discriminator"].zero_grad(set_to_none=True)
        terms: list[tuple[Tensor, Tensor, Tensor]] = []
        for logits, other_logits in self._logits_of_pairs(domains.detached()):
            cross_entropy = part_of_mean(
                functional.cross_entropy(logits, labels) + functional.cross_entropy(other_logits, labels)
            )
            divergence = self._divergence(logits, other_logits)
            loss = config.lambda_ce * cross_entropy + config.lambda_kl * divergence
            loss.backward()
            terms.append((loss.detach(), cross_entropy.detach(), divergence.detach()))
        loss, cross_entropy, divergence = (torch.stack(each).sum() for each in zip(*terms, strict=True))
        if config.lambda_src > 0:
            source_loss = part_of_mean(functional.cross_entropy(self.discriminator(patches), labels))
            source_loss = config.lambda_src * source_loss
            source_loss.backward()
            loss = loss + source_loss.detach()
        self._sum_gradients(self.discriminator)
        self._optimizers["discriminator"].step()
        return {"min": loss, "ce": cross_entropy, "kl": divergence}

    def max_step(self, patches: Tensor, domains: Domains) -> dict[str, Tensor]:
        """Move both generators and the encoder: raise the divergence, keep the patches' meaning.

        The discriminator, which has just moved, looks at the same generated patches again; its weights are
        frozen, its batch statistics are those of each input. As in the min step, what need not be held at the same
        time is run back at once, down to the generated patches; the generators are run back at the end.
        """
        config = self.config
        zero = patches.new_zeros(())
        divergence, information = zero, zero
        if not config.encoder_accumulates:
            self._optimizers["encoder"].zero_grad(set_to_none=True)
        elif (share := current_share()) is not None and share.rank > 0:
            # What has piled up is summed over workers already: one of them keeps it.
            self._optimizers["encoder"].zero_grad(set_to_none=False)
        cut = domains.cut()
        if config.lambda_adv > 0:
            self.discriminator.requires_grad_(False)
            for logits, other_logits in self._logits_of_pairs(cut):
                term = self._divergence(logits, other_logits)
                (-config.lambda_adv * term).backward()
                divergence = divergence + term.detach()
            self.discriminator.requires_grad_(True)
        if config.lambda_mi > 0:
            term = self._information(patches, cut)
            (config.lambda_mi * term).backward()
            information = term.detach()
        if config.lambda_adv > 0 or config.lambda_mi > 0:
            self._optimizers["generators"].zero_grad(set_to_none=True)
            domains.run_back(cut)
            self._sum_gradients(self.generators)
            self._sum_gradients(self.encoder)
            self._optimizers["generators"].step()
            self._optimizers["encoder"].step()
        if config.discriminator_steps_twice:
            self._optimizers["discriminator"].step()
        loss = config.lambda_mi * information - config.lambda_adv * divergence
        return {"max": loss, "adversarial_kl": divergence, "mi": information}

    def _information(self, patches: Tensor, domains: Domains) -> Tensor:
        # Instance norm treats each patch by itself, so all inputs can share one pass. In float32 under autocast
        # too: in bfloat16 the gradient of the contrast between so like patches has a random direction.
        with torch.autocast(self.device.type, enabled=False):
            depths = self.encoder(torch.cat([patches, *domains.generated()]))
        num_inputs = 1 + len(domains.generated())
        features = [depth.chunk(num_inputs) for depth in depths]
        source = [f[0] for f in features]
        # The patches themselves. Nobody needs their gradient, which the largest products of all would go into.
        source[0] = source[0].detach()
        terms = [
            mutual_information(
                source,
                [f[i] for f in features],
                temperature=self.config.temperature,
                normalize=self.config.mi_normalize,
            )
            for i in range(1, num_inputs)
        ]
        return part_of_mean(torch.stack(terms).sum())

    def _logits_of_pairs(self, domains: Domains) -> Iterator[tuple[Tensor, Tensor]]:
        """The discriminator's logits of each compared pair; unless it is the release's order, one pair at a time."""
        inputs = domains.inputs()
        if self.config.generated_first:
            logits = {name: self.discriminator(x) for name, x in inputs.items()}
            for first, second in domains.pairs():
                yield logits[first], logits[second]
        else:
            for first, second in domains.pairs():
                yield self.discriminator(inputs[first]), self.discriminator(inputs[second])

    def _divergence(self, logits: Tensor, other_logits: Tensor) -> Tensor:
        divergence = released_kl if self.config.kl_of_probabilities else kl_divergence
        total = divergence(logits, other_logits)
        if not self.config.mixing:  # neither of the two is a mix
            total = total + divergence(other_logits, logits)
        return part_of_mean(total)

    def _draw_noise(self, batch: int) -> Tensor:
        share = current_share()
        shape = (3, batch if share is None else share.total, self.config.noise_dim)
        noise = torch.randn(shape, generator=self.generator, device=self.device)
        return noise if share is None else noise[:, share.rows]

    def state_dict(self) -> dict[str, Any]:
        """Modules, optimizers, both streams of draws, and the gradients a released encoder has piled up."""
        gradients = {
            name: parameter.grad for name, parameter in self.encoder.named_parameters() if parameter.grad is not None
        }
        return super().state_dict() | {
            "mixing": self._mixing.bit_generator.state,
            "encoder_gradients": gradients if self.config.encoder_accumulates else {},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        super().load_state_dict(state)
        self._mixing.bit_generator.state = state["mixing"]
        for name, parameter in self.encoder.named_parameters():
            gradient = state["encoder_gradients"].get(name)
            parameter.grad = None if gradient is None else gradient.to(self.device)
