"""Random views of whole batches of image tensors, on whatever device they are.

Cropping, flipping and coloring a batch at once costs a few kernels; the same per image in Python
caps a CPU at a few hundred images a second. Brightness, contrast, saturation, hue and graying are
all affine in the three color channels, so a view's are composed into one matrix.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from mmengine.logging import print_log
from torch.nn import functional as F

from pinas_mm.errors import UserError
from pinas_mm.to_device import to_device

# ITU-R BT.601 luma, as torchvision's grayscale uses.
LUMA = (0.299, 0.587, 0.114)
# RGB to YIQ; a hue shift is a rotation of the IQ plane.
RGB_TO_YIQ = (LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@dataclasses.dataclass(frozen=True)
class Augment:
    """What may happen to a view. The defaults are the paper's, less the crop.

    Colors are of RGB images alone: those of another number of channels are only cropped, flipped
    and blurred.

    Args:
        size: side in pixels of square random resized crops; None leaves the size and does not
            crop (the data pipeline has cropped).
        scale: area of a crop as a share of the image's, drawn uniformly.
        ratio: width to height of a crop, drawn log-uniformly; a crop longer than the image is
            cut to it.
        rotate: largest turn of a crop to either side in degrees, drawn uniformly; what lies
            outside the image is its reflection.
        noise: largest standard deviation of Gaussian noise, of values from 0 to 1, drawn uniformly
            for each view. It is drawn on the CPU, a number for each of the image's, and copied.
        flip: probability of a horizontal flip.
        brightness, contrast, saturation: largest change of the factor around 1.
        hue: largest shift of the hue as a share of the color circle, at most 0.5.
        jitter: probability that colors change at all.
        gray: probability of a gray view.
        blur: probability of a Gaussian blur.
        blur_sigma: its standard deviation in pixels, drawn uniformly.

    Raises:
        UserError: a probability or a range makes no sense.
    """

    size: int | None = None
    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    rotate: float = 0.0
    noise: float = 0.0
    flip: float = 0.5
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.4
    jitter: float = 0.8
    gray: float = 0.2
    blur: float = 0.5
    blur_sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        for name in ("flip", "jitter", "gray", "blur", "brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be between 0 and 1")
        if not 0 <= self.hue <= 0.5:
            raise UserError(f"hue is {self.hue}: it must be between 0 and 0.5")
        if not 0 <= self.rotate <= 180 or (self.rotate and self.size is None):
            raise UserError(
                f"rotate is {self.rotate} and size {self.size}: crops of a size are turned, by 0 "
                "to 180 degrees"
            )
        if not 0 <= self.noise <= 1:
            raise UserError(f"noise is {self.noise}: it must be between 0 and 1")
        for name in ("scale", "ratio", "blur_sigma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise UserError(f"{name} is {(low, high)}: give 0 < low <= high")

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A random view of each image.

        Args:
            images: shape (N, channels, H, W), of three channels RGB, float, 0 to 1.
            generator: on the CPU, so that a seed gives the same views on every device.

        Returns:
            Shape (N, channels, size, size), or the images' where ``size`` is None; 0 to 1.
        """
        images = self._crop_and_flip(images, generator)
        if images.shape[1] == 3:
            images = self._color(images, generator)
        elif self.jitter or self.gray:
            _say_no_colors(images.shape[1])
        return self._disturb(self._blur(images, generator), generator)

    def _crop_and_flip(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        number, channels, height, width = images.shape
        flip = 1 - 2 * (torch.rand(number, generator=generator) < self.flip).float()
        if self.size is None:
            return torch.where(_onto(images, flip).view(-1, 1, 1, 1) < 0, images.flip(3), images)
        area = _uniform(number, *self.scale, generator) * height * width
        low, high = map(math.log, self.ratio)
        ratio = _uniform(number, low, high, generator).exp()
        w = ((area * ratio).sqrt() / width).clamp(max=1)
        h = ((area / ratio).sqrt() / height).clamp(max=1)
        x = (1 - w) * (2 * torch.rand(number, generator=generator) - 1)
        y = (1 - h) * (2 * torch.rand(number, generator=generator) - 1)
        # Drawn where it is wanted alone, so that other views stay what they were.
        turn = math.radians(self.rotate)
        angle = _uniform(number, -turn, turn, generator) if turn else torch.zeros(number)
        cos, sin = angle.cos(), angle.sin()
        # Angles are of pixels, coordinates of the image's own sides.
        rows = [w * flip * cos, -h * sin * height / width, x]
        rows += [w * flip * sin * width / height, h * cos, y]
        theta = _onto(images, torch.stack(rows, dim=1).view(-1, 2, 3))
        grid = F.affine_grid(theta, [number, channels, self.size, self.size], align_corners=False)
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

    def _color(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        number = len(images)
        jitter = torch.rand(number, generator=generator) < self.jitter
        gray = torch.rand(number, generator=generator) < self.gray
        factors = [
            torch.where(jitter, _uniform(number, 1 - change, 1 + change, generator), 1.0)
            for change in (self.brightness, self.contrast, self.saturation)
        ]
        angle = _uniform(number, -self.hue, self.hue, generator) * 2 * math.pi * jitter
        brightness, contrast, saturation = (f.view(-1, 1, 1) for f in factors)
        saturation = torch.where(gray.view(-1, 1, 1), 0.0, saturation)
        luma = torch.tensor(LUMA).expand(3, 3)
        matrix = saturation * torch.eye(3) + (1 - saturation) * luma
        matrix = _hue_rotation(angle) @ matrix * (brightness * contrast)
        # Contrast mixes in the image's mean gray, which hue and saturation leave in place.
        mean = (images.mean(dim=(2, 3)) @ _onto(images, torch.tensor(LUMA))).view(-1, 1, 1)
        offset = _onto(images, (1 - contrast) * brightness) * mean
        flat = images.flatten(2)
        colored = torch.baddbmm(offset.expand(-1, 3, flat.shape[2]), _onto(images, matrix), flat)
        return colored.clamp_(0, 1).view_as(images)

    def _blur(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        chosen = (torch.rand(len(images), generator=generator) < self.blur).nonzero().flatten()
        sigma = _uniform(len(images), *self.blur_sigma, generator)[chosen]
        if not len(chosen):
            return images
        radius = min(math.ceil(3 * self.blur_sigma[1]), (min(images.shape[2:]) - 1) // 2)
        offsets = torch.arange(-radius, radius + 1)
        kernel = torch.exp(-0.5 * (offsets / sigma.unsqueeze(1)) ** 2)
        kernel = _onto(images, kernel / kernel.sum(dim=1, keepdim=True))
        channels = images.shape[1]
        kernel = kernel.repeat_interleave(channels, dim=0).unsqueeze(1).unsqueeze(1)
        chosen = _onto(images, chosen, chosen.dtype)
        part = images[chosen].flatten(0, 1).unsqueeze(0)
        part = F.pad(part, [radius] * 4, mode="reflect")
        part = F.conv2d(part, kernel, groups=len(kernel))
        part = F.conv2d(part, kernel.transpose(2, 3), groups=len(kernel))
        return images.index_copy(0, chosen, part.view(-1, *images.shape[1:]))

    def _disturb(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if not self.noise:
            return images
        strength = _onto(images, _uniform(len(images), 0, self.noise, generator)).view(-1, 1, 1, 1)
        noise = _onto(images, torch.randn(images.shape, generator=generator))
        return (images + strength * noise).clamp_(0, 1)


@functools.cache
def _say_no_colors(channels: int) -> None:
    print_log(
        f"images of {channels} channels have no colors to change: jitter and gray views are left "
        "out",
        "current",
    )


def _onto(
    images: torch.Tensor, drawn: torch.Tensor, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """What was drawn on the CPU, on the images' device, in their type."""
    return to_device(drawn, images.device, dtype or images.dtype)


def _uniform(number: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(number, generator=generator)


def _hue_rotation(angle: torch.Tensor) -> torch.Tensor:
    """Color matrices, shape (N, 3, 3), that turn the hue by angles in radians."""
    to_yiq = torch.tensor(RGB_TO_YIQ)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rotation = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], dim=1)
    return torch.linalg.inv(to_yiq) @ rotation.view(-1, 3, 3) @ to_yiq
