"""Networks made quicker for inference: batch norm folded into the convolutions before it.

The maps differ by rounding from those of the network itself, so this is for whoever asks for it: no run of the suite
does.
"""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cskt.models import LandmarkNet


@torch.no_grad()
def folded(net: LandmarkNet) -> LandmarkNet:
    """A copy in evaluation mode whose batch norms are part of the convolutions that feed them.

    Which convolution feeds which batch norm is seen in a pass over a black image, not read from names.

    Args:
        net: left as it is.

    Returns:
        a network for inference only: it has no statistics left to train with.
    """
    quick = copy.deepcopy(net).eval()
    pairs = _pairs(quick)
    names = {module: name for name, module in quick.named_modules()}
    for norm, conv in pairs.items():
        _replace(quick, names[conv], fuse_conv_bn_eval(conv, norm))
        _replace(quick, names[norm], nn.Identity())
    quick.net.to(memory_format=torch.channels_last)
    return quick.requires_grad_(False)


def _pairs(net: LandmarkNet) -> dict[nn.Module, nn.Module]:
    """Batch norm -> the convolution whose output it takes, of those that follow one."""
    # the tensors are kept, or one's address could be given to another
    made, pairs, kept, hooks = {}, {}, [], []

    def after_convolution(module, inputs, output):
        made[id(output)] = module
        kept.append(output)

    def after_norm(module, inputs, output):
        if id(inputs[0]) in made:
            pairs[module] = made[id(inputs[0])]

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_hook(after_norm))
    device = next(net.parameters()).device
    net(torch.zeros(1, 3, net.size, net.size, device=device))
    for hook in hooks:
        hook.remove()
    return pairs


def _replace(net: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, module)
