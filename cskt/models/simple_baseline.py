"""The networks of AP-10K's benchmark: timm's ResNet or HRNet with the simple-baseline head, and mmpose's checkpoints.

Xiao, Wu and Wei, "Simple baselines for human pose estimation and tracking", 2018: of a ResNet's last stage three
transposed convolutions make maps of a quarter of the input's side, and a 1 x 1 convolution the landmarks'. HRNet's
finest branch has that size already and gets the last convolution alone.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cskt.errors import DataError
from cskt.untrusted import read_plain

DECONVOLUTIONS, WIDTH = 3, 256
# mmpose's cell k is pixel 4 k of the crop (spec 6.3), ours its middle: 4 k + 1.5
TOO_FAR = 0.375


class SimpleBaseline(nn.Module):
    """Maps of a quarter of the input's side.

    Args:
        landmarks: how many, L.
        name: timm's name of the backbone: resnet18, resnet50, resnet101, hrnet_w32, hrnet_w48, ...
        weights: a timm weights tag to download ("" for random weights).
        mmpose_frame: its weights are mmpose's, whose maps lie `TOO_FAR` cells too far right and down; moved back.
    """

    def __init__(self, landmarks: int, name: str, weights: str = "", mmpose_frame: bool = False):
        super().__init__()
        import timm

        self.mmpose_frame = mmpose_frame

        backbone = f"{name}.{weights}" if weights else name
        self.deconv_layers = nn.Sequential()
        if name.startswith("hrnet"):
            self.backbone = timm.create_model(
                backbone, pretrained=bool(weights), features_only=True, feature_location="", out_indices=(1,)
            )
            # the last fusion makes the finest branch alone, as in mmpose: the others would never be used
            last = self.backbone.stage4[-1]
            last.fuse_layers = last.fuse_layers[:1]
        else:
            self.backbone = timm.create_model(backbone, pretrained=bool(weights), features_only=True, out_indices=(4,))
        width = self.backbone.feature_info.channels()[-1]
        if name.startswith("hrnet"):
            width = self.backbone.stage4[-1].num_in_chs[0]
        else:
            layers = []
            for _ in range(DECONVOLUTIONS):
                layers += [nn.ConvTranspose2d(width, WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(True)]
                width = WIDTH
            self.deconv_layers = nn.Sequential(*layers)
        # named so that `checkpoints.transfer` finds the last layer
        self.head = nn.Sequential(nn.Conv2d(width, landmarks, 1))
        for module in [*self.deconv_layers, *self.head]:
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.001)
            if isinstance(module, nn.Conv2d):
                nn.init.zeros_(module.bias)

    def forward(self, images):
        """[B, 3, H, W] to [B, L, H/4, W/4]."""
        maps = self.head(self.deconv_layers(self.backbone(images)[-1]))
        return _moved_back(maps) if self.mmpose_frame else maps


def _moved_back(maps: torch.Tensor) -> torch.Tensor:
    """Maps read `TOO_FAR` cells further on, between two cells each; the last one is continued.

    The benchmark's flip test moves the mirror image's maps by a cell for the same reason, where these are in place.
    """
    for dim in (-1, -2):
        size = maps.shape[dim]
        following = torch.cat([maps.narrow(dim, 1, size - 1), maps.narrow(dim, size - 1, 1)], dim)
        maps = torch.lerp(maps, following, TOO_FAR)
    return maps


def mmpose_key(key: str) -> str:
    """Our name of a weight of mmpose's top-down models, of its versions 0.x (`keypoint_head.`) and 1.x (`head.`).

    Example:
        >>> mmpose_key("keypoint_head.final_layer.weight"), mmpose_key("head.deconv_layers.4.running_var")
        ('head.0.weight', 'deconv_layers.4.running_var')
    """
    key = re.sub(r"^module\.", "", key)
    key = re.sub(r"^(keypoint_head|head)\.", "", key)
    return re.sub(r"^final_layer\.", "head.0.", key)


def mmpose_weights(path: str | Path) -> tuple[dict[str, torch.Tensor], str]:
    """The weights of a checkpoint that mmpose published, under our names; and our name of the network.

    The files hold numbers and settings beside the weights, some of them objects; nothing of a file is executed, so one
    that needs that is refused.

    Raises:
        DataError: no such file, or not readable as plain weights of a model with a backbone.
    """
    hint = "torch.save(torch.load(path, weights_only=False)['state_dict'], new)"
    content = read_plain(path, f"; of a file that you trust keep the weights alone: {hint}")
    name = mmpose_network(content)
    if not name:
        raise DataError(f"{path}: holds no weights of a model with a backbone, neither bare nor under state_dict")
    return _renamed(content), name


def mmpose_network(content: Any) -> str:
    """Our name of the network whose weights mmpose published in this file; "" where they are none of mmpose's.

    The number of a ResNet's blocks tells its depth, what an HRNet's head takes its width. The name may be of a network
    that is not among ours.
    """
    weights = _renamed(content)
    blocks = {key.split(".")[2] for key in weights if key.startswith("backbone.layer3.")}
    if any(key.startswith("backbone.stage2.") for key in weights):
        head = weights.get("head.0.weight")
        return f"mmpose_hrnet_w{head.shape[1] if head is not None and head.ndim == 4 else '?'}"
    if blocks:
        return f"mmpose_resnet{ {2: 18, 6: 50, 23: 101, 36: 152}.get(len(blocks), '?') }"
    return "mmpose's, of another kind" if any(key.startswith("backbone.") for key in weights) else ""


def _renamed(content: Any) -> dict[str, torch.Tensor]:
    weights = content.get("state_dict", content) if isinstance(content, dict) else {}
    weights = weights if isinstance(weights, dict) else {}
    return {mmpose_key(str(key)): value for key, value in weights.items() if torch.is_tensor(value)}
