"""Kill trainings at random moments, go on, and compare the end with that of a training nobody disturbed.

    python tests/kills.py KILLS SEED [STEPS]

Prints one line of JSON: what was killed, where, and whether every end was the same to the bit. A program of its own,
because it forks: torch is imported once, and each life of a training costs only what it trains.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
from builders import VIEWS, meta_cskt, same
from test_training import Walk

from cskt import training
from cskt.models import NETWORKS
from cskt.models.checkpoints import save_plain
from cskt.models.unet import UNet

torch.set_num_threads(1)
NETWORKS["tiny"] = (lambda landmarks, weights: UNet(landmarks, width=4), 2)


class Large(Walk):
    """A walk with a state of some megabytes, so that most of its time is spent in writing it."""

    def __init__(self):
        super().__init__()
        self.bulk = torch.zeros(300_000)

    def step(self, step, lr, generator):
        self.bulk = 0.9 * self.bulk + torch.randn(300_000, generator=generator)
        return super().step(step, lr, generator)

    def state_dict(self):
        return super().state_dict() | {"bulk": self.bulk}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.bulk = state["bulk"]


METHODS = {"meta_cskt": lambda: meta_cskt(views=VIEWS), "large": Large}


def live(name: str, folder: Path, steps: int) -> int:
    """Start or go on with a training in a process of its own; returns the process. Its end is `end.pt`."""
    process = os.fork()
    if process:
        return process
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # progress bars
        method = METHODS[name]()
        training.train(method, steps=steps, rate=lambda step: 1e-3, seed=5, folder=folder, save_seconds=0)
        save_plain(folder / "end.pt", {"method": method.state_dict()})
        os._exit(0)
    finally:
        os._exit(1)


def waited(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill_and_go_on(name: str, kills: int, steps: int, rng: random.Random, home: Path) -> dict:
    """Kill trainings of one method until there were so many kills, each training until its end."""
    begun, process = time.monotonic(), live(name, home / name, steps)
    while not (home / name / "resume.pt").exists():
        time.sleep(0.001)
    first = time.monotonic()
    assert waited(process) == 0
    length, pause = time.monotonic() - begun, (time.monotonic() - first) / (steps - 1)
    wanted = torch.load(home / name / "end.pt")["method"]
    found = dict.fromkeys(("kills", "while_saving", "before_the_first_save", "trainings", "same", "readable"), 0)
    while found["kills"] < kills:
        folder = home / f"{name}_{found['trainings']}"
        found["trainings"] += 1
        while True:
            state = folder / "resume.pt"
            before = state.stat().st_ino if state.exists() else None
            process = live(name, folder, steps)
            # seldom at once; else some steps after the first save of this life, so that the training gets on
            if rng.random() < 0.1:
                time.sleep(rng.uniform(0, length))
            else:
                while not (folder / "end.pt").exists() and (not state.exists() or state.stat().st_ino == before):
                    time.sleep(0.001)
                time.sleep(rng.uniform(0, 6 * pause))
            os.kill(process, signal.SIGKILL)
            if waited(process) == 0:
                break
            found["kills"] += 1
            found["while_saving"] += any(folder.glob(".*.resume.pt"))
            found["before_the_first_save"] += not state.exists()
            found["readable"] += not state.exists() or torch.load(state)["step"] <= steps
        found["same"] += same(torch.load(folder / "end.pt")["method"], wanted)
        left = {path.name for path in folder.iterdir()} - {"resume.pt", "metrics.csv", "end.pt", ".lock"}
        assert not left, f"{folder}: {left} was left"
    return found


def main() -> None:
    kills, seed = int(sys.argv[1]), int(sys.argv[2])
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 30
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as home:
        shares = {"meta_cskt": kills // 2, "large": kills - kills // 2}
        print(json.dumps({name: kill_and_go_on(name, n, steps, rng, Path(home)) for name, n in shares.items()}))


if __name__ == "__main__":
    main()
