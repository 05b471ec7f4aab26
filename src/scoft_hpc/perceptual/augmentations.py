"""Random views of an image, differentiable: a change of perspective, then a crop at 224 pixels.

The views of a row of a batch follow from its own seed alone. Pixel (i, j) covers [j, j + 1] x [i, i + 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoft_hpc.perceptual.images import SIZE

DISTORTION = 0.5
"""Each corner moves inwards by up to this share of half the side."""

CROP_AREA = (0.8, 1.0)
"""Of the image's area, a square's; the authors' code has 0.8 at both ends."""


@dataclass(frozen=True)
class ViewParams:
    """Parameters of A views of each of N rows.

    Attributes:
        homography: [N, A, 3, 3]; takes a point (x, y, 1) of the view to the image's, both in pixels.
        crop: [N, A, 3]: top, left and side in pixels.
    """

    homography: Tensor
    crop: Tensor

    def to(self, device: torch.device) -> ViewParams:
        return ViewParams(self.homography.to(device), self.crop.to(device))


def sample_params(seeds: Tensor, count: int, height: int, width: int) -> ViewParams:
    """`count` views of each row, drawn on the CPU from a generator with the row's seed; seeds [N].

    Source: the distributions of torchvision's RandomPerspective and RandomResizedCrop.
    """
    rows = []
    for seed in seeds.tolist():
        rng = torch.Generator().manual_seed(seed)
        rows.append(torch.rand(count, 11, generator=rng, dtype=torch.float64))
    u = torch.stack(rows)
    size = torch.tensor([width, height])
    steps = (DISTORTION * (size // 2)).long()
    inwards = (u[..., :8].unflatten(-1, (4, 2)) * (steps + 1)).floor()
    start = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=u.dtype) * (size - 1)
    end = start + inwards * torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    low, high = CROP_AREA
    side = ((low + (high - low) * u[..., 8]).sqrt() * min(height, width)).round()
    top, left = ((size.flip(0) - side[..., None] + 1) * u[..., 9:]).floor().unbind(-1)
    crop = torch.stack([top, left, side], -1)
    return ViewParams(homography(end, start.expand_as(end)).float(), crop.float())


def homography(source: Tensor, target: Tensor) -> Tensor:
    """The projective map [..., 3, 3] that takes four points (x, y) [..., 4, 2] to four others."""
    x, y = source.unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    u, v = target.unbind(-1)
    rows = [
        torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1),
        torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1),
    ]
    solved = torch.linalg.solve(torch.cat(rows, -2), torch.cat([u, v], -1))
    return torch.cat([solved, torch.ones_like(solved[..., :1])], -1).view(*solved.shape[:-1], 3, 3)


def apply(x: Tensor, params: ViewParams) -> Tensor:
    """The views [N, M, A, 3, 224, 224] of images x [N, M, 3, H, W]; the M images of a row share its views.

    One view after the other: all at once would take ten times the memory of the images.
    """
    n, m, c = x.shape[:3]
    stacked = x.flatten(1, 2)
    views = [
        crop_and_resize(warp(stacked, params.homography[:, a]), params.crop[:, a]).view(n, m, c, SIZE, SIZE)
        for a in range(params.homography.shape[1])
    ]
    return torch.stack(views, 2)


def warp(x: Tensor, homography: Tensor) -> Tensor:
    """Images [B, C, H, W] seen through homographies [B, 3, 3] (view -> image), bilinear, black outside."""
    height, width = x.shape[-2:]
    across = torch.arange(width, device=x.device) + 0.5
    down = torch.arange(height, device=x.device) + 0.5
    points = torch.stack(
        [*torch.meshgrid(across, down, indexing="xy"), torch.ones_like(across).expand(height, -1)], -1
    )
    mapped = points.view(-1, 3) @ homography.mT
    size = torch.tensor([width, height], device=x.device)
    grid = 2 * mapped[..., :2] / mapped[..., 2:] / size - 1
    grid = grid.nan_to_num(nan=2.0).clamp(-2, 2).to(x.dtype)
    return torch.nn.functional.grid_sample(x, grid.view(-1, height, width, 2), align_corners=False)


def crop_and_resize(x: Tensor, crop: Tensor) -> Tensor:
    """Squares (top, left, side) [B, 3] of images [B, C, H, W] at 224 pixels, bilinear with antialiasing."""
    top, left, side = crop.unbind(-1)
    down = _resampling(top, side, x.shape[-2]).to(x.dtype)[:, None]
    across = _resampling(left, side, x.shape[-1]).to(x.dtype)[:, None]
    return down @ x @ across.mT


def _resampling(start: Tensor, side: Tensor, size: int) -> Tensor:
    """Matrices [B, 224, size]: each new pixel as a weighted mean of old ones, within [start, start + side]."""
    scale = (side / SIZE)[:, None, None]
    start, side = start[:, None, None], side[:, None, None]
    centres = start + (torch.arange(SIZE, device=start.device)[:, None] + 0.5) * scale
    pixels = torch.arange(size, device=start.device) + 0.5
    weights = (1 - (pixels - centres).abs() / scale.clamp_min(1)).clamp_min(0)
    weights = weights * ((start < pixels) & (pixels < start + side))
    return weights / weights.sum(-1, keepdim=True)
