"""The training loop: schedule, averaging, numbers that are not finite, and going on from where it was stopped."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from damage import one_bit
from torch import nn

from cskt import training
from cskt.errors import DataError
from cskt.training import (
    NotFiniteError,
    average_in,
    averaged_copy,
    learning_rate,
    optimizer,
    step_generator,
    take_step,
    train,
)


class Walk:
    """A method with momentum and chance: whatever is lost or repeated at a stop changes its end."""

    def __init__(self, on_step=lambda step: None):
        self.place, self.speed = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        self.seen, self.on_step = [], on_step

    def step(self, step, lr, generator):
        self.on_step(step)
        self.speed = 0.9 * self.speed + lr * torch.randn(3, generator=generator, dtype=torch.float64)
        self.place = self.place + self.speed
        self.seen.append((step, lr))
        return {"distance": self.place.norm(), "x": float(self.place[0])}

    def state_dict(self):
        return {"place": self.place, "speed": self.speed}

    def load_state_dict(self, state):
        self.place, self.speed = state["place"], state["speed"]


HOW = {"steps": 50, "rate": lambda step: 1.0 / (step + 1), "seed": 3}


def rows(table):
    return table.drop(columns="seconds").to_dict("list")


# --- schedule


def test_the_published_schedule():
    """Spec 1.10: nothing for 50 steps, then half a cosine over all of them."""
    rates = [learning_rate(t, 10_000, 1e-4, dead=50) for t in (0, 49, 50, 5000, 10_000)]
    assert rates == pytest.approx([0, 0, 0.99994e-4, 0.5e-4, 0], abs=1e-9)


def test_warm_up_rises_linearly_to_the_peak_and_the_rate_falls_to_zero():
    cosine = [0.5 * (1 + math.cos(math.pi * t / 100)) for t in range(100)]
    rates = [learning_rate(t, 100, 2.0, warmup=10) for t in range(100)]
    assert rates[:10] == pytest.approx([2.0 * (t + 1) / 10 * cosine[t] for t in range(10)])
    assert rates[10:] == pytest.approx([2.0 * c for c in cosine[10:]])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 2e-3


# --- optimizer and average


def test_a_step_is_adams_with_the_given_rate():
    """The first step of Adam moves each weight by the rate, against its gradient's sign."""
    net = nn.Linear(2, 1, bias=False)
    before = net.weight.detach().clone()
    take_step(optimizer(net, 0.0), (net.weight * torch.tensor([[3.0, -0.01]])).sum(), lr=0.125)
    assert (net.weight - before).tolist()[0] == pytest.approx([-0.125, 0.125], rel=1e-4)


def test_a_rate_of_zero_moves_nothing():
    net = nn.Linear(4, 2)
    before = [p.detach().clone() for p in net.parameters()]
    opt = optimizer(net, weight_decay=0.1)
    take_step(opt, net(torch.ones(1, 4)).square().sum(), lr=0.0)
    assert all(p.equal(q) for p, q in zip(net.parameters(), before, strict=True))


def test_weight_decay_is_decoupled_from_the_gradient():
    net = nn.Linear(2, 1, bias=False)
    before = net.weight.detach().clone()
    take_step(optimizer(net, weight_decay=0.5), 0 * net.weight.sum(), lr=0.1)
    assert net.weight.allclose(before * (1 - 0.1 * 0.5))


def test_gradients_of_an_earlier_step_are_forgotten():
    net = nn.Linear(1, 1, bias=False)
    opt = optimizer(net, 0.0)
    for _ in range(3):
        take_step(opt, net.weight.sum(), lr=0.0)
        assert net.weight.grad.item() == 1.0


def test_the_average_moves_by_its_decay_batch_norm_statistics_too():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = averaged_copy(net)
    with torch.no_grad():
        net[0].weight.add_(1.0)
        net[1].running_mean.add_(2.0)
        net[1].num_batches_tracked.add_(7)
    start = average[0].weight.clone()
    average_in(average, net, decay=0.75)
    assert average[0].weight.allclose(start + 0.25)
    assert average[1].running_mean.tolist() == pytest.approx([0.5, 0.5])
    assert average[1].num_batches_tracked.item() == 7
    average_in(average, net, decay=0.0)
    assert average[0].weight.allclose(net[0].weight)


def test_an_average_is_in_evaluation_mode_and_takes_no_gradient():
    net = nn.BatchNorm1d(2)
    average = averaged_copy(net)
    assert not average.training and not any(p.requires_grad for p in average.parameters())
    assert net.training and all(p.requires_grad for p in net.parameters())


# --- chance


def test_the_chance_of_a_step_follows_from_seed_and_step_alone():
    def draw(seed, step):
        return torch.rand(4, generator=step_generator(seed, step)).tolist()

    assert draw(0, 7) == draw(0, 7)
    distinct = {tuple(draw(seed, step)) for seed in range(4) for step in range(4)}
    assert len(distinct) == 16, "(0, 1) and (1, 0) are different too"


def test_training_leaves_the_global_chance_alone(tmp_path):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    train(Walk(), **HOW, folder=tmp_path)
    assert torch.rand(1).equal(expected)


# --- metrics


def test_metrics_are_means_over_the_steps_since_the_row_before(tmp_path):
    method = Walk()
    xs = []
    method.on_step = lambda step: xs.append(float(method.place[0]))
    metrics = train(method, **HOW, folder=tmp_path)
    xs = [*xs[1:], float(method.place[0])]
    assert metrics["step"].tolist() == [20, 40, 50]
    assert metrics["x"].tolist() == pytest.approx([np.mean(xs[:20]), np.mean(xs[20:40]), np.mean(xs[40:])], rel=1e-5)
    assert metrics["lr"].tolist() == [1 / 20, 1 / 40, 1 / 50]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "metrics.csv"), metrics)


def test_a_row_in_which_a_second_stage_begins_has_the_losses_of_both(tmp_path):
    class Stages(Walk):
        def step(self, step, lr, generator):
            losses = super().step(step, lr, generator)
            return {"first": 2.0} if step < 25 else {"second": 4.0, "x": losses["x"]}

    table = train(Stages(), **HOW, folder=tmp_path)
    assert table[["first", "second"]].fillna(0).to_numpy().tolist() == [[2, 0], [2, 4], [0, 4]]
    written = pd.read_csv(tmp_path / "metrics.csv")
    assert written["x"].isna().tolist() == [True, False, False]


def test_every_step_is_taken_once_with_its_rate(tmp_path):
    method = Walk()
    train(method, **HOW, folder=tmp_path)
    assert method.seen == [(t, 1 / (t + 1)) for t in range(50)]


# --- numbers that are not finite


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_with_step_and_term(tmp_path, value):
    class Broken(Walk):
        def step(self, step, lr, generator):
            losses = super().step(step, lr, generator)
            return losses | {"pseudo": torch.tensor(value if step == 27 else 1.0)}

    with pytest.raises(NotFiniteError, match=rf"^step 27: pseudo is {value}; all losses: .*'distance'") as error:
        train(Broken(), **HOW, folder=tmp_path, save_seconds=0)
    assert str(tmp_path / "resume.pt") in str(error.value)
    assert torch.load(tmp_path / "resume.pt")["step"] == 27, "the state before the step is kept"


# --- stopping and going on


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    method = Walk()
    return method, train(method, **HOW, folder=tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("stop", [1, 19, 20, 33, 49])
def test_a_run_that_died_ends_as_if_it_had_not(tmp_path, uninterrupted, stop):
    def die(step):
        if step == stop:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(Walk(die), **HOW, folder=tmp_path, save_seconds=0)
    method = Walk()
    metrics = train(method, **HOW, folder=tmp_path)
    assert [step for step, _ in method.seen] == list(range(stop, 50)), "it went on from where it was"
    assert method.place.equal(uninterrupted[0].place)
    assert rows(metrics) == rows(uninterrupted[1])
    assert rows(pd.read_csv(tmp_path / "metrics.csv")) == rows(metrics)


def test_steps_after_the_last_save_are_taken_again(tmp_path, uninterrupted, monkeypatch):
    """Saved at step 20, died at step 30: the ten steps between are repeated, not lost."""
    clock = iter(range(10_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))

    def die(step):
        if step == 30:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(Walk(die), **HOW, folder=tmp_path, save_seconds=22)
    saved = torch.load(tmp_path / "resume.pt")["step"]
    assert 0 < saved < 30
    method = Walk()
    metrics = train(method, **HOW, folder=tmp_path, save_seconds=22)
    assert method.seen[0][0] == saved
    assert method.place.equal(uninterrupted[0].place)
    assert rows(metrics) == rows(uninterrupted[1])


def test_an_error_in_the_live_figure_does_not_lose_the_run(tmp_path, uninterrupted):
    with pytest.raises(ZeroDivisionError):
        train(Walk(), **HOW, folder=tmp_path, save_seconds=0, on_log=lambda table: 1 / 0)
    method = Walk()
    train(method, **HOW, folder=tmp_path)
    assert method.place.equal(uninterrupted[0].place)


def test_sigterm_finishes_the_step_and_saves(tmp_path, uninterrupted):
    def terminate(step):
        if step == 12:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        train(Walk(terminate), **HOW, folder=tmp_path)
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before, "the signal means again what it meant before"
    assert torch.load(tmp_path / "resume.pt")["step"] == 13
    method = Walk()
    metrics = train(method, **HOW, folder=tmp_path)
    assert method.place.equal(uninterrupted[0].place)
    assert rows(metrics) == rows(uninterrupted[1])


def test_ctrl_c_finishes_the_step_and_saves_and_a_second_one_does_not_wait(tmp_path, uninterrupted):
    def interrupt(times):
        return lambda step: [os.kill(os.getpid(), signal.SIGINT) for _ in range(times if step == 12 else 0)]

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(Walk(interrupt(2)), **HOW, folder=tmp_path / "twice")
    assert not (tmp_path / "twice" / "resume.pt").exists()
    with pytest.raises(KeyboardInterrupt):
        train(Walk(interrupt(1)), **HOW, folder=tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.load(tmp_path / "resume.pt")["step"] == 13
    method = Walk()
    train(method, **HOW, folder=tmp_path)
    assert method.place.equal(uninterrupted[0].place)


def test_a_finished_run_is_not_trained_again(tmp_path, uninterrupted):
    train(Walk(), **HOW, folder=tmp_path)
    method = Walk()
    metrics = train(method, **HOW, folder=tmp_path)
    assert method.seen == []
    assert method.place.equal(uninterrupted[0].place)
    assert rows(metrics) == rows(uninterrupted[1])


@pytest.mark.parametrize("other", [{"steps": 60}, {"seed": 4}])
def test_the_state_of_another_run_is_refused(tmp_path, other):
    train(Walk(), **HOW, folder=tmp_path)
    with pytest.raises(DataError, match=r"resume\.pt: belongs to a run of .*; delete it or use another folder"):
        train(Walk(), **(HOW | other), folder=tmp_path)


@pytest.mark.parametrize("change", [lambda _: b"half a file", one_bit], ids=["half", "one bit"])
def test_a_damaged_state_is_named(tmp_path, change):
    train(Walk(), **HOW, folder=tmp_path)
    state = tmp_path / "resume.pt"
    state.write_bytes(change(state.read_bytes()))
    with pytest.raises(DataError, match=r"resume\.pt: cannot be read .*delete it to start from the beginning"):
        train(Walk(), **HOW, folder=tmp_path)


def test_a_crash_while_saving_leaves_the_state_before(tmp_path, monkeypatch, uninterrupted):
    save = torch.save

    def crash(content, file):
        save(content, file)
        if content["step"] == 25:
            file.truncate(50)
            raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(OSError, match="no space"):
        train(Walk(), **HOW, folder=tmp_path, save_seconds=0)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.csv", "resume.pt"]
    method = Walk()
    train(method, **HOW, folder=tmp_path)
    assert method.seen[0][0] == 24
    assert method.place.equal(uninterrupted[0].place)


def test_the_seconds_of_both_parts_are_added(tmp_path, monkeypatch):
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))

    def die(step):
        if step == 30:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(Walk(die), **HOW, folder=tmp_path, save_seconds=0)
    first = torch.load(tmp_path / "resume.pt")["seconds"]
    metrics = train(Walk(), **HOW, folder=tmp_path)
    assert metrics["seconds"].is_monotonic_increasing
    assert metrics["seconds"].iloc[1] > first


def test_a_thread_can_train_without_the_signal(tmp_path, uninterrupted):
    import threading

    method = Walk()
    thread = threading.Thread(target=lambda: train(method, **HOW, folder=tmp_path))
    thread.start()
    thread.join()
    assert method.place.equal(uninterrupted[0].place)


PROGRAM = """
import json, sys, time
sys.path.insert(0, {tests!r})
from test_training import HOW, Walk, train

def pause(step):
    if step == 30 and {wait}:
        print("ready", flush=True)
        time.sleep(0.5)

method = Walk(pause)
train(method, **HOW, folder={folder!r})
print(json.dumps(method.place.tolist()))
"""


@pytest.mark.slow
def test_a_process_that_is_terminated_can_go_on(tmp_path, uninterrupted):
    def start(wait):
        code = PROGRAM.format(tests=str(Path(__file__).parent), folder=str(tmp_path), wait=wait)
        root = Path(training.__file__).resolve().parents[1]
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root,
                                env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"})  # fmt: skip

    process = start(wait=True)
    assert process.stdout.readline().strip() == "ready"
    process.terminate()
    process.communicate()
    assert process.returncode == 143
    out, _ = start(wait=False).communicate()
    assert json.loads(out) == uninterrupted[0].place.tolist()
    assert rows(pd.read_csv(tmp_path / "metrics.csv")) == rows(uninterrupted[1])


def test_the_cost_of_a_step_is_that_of_the_usual_one():
    """Ten seconds lost between two steps, to another process or to an interruption, are no cost of the method."""
    table = pd.DataFrame({"step": [20, 40, 60, 70], "seconds": [4.0, 8.0, 22.0, 24.0]})
    cost = training.cost(table)
    assert cost["seconds_per_step"] == pytest.approx(0.2)
    assert 1e7 < cost["peak_memory"] < 1e11, "bytes"


def test_methods_are_timed_in_turn_and_the_first_turn_does_not_count():
    class Busy:
        def __init__(self, seconds):
            self.seconds, self.seen = seconds, []

        def step(self, step, lr, generator):
            self.seen.append(step)
            until = time.process_time() + (0.2 if len(self.seen) == 1 else self.seconds)
            while time.process_time() < until:
                pass
            return {}

    quick, slow = Busy(0.001), Busy(0.01)
    found = training.step_seconds({"quick": (quick, 0), "slow": (slow, 7)}, rounds=4, steps=2)
    assert slow.seen == list(range(7, 15)) and quick.seen == list(range(8))
    assert 0.001 <= found["quick"] < found["slow"] < 0.1
