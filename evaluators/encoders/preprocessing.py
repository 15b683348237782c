"""From stored images to what a network was trained on, the same way for real and generated ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from bench.api import BenchError, Images

if TYPE_CHECKING:
    import torch

Aspect = Literal["pad", "crop", "squash"]
Resample = Literal["bicubic", "bilinear"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Square input of one size, resized with antialiasing, grey repeated over the channels, normalised.

    Attributes:
        size: edge of the network's input, in pixels.
        mean: subtracted, one value a channel, on a scale where white is 1.
        std: then divided by, likewise.
        aspect: how an oblong image becomes square: black borders, the middle cut out, or squashed.
        resample: the interpolation.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    aspect: Aspect = "pad"
    resample: Resample = "bicubic"

    @staticmethod
    def of(name: str, settings: Mapping[str, Any]) -> Preprocessing:
        """From configuration; ``BenchError`` for unknown or contradictory settings."""
        try:
            made = Preprocessing(**dict(settings))
        except TypeError as error:
            raise BenchError(f"encoder {name}: preprocessing: {error}") from error
        if made.aspect not in get_args(Aspect) or made.resample not in get_args(Resample):
            raise BenchError(
                f"encoder {name}: preprocessing has aspect={made.aspect!r}, resample={made.resample!r}, needed one of "
                f"{get_args(Aspect)} and one of {get_args(Resample)}"
            )
        if len(made.mean) != len(made.std):
            raise BenchError(f"encoder {name}: preprocessing has {len(made.mean)} means and {len(made.std)} stds")
        return Preprocessing(int(made.size), tuple(made.mean), tuple(made.std), made.aspect, made.resample)

    @property
    def spec(self) -> str:
        """All of it in one line, for the identity of an encoder."""
        mean, std = (",".join(f"{value:.6g}" for value in values) for values in (self.mean, self.std))
        return f"{self.size}px {self.aspect} {self.resample} antialiased mean={mean} std={std}"

    def __call__(self, images: Images, device: torch.device) -> torch.Tensor:
        """Prepare ``(B, H, W)`` uint8: ``(B, C, size, size)`` float32 on ``device``.

        Grey is resized once and repeated afterwards, which gives the bytes that resizing every channel would.
        """
        import torch
        from torch.nn.functional import interpolate

        grey = torch.from_numpy(images).to(device).unsqueeze(1).float()
        grey = _square(grey, self.aspect)
        if grey.shape[-2:] != (self.size, self.size):
            grey = interpolate(grey, (self.size, self.size), mode=self.resample, antialias=True).clamp(0, 255)
        mean, std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (grey / 255 - mean) / std


def _square(grey: torch.Tensor, aspect: Aspect) -> torch.Tensor:
    from torch.nn.functional import pad

    height, width = grey.shape[-2:]
    if aspect == "squash" or height == width:
        return grey
    if aspect == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return grey[..., top : top + side, left : left + side]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return pad(grey, (left, side - width - left, top, side - height - top))
