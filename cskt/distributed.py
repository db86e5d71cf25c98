"""One training in several processes, each with a GPU of its own, that computes what one process would (torchrun).

Each process draws the whole batch of a step, which follows from (seed, step), and goes on with its share of the rows.
Means over rows are made means over the joint batch: of losses and of what is fed back (`mean`), of gradients
(`average_gradients`), and of batch norm's statistics (`join`). So all processes hold the same weights after each step,
those of one process up to rounding. The first of them alone reads and writes files. With one process nothing here does
anything. docs/cluster.md tells how to start it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from cskt import torchrun
from cskt.errors import ConfigError


def start(device: torch.device) -> None:
    """Meet the other processes, where there are some; a second call does nothing."""
    if torchrun.launched() and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(count: int) -> slice:
    """The rows of a batch of `count` that this process computes.

    Raises:
        ConfigError: they cannot be shared out equally.
    """
    if count % size():
        raise ConfigError(f"a batch of {count} cannot be shared out among {size()} processes: take a multiple of it")
    own = count // size()
    return slice(rank() * own, (rank() + 1) * own)


def mean(values: torch.Tensor) -> torch.Tensor:
    """The mean of each value over all processes; takes no gradient along."""
    if size() == 1:
        return values
    total = values.detach().to(_device(values), copy=True)
    dist.all_reduce(total)
    return (total / size()).to(values.device)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes."""
    if size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = mean(torch.cat([g.flatten() for g in gradients]))
    for gradient, averaged in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(averaged.view_as(gradient))


def gathered(rows: torch.Tensor) -> torch.Tensor:
    """What all processes have of a batch, [B / processes, ...], in the batch's order, [B, ...]; takes no gradient."""
    if size() == 1:
        return rows
    own = rows.detach().to(_device(rows)).contiguous()
    parts = [torch.empty_like(own) for _ in range(size())]
    dist.all_gather(parts, own)
    return torch.cat(parts).to(rows.device)


def _device(values: torch.Tensor) -> torch.device:
    """Where values have to be for the processes to exchange them."""
    return torch.device("cuda") if dist.get_backend() == "nccl" else values.device


def from_first(make: Callable[[], Any]) -> Any:
    """What `make` returns in the first process, which alone calls it."""
    if size() == 1:
        return make()
    made = [make() if rank() == 0 else None]
    dist.broadcast_object_list(made)
    return made[0]


def join(net: nn.Module) -> None:
    """Let a network's batch norm go by the joint batch of all processes, where there are several.

    Raises:
        ConfigError: it has a batch norm of a kind that cannot.
    """
    if size() == 1:
        return
    from timm.layers import BatchNormAct2d

    kinds = {nn.BatchNorm2d: JointBatchNorm, BatchNormAct2d: JointBatchNormAct}
    for module in net.modules():
        if type(module) in kinds:
            # in place, so that whoever holds a part of the network holds it still
            module.__class__ = kinds[type(module)]
            module.process_group = None
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, JointBatchNorm):
            raise ConfigError(f"{type(module).__name__} knows no joint batch: train this network in one process")


class _Sum(torch.autograd.Function):
    """The sum over all processes, through which each one's loss reaches the values of the others."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _Sum.forward(context, gradient)


class JointBatchNorm(nn.SyncBatchNorm):
    """Batch norm over the rows of all processes: torch's on a GPU, and on a CPU, for which it has none, the same."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_cuda or not self.training:
            return super().forward(x)
        # around the running mean, which all processes share: of large means a mean of squares would lose the variance
        origin = self.running_mean.detach().clone()
        apart = x.float() - origin[:, None, None]
        moments = torch.stack([apart.mean(dim=(0, 2, 3)), apart.square().mean(dim=(0, 2, 3))])
        first, second = _Sum.apply(moments) / size()
        variance = second - first.square()
        self._remember(origin + first.detach(), variance.detach(), size() * x.numel() // x.shape[1])
        normed = (apart - first[:, None, None]) * (variance + self.eps).rsqrt()[:, None, None]
        return (normed * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _remember(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Move the running statistics towards those of a joint batch with `count` values per channel."""
        self.num_batches_tracked += 1
        step = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), step)


class JointBatchNormAct(JointBatchNorm):
    """timm's batch norm with an activation, over the rows of all processes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.drop(super().forward(x)))
