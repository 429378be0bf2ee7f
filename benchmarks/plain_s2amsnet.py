"""S2AMSnet written in the most obvious way: what our speed is measured against.

Nothing here is tuned and nothing is slowed down: it is the network as one would first write it from the paper.
Involution unfolds the map to nine neighbours, every term of the losses has its forward, tensors are contiguous float32,
and patches come one at a time from a Dataset through a DataLoader. Parameters have the same names as ours, so that one
state dict fits both. Chen et al., IEEE TGRS 62 (2024); involution: Li et al., CVPR 2021.

Shape letters: B batch, C bands, P patch, K classes, N noise dimensions.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset


class Involution(nn.Module):
    """3x3 involution by `unfold`: nine copies of the map, multiplied by the kernels and summed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = max(1, channels // 3)
        self.reduce = nn.Conv2d(channels, max(1, channels // 5), 1, bias=False)
        self.norm = nn.BatchNorm2d(max(1, channels // 5))
        self.expand = nn.Conv2d(max(1, channels // 5), 9 * self.groups, 1)
        per_group = channels // self.groups
        self.register_buffer(
            "group_of", torch.arange(channels).div(per_group, rounding_mode="floor").clamp_max(self.groups - 1), False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        batch, channels, height, width = x.shape
        kernel = F.relu(self.expand(F.relu(self.norm(self.reduce(x)))))
        kernel = kernel.view(batch, self.groups, 9, height, width)
        neighbours = F.unfold(x, 3, padding=1).view(batch, channels, 9, height, width)
        if channels % self.groups == 0:
            neighbours = neighbours.view(batch, self.groups, -1, 9, height, width)
            return (kernel.unsqueeze(2) * neighbours).sum(3).view(x.shape)
        return (kernel[:, self.group_of] * neighbours).sum(2)


class DiscriminatorBlock(nn.Module):
    """`w0 * ReLU(BN(Conv1x1(Involution(h)))) + w1 * ReLU(BN(Conv3x3(h)))`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.involution = Involution(in_channels)
        self.spectral = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.spectral_norm = nn.BatchNorm2d(out_channels)
        self.spatial = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.spatial_norm = nn.BatchNorm2d(out_channels)

    def forward(self, h: Tensor, weights: Tensor) -> Tensor:
        """(B, C, P, P) and the two branch weights to (B, d, P, P)."""
        spectral = F.relu(self.spectral_norm(self.spectral(self.involution(h))))
        spatial = F.relu(self.spatial_norm(self.spatial(h)))
        return weights[0] * spectral + weights[1] * spatial


class Features(nn.Module):
    """Three blocks, then max-pooling."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([DiscriminatorBlock(c, width) for c in (bands, width, width)])
        self.blend = nn.Parameter(torch.zeros(2))

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, P, P) to (B, d, P // 2, P // 2)."""
        weights = torch.softmax(self.blend, dim=0)
        for block in self.blocks:
            h = block(h, weights)
        return F.max_pool2d(h, 2)


class Discriminator(nn.Module):
    """F: features and a head."""

    def __init__(self, bands: int, classes: int, *, patch_size: int, width: int) -> None:
        super().__init__()
        self.features = Features(bands, width)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(width * (patch_size // 2) ** 2, width), nn.ReLU(), nn.Linear(width, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, P, P) to logits (B, K)."""
        return self.head(self.features(x))


class AdaIN(nn.Module):
    """`(1 + gamma) * InstanceNorm(h) + beta`, both linear in the noise."""

    def __init__(self, channels: int, noise_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(noise_dim, 2 * channels)

    def forward(self, h: Tensor, noise: Tensor) -> Tensor:
        """(B, ch, P, P) and noise (B, N) to (B, ch, P, P)."""
        gamma, beta = self.linear(noise)[:, :, None, None].chunk(2, dim=1)
        return (1 + gamma) * F.instance_norm(h) + beta


class GeneratorBlock(nn.Module):
    """`Conv1x1(Involution(h)) + Conv3x3(h)`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.involution = Involution(in_channels)
        self.spectral = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.spatial = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, P, P) to (B, ch, P, P)."""
        return self.spectral(self.involution(h)) + self.spatial(h)


class Generator(nn.Module):
    """S2DGN: three blocks with AdaIN and BN, a decoder, a blend with the input."""

    def __init__(self, bands: int, *, channels: int, noise_dim: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([GeneratorBlock(c, channels) for c in (bands, channels, channels)])
        self.adains = nn.ModuleList([AdaIN(channels, noise_dim) for _ in range(3)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels) for _ in range(3)])
        self.decoder = nn.Conv2d(channels, bands, 3, padding=1)
        self.blend = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """(B, C, P, P) and noise (3, B, N) to generated patches (B, C, P, P)."""
        h = x
        for block, adain, norm, draw in zip(self.blocks, self.adains, self.norms, noise, strict=True):
            h = F.leaky_relu(norm(adain(block(h), draw)), 0.01)
        weights = torch.softmax(self.blend, dim=0)
        return weights[0] * x + weights[1] * self.decoder(h)


class BlurPool(nn.Module):
    """Reflect pad, [1, 2, 1] x [1, 2, 1] / 16, stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", (torch.outer(row, row) / 16).repeat(channels, 1, 1, 1))

    def forward(self, h: Tensor) -> Tensor:
        """(B, channels, H, W) to half of H and W, rounded up."""
        return F.conv2d(F.pad(h, (1, 1, 1, 1), mode="reflect"), self.kernel, stride=2, groups=h.shape[1])


class ResidualBlock(nn.Module):
    """`h + IN(Conv3x3(ReLU(IN(Conv3x3(h)))))`, reflect-padded."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, h: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape."""
        return h + self.body(h)


class Encoder(nn.Module):
    """E, read at five depths."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(bands, 8, 7)
        self.stages = nn.ModuleList([nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)])
        self.pools = nn.ModuleList([BlurPool(16), BlurPool(32)])
        self.residuals = nn.ModuleList([ResidualBlock(32) for _ in range(5)])

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, P, P) to five tensors (B, n)."""
        padded = F.pad(x, (3, 3, 3, 3), mode="reflect")
        features = [padded]
        h = F.relu(F.instance_norm(self.stem(padded)))
        for stage, pool in zip(self.stages, self.pools, strict=True):
            h = stage(h)
            features.append(h)
            h = pool(F.relu(F.instance_norm(h)))
        for index, residual in enumerate(self.residuals):
            h = residual(h)
            if index in (0, 4):
                features.append(h)
        return [feature.flatten(1) for feature in features]


def kl(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """KL(p || q), mean over the batch."""
    return F.kl_div(q_logits.log_softmax(1), p_logits.log_softmax(1), reduction="batchmean", log_target=True)


def info_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each row's partner among all other rows, on unit rows."""
    rows = F.normalize(torch.cat([query, key]), dim=1)
    count = len(rows)
    similarity = rows @ rows.T / temperature
    similarity = similarity.masked_fill(torch.eye(count, dtype=torch.bool, device=rows.device), float("-inf"))
    partner = torch.arange(count, device=rows.device).roll(count // 2)
    return F.cross_entropy(similarity, partner)


class PlainS2AMSnet:
    """Two-step min-max training, the paper's defaults, with all draws handed in.

    Args:
        bands: C.
        classes: K.
        patch_size: P.
        width: d.
        channels: ch.
        noise_dim: N.
        lr: Adam's learning rate.
        temperature: tau.
    """

    def __init__(
        self,
        bands: int,
        classes: int,
        *,
        patch_size: int,
        width: int,
        channels: int,
        noise_dim: int = 2,
        lr: float = 1e-3,
        temperature: float = 0.07,
    ) -> None:
        self.discriminator = Discriminator(bands, classes, patch_size=patch_size, width=width)
        self.generators = nn.ModuleList([Generator(bands, channels=channels, noise_dim=noise_dim) for _ in range(2)])
        self.encoder = Encoder(bands)
        self.temperature = temperature
        self.optimizer_f = torch.optim.Adam(self.discriminator.parameters(), lr=lr)
        self.optimizer_g = torch.optim.Adam(self.generators.parameters(), lr=lr)
        self.optimizer_e = torch.optim.Adam(self.encoder.parameters(), lr=lr)

    def modules(self) -> dict[str, nn.Module]:
        """All modules by name."""
        return {"discriminator": self.discriminator, "generators": self.generators, "encoder": self.encoder}

    def training_step(
        self, x: Tensor, labels: Tensor, *, noise: tuple[Tensor, Tensor], betas: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """One min and one max step; returns both losses.

        Args:
            x: (B, C, P, P).
            labels: (B,).
            noise: a generator's (3, B, N) each.
            betas: mixing weights.
        """
        domains = self.synthesize(x, noise=noise, betas=betas)
        return self.min_step(labels, domains), self.max_step(x, domains)

    def synthesize(
        self, x: Tensor, *, noise: tuple[Tensor, Tensor], betas: tuple[float, float]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Both generated domains, and each mixed with the source."""
        x_a, x_b = self.generators[0](x, noise[0]), self.generators[1](x, noise[1])
        mix_a = betas[0] * x_a + (1 - betas[0]) * x
        mix_b = betas[1] * x_b + (1 - betas[1]) * x
        return x_a, x_b, mix_a, mix_b

    def min_step(self, labels: Tensor, domains: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """Move the discriminator; returns its loss."""
        a, b, a_mix, b_mix = (self.discriminator(domain.detach()) for domain in domains)
        loss = sum(F.cross_entropy(logits, labels) for logits in (a, b, a_mix, b_mix)) + kl(a, b_mix) + kl(b, a_mix)
        self.optimizer_f.zero_grad()
        loss.backward()
        self.optimizer_f.step()
        return loss.detach()

    def max_step(self, x: Tensor, domains: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """Move generators and encoder; returns their loss."""
        classify = self.discriminator
        x_a, x_b, mix_a, mix_b = domains
        classify.requires_grad_(False)
        divergence = kl(classify(x_a), classify(mix_b)) + kl(classify(x_b), classify(mix_a))
        classify.requires_grad_(True)
        information = self.mutual_information(x, x_a) + self.mutual_information(x, x_b)
        loss = information - divergence
        self.optimizer_g.zero_grad()
        self.optimizer_e.zero_grad()
        loss.backward()
        self.optimizer_g.step()
        self.optimizer_e.step()
        return loss.detach()

    def mutual_information(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """InfoNCE between the encoder's features of both, mean over depths."""
        depths = zip(self.encoder(x_hat), self.encoder(x), strict=True)
        return torch.stack([info_nce(query, key, self.temperature) for query, key in depths]).mean()


class PatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """Augmented patches of a scene, one by one.

    Args:
        cube: (H, W, C) float32.
        labels: (N,) class indices.
        pixels: (N, 2) rows and columns.
        patch_size: P.
        noise_std: standard deviation of the radiation noise.
        seed: of all draws.
    """

    def __init__(
        self,
        cube: NDArray[np.float32],
        labels: NDArray[np.int64],
        pixels: NDArray[np.int64],
        *,
        patch_size: int,
        noise_std: float,
        seed: int = 0,
    ) -> None:
        radius = patch_size // 2
        self.cube = np.pad(cube, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
        self.labels, self.pixels = labels, pixels
        self.patch_size, self.noise_std = patch_size, noise_std
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        row, column = self.pixels[index]
        patch = self.cube[row : row + self.patch_size, column : column + self.patch_size]
        if self.rng.random() < 0.5:
            if self.rng.random() < 0.5:
                patch = patch[::-1]
            if self.rng.random() < 0.5:
                patch = patch[:, ::-1]
        if self.rng.random() < 0.5:
            alpha = self.rng.uniform(0.9, 1.1)
            patch = alpha * patch + self.noise_std * self.rng.standard_normal(patch.shape)
        patch = np.ascontiguousarray(patch.transpose(2, 0, 1), dtype=np.float32)
        return torch.from_numpy(patch), torch.tensor(self.labels[index])
