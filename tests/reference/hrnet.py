"""The face alignment HRNet-W18 written down from its table (spec 1.1), with the original names of all weights.

As the original it writes ReLUs and shortcuts in place and interpolates coarser branches alone: `make bench` times it.
"""

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = (18, 36, 72, 144)


def conv_bn(channels_in, channels_out, kernel=3, stride=1, relu=True):
    layers = [
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Residual(nn.Module):
    """BasicBlock (two 3 x 3 convolutions) or, with an expansion of 4, Bottleneck (1 x 1, 3 x 3, 1 x 1)."""

    def __init__(self, channels_in, width, bottleneck):
        super().__init__()
        kernels, widths = ((1, 3, 1), (width, width, 4 * width)) if bottleneck else ((3, 3), (width, width))
        for k, (kernel, channels) in enumerate(zip(kernels, widths, strict=True), start=1):
            before = channels_in if k == 1 else widths[k - 2]
            setattr(self, f"conv{k}", nn.Conv2d(before, channels, kernel, 1, kernel // 2, bias=False))
            setattr(self, f"bn{k}", nn.BatchNorm2d(channels))
        self.count = len(kernels)
        self.downsample = None
        if channels_in != widths[-1]:
            self.downsample = conv_bn(channels_in, widths[-1], kernel=1, relu=False)

    def forward(self, x):
        y = x
        for k in range(1, self.count + 1):
            y = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(y))
            if k < self.count:
                y = F.relu(y, inplace=True)
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class Module(nn.Module):
    """Four BasicBlocks a branch, then every branch receives all others."""

    def __init__(self, count):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(Residual(c, c, False) for _ in range(4))) for c in WIDTHS[:count])
        self.fuse_layers = nn.ModuleList(nn.ModuleList(self.fuse(i, j) for j in range(count)) for i in range(count))

    def fuse(self, i, j):
        if j == i:
            return nn.Identity()
        if j > i:
            return conv_bn(WIDTHS[j], WIDTHS[i], kernel=1, relu=False)
        steps = [conv_bn(WIDTHS[j], WIDTHS[j], stride=2) for _ in range(i - j - 1)]
        return nn.Sequential(*steps, conv_bn(WIDTHS[j], WIDTHS[i], stride=2, relu=False))

    def forward(self, xs):
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        fused = []
        for i, own in enumerate(xs):
            y = self.fuse_layers[i][0](xs[0])
            for j in range(1, len(xs)):
                part = self.fuse_layers[i][j](xs[j])
                if j > i:
                    part = F.interpolate(part, size=own.shape[2:], mode="bilinear", align_corners=False)
                y = y + part
            fused.append(F.relu(y, inplace=True))
        return fused


class OriginalHRNet(nn.Module):
    def __init__(self, landmarks=9):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Residual(64, 64, True), *(Residual(256, 64, True) for _ in range(3)))
        # the first new branch of a transition is one more level down, as the original counts
        self.transition1 = nn.ModuleList([conv_bn(256, 18), nn.Sequential(conv_bn(256, 36, stride=2))])
        self.stage2 = nn.Sequential(Module(2))
        self.transition2 = nn.ModuleList([nn.Identity(), nn.Identity(), nn.Sequential(conv_bn(36, 72, stride=2))])
        self.stage3 = nn.Sequential(*(Module(3) for _ in range(4)))
        self.transition3 = nn.ModuleList(
            [*(nn.Identity() for _ in range(3)), nn.Sequential(conv_bn(72, 144, stride=2))]
        )
        self.stage4 = nn.Sequential(*(Module(4) for _ in range(3)))
        self.head = nn.Sequential(
            nn.Conv2d(270, 270, 1), nn.BatchNorm2d(270), nn.ReLU(inplace=True), nn.Conv2d(270, landmarks, 1)
        )

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.layer1(F.relu(self.bn2(self.conv2(x)), inplace=True))
        xs = self.stage2([layer(x) for layer in self.transition1])
        xs = self.stage3([*xs, self.transition2[2](xs[-1])])
        xs = self.stage4([*xs, self.transition3[3](xs[-1])])
        size = xs[0].shape[2:]
        coarser = [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in xs[1:]]
        return self.head(torch.cat([xs[0], *coarser], dim=1))


def original_weights(landmarks=9, seed=0):
    """A network of that kind, its weights and statistics all drawn so that none can be left out unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    net = OriginalHRNet(landmarks).eval()
    for name, value in net.state_dict().items():
        if value.ndim == 4:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif "running_var" in name or (value.ndim == 1 and name.endswith("weight")):
            value.uniform_(0.5, 1.0, generator=generator)
        elif value.ndim == 1:
            value.normal_(0, 0.1, generator=generator)
    return net
