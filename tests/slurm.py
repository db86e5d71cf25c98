"""A Slurm cluster on this machine: its daemons as processes of ours, two nodes, GPUs that are only names."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue")
NODES = {"n1": 2, "n2": 1}  # processors, and as many GPUs
CONF = """
ClusterName=cskt
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={home}/munge.socket
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/%n.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=5
MpiDefault=none
SlurmdTimeout=10
ReturnToService=2
MinJobAge=3600
GresTypes=gpu
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def absent() -> list[str]:
    """The programs that are not installed (Debian: slurmctld slurmd munge slurm-client)."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Cluster:
    """The daemons and their folder; `with` starts and ends them.

    Attributes:
        environment: with which Slurm's commands find this cluster.
    """

    def __init__(self):
        self.home = Path(tempfile.mkdtemp(prefix="slurm-"))  # a socket's path has at most 107 bytes
        self.conf = self.home / "slurm.conf"
        # Snakemake's job steps drop SLURM_CONF: their srun has to say it itself
        self.bin = self.home / "bin"
        path = f"{self.bin}:{os.environ['PATH']}"
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": path}
        self.daemons: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "Cluster":
        host, ports = socket.gethostname().split(".")[0], _free_ports(1 + len(NODES))
        user = subprocess.check_output(["id", "-un"], text=True).strip()
        lines = [CONF.format(home=self.home, host=host, user=user, port=ports[0])]
        for (name, count), port in zip(NODES.items(), ports[1:], strict=True):
            (self.home / name).mkdir()
            lines.append(f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={count} "
                         f"RealMemory=4000 Gres=gpu:{count}")  # fmt: skip
        (self.home / "state").mkdir()
        self.bin.mkdir()
        srun = self.bin / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        self.conf.write_text("\n".join(lines) + "\n")
        # a GPU has to be some device; nothing reads from these
        devices = ("/dev/null", "/dev/zero")
        gpus = [f"NodeName={name} Name=gpu File={','.join(devices[:count])}\n" for name, count in NODES.items()]
        (self.home / "gres.conf").write_text("".join(gpus))
        key = self.home / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = {"key": key, "socket": self.home / "munge.socket", "pid": self.home / "munge.pid",
                 "log": self.home / "munge.log", "seed": self.home / "munge.seed"}  # fmt: skip
        options = [f"--{kind}{'' if kind == 'socket' else '-file'}={path}" for kind, path in files.items()]
        self._start("munged", "munged", "--foreground", "--force", *options)
        time.sleep(0.5)
        self._start("slurmctld", "slurmctld", "-D")
        for name in NODES:
            self.start_node(name)
        until = time.monotonic() + 60
        while self.ask("sinfo", "-h", "-o", "%T") != "idle":
            if time.monotonic() > until:
                raise RuntimeError(f"no cluster came up: {(self.home / 'slurmctld.log').read_text()[-3000:]}")
            time.sleep(0.5)
        return self

    def __exit__(self, *_: object) -> None:
        self.ask("scancel", "-u", str(os.getuid()))
        for name in NODES:
            self.kill_node(name)
        # the last one started first: Snakemake waits for jobs of a controller that is gone
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def start_node(self, name: str) -> None:
        """Start a node, for the first time or again."""
        self._start(name, "slurmd", "-D", "-N", name)

    def kill_node(self, name: str) -> int:
        """End a node at once as a power cut does, with all that runs on it; returns how many processes that were."""
        ids = self.ask("squeue", "-h", "-w", name, "-o", "%A").split()
        victims = [self.daemons[name].pid] if self.daemons[name].poll() is None else []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and _is_of(entry, name, ids):
                    victims.append(int(entry.name))
        for process in victims:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.daemons[name].wait()
        return len(victims)

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True).stdout.strip()

    def _start(self, name: str, *command: str) -> None:
        with (self.home / f"{name}.out").open("a") as out:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )


def _is_of(process: Path, node: str, jobs: list[str]) -> bool:
    """Whether a process of /proc is of a job on a node, or watches over one."""
    title = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    if title.startswith("slurmstepd: ["):
        return title.split("[")[1].split(".")[0] in jobs
    return f"SLURMD_NODENAME={node}".encode() in (process / "environ").read_bytes().split(b"\0")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
