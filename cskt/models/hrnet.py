"""HRNet with the face alignment head: timm's backbone, the published head (spec 1.1)."""

import torch
import torch.nn.functional as F
from torch import nn


class HRNet(nn.Module):
    """Four scales of a high-resolution backbone, brought to the finest, concatenated, two 1 x 1 convolutions.

    Args:
        landmarks: how many maps, L.
        name: timm's name of the backbone; `hrnet_w18` is the paper's (9.64 M parameters at L = 9).
        weights: a timm weights tag to download ("" for random weights).
    """

    def __init__(self, landmarks: int, name: str = "hrnet_w18", weights: str = ""):
        super().__init__()
        import timm

        # without feature_location="" timm gives the classifier's widened features instead of the four branches
        self.backbone = timm.create_model(
            f"{name}.{weights}" if weights else name, pretrained=bool(weights), features_only=True, feature_location=""
        )
        channels = sum(self.backbone.feature_info.channels()[1:])
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, landmarks, 1),
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.01
            elif isinstance(module, nn.Conv2d) and not weights:
                nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Upsample):
                # timm repeats pixels where scales are fused; the face alignment network interpolates (spec 1.1)
                module.mode = "bilinear"

    def forward(self, images):
        """[B, 3, H, W] to [B, L, H/4, W/4] (255 px in gives 64 cells too)."""
        _, finest, *coarser = self.backbone(images)
        size = finest.shape[-2:]
        scales = [finest] + [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in coarser]
        return self.head(torch.cat(scales, dim=1))
