"""Choosing weights by their error on labels, as the release does (faults 11 and 16 of spec 1.14); off by default."""

from collections.abc import Callable
from typing import Any

import torch

from cskt.models import LandmarkNet
from cskt.training import Method, averaged_copy


class BestOnLabels:
    """A method whose result is the network that erred least on some labels, of those looked at.

    Its result has seen those labels: with 150 of them, "40 labels" are 190.

    Args:
        method: the method to train, with a `result`.
        steps: between two looks.
        error: network -> error on the labels that choose.
    """

    def __init__(self, method: Method, steps: int, error: Callable[[LandmarkNet], float]):
        self.method, self.steps, self.error = method, steps, error
        self.best = averaged_copy(method.result)
        self.best_error = float("inf")

    @property
    def result(self) -> LandmarkNet:
        """The chosen network; the one at the start if no look was taken yet."""
        return self.best

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor | float]:
        losses = self.method.step(step, lr, generator)
        if (step + 1) % self.steps == 0:
            error = float(self.error(self.method.result))
            if error < self.best_error:
                self.best_error = error
                self.best.load_state_dict(self.method.result.state_dict())
        return losses

    def state_dict(self) -> dict[str, Any]:
        return {"method": self.method.state_dict(), "best": self.best.state_dict(), "best_error": self.best_error}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.method.load_state_dict(state["method"])
        self.best.load_state_dict(state["best"])
        self.best_error = state["best_error"]
