"""The small network for a CPU: a plain convolutional encoder and decoder with a location prior.

On a CPU layers count more than operations (docs/log.md), so it has few of them; two coordinate channels beside the
colors tell every convolution where in the face box it is.
"""

import torch
import torch.nn.functional as F
from torch import nn

MULTIPLIERS = (1, 2, 3, 4)  # channels at stride 2, 4, 8, 16, over the width


class Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Identity()
        if stride > 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class UNet(nn.Module):
    """Maps of half the input's side from four scales.

    Args:
        landmarks: how many maps, L.
        width: channels at the finest scale.
    """

    def __init__(self, landmarks: int, width: int = 32):
        super().__init__()
        channels = [width * m for m in MULTIPLIERS]
        self.stem = nn.Sequential(
            nn.Conv2d(3 + 2, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.down = nn.ModuleList(
            Block(channels[max(k - 1, 0)], channels[k], stride=2 if k else 1) for k in range(len(channels))
        )
        self.lateral = nn.ModuleList(
            nn.Conv2d(b, a, 1, bias=False) for a, b in zip(channels, channels[1:], strict=False)
        )
        self.up = nn.ModuleList(Block(c, c) for c in channels[:-1])
        self.head = nn.Conv2d(width, landmarks, 1)

    def forward(self, images):
        """[B, 3, H, W], sides multiples of 16, to [B, L, H/2, W/2]."""
        height, width = images.shape[-2:]
        x_axis = torch.linspace(-1, 1, width, dtype=images.dtype, device=images.device)
        y_axis = torch.linspace(-1, 1, height, dtype=images.dtype, device=images.device)
        place = torch.stack([x_axis.expand(height, width), y_axis[:, None].expand(height, width)])
        x = self.stem(torch.cat([images, place.expand(images.shape[0], -1, -1, -1)], dim=1))
        scales = []
        for block in self.down:
            x = block(x)
            scales.append(x)
        for k in reversed(range(len(self.up))):
            x = self.up[k](F.interpolate(self.lateral[k](x), scale_factor=2.0, mode="nearest") + scales[k])
        return self.head(x)
