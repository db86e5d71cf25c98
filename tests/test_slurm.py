"""The ablation of a tiny zoo on a Slurm cluster of two nodes, one of which dies in the middle, and later the front end.

Minutes: `make torture`. It needs Debian's slurmctld, slurmd, munge and slurm-client, and the extra `slurm`.
What was seen is in docs/cluster.md.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slurm
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
ROWS = ("ls", "ls_lu", "ls_lu_lf", "ls_lu_lf_negatives")
# of a cluster without accounting, asked more often than a real one should be
OPTIONS = ["--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2",
           "--seconds-between-status-checks", "2", "--default-resources", "mem_mb=1200", "runtime=60", "--jobs", "3",
           "--latency-wait", "5"]  # fmt: skip
MISSING = slurm.absent() + ["snakemake-executor-plugin-slurm"] * (
    importlib.util.find_spec("snakemake_executor_plugin_slurm") is None
)

pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


@pytest.fixture
def project(tmp_path):
    """A copy of the project with a setting of few steps on few pictures."""
    for name in ("Snakefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("cskt", "notebooks", "params", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    tiny = yaml.safe_load((ROOT / "params" / "zoo.yaml").read_text())
    tiny |= {"SETTING": "tiny", "DEVICE": "cpu", "INPUT": {"SIZE": 32}, "MINING": {"T_POS": 0.3, "T_NEG": 0.4}}
    tiny["DATA"]["ZOO_IMAGES"] = 195
    tiny |= {section: {"STEPS": 2} for section in ("HUMAN_MODEL", "FEW_SHOT", "SUPERVISED")}
    tiny["METHOD"] = {"STEPS": 40, "UPDATE_STEPS": 20}
    (tmp_path / "params" / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    return tmp_path


def submit(project, cluster):
    """Start the graph on the cluster; returns its process, which writes to call.txt."""
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", *OPTIONS,
               "--config", "setting=tiny", "seeds=1", "grids=ablation", "gpu=1"]  # fmt: skip
    environment = {**cluster.environment, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    with (project / "call.txt").open("a") as file:
        cluster.daemons["snakemake"] = subprocess.Popen(command, cwd=project, env=environment, stdout=file, stderr=file)
    return cluster.daemons["snakemake"]


def under_way(project, cluster, rows):
    """A row of the ablation in whose middle a node is, and that node."""
    for row in rows:
        folder = project / "outputs" / "tiny" / row / "seed0"
        if (folder / "config.yaml").exists() and not (folder / "summary.json").exists():
            for line in cluster.ask("squeue", "-h", "-t", "RUNNING", "-o", "%N %k").splitlines():
                node, _, comment = line.partition(" ")
                if f"rule_{row}_wildcards" in comment:
                    return row, node
    return None


def wait(condition, seconds, what, process=None):
    """Wait until a condition gives something, and return that."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        assert process is None or process.poll() is None, f"{what}: the graph has ended before"
        time.sleep(0.1)
    return found


def rows_done(project):
    return [row for row in ROWS if (project / "outputs" / "tiny" / row / "seed0" / "summary.json").exists()]


def test_a_grid_is_finished_after_a_node_and_the_front_end_died(project):
    begun, log = time.monotonic(), []

    def tell(what):
        log.append(f"{time.monotonic() - begun:5.0f} s  {what}")
        print(log[-1], flush=True)

    with slurm.Cluster() as cluster:
        graph = submit(project, cluster)
        row, node = wait(lambda: under_way(project, cluster, ROWS), 1800, "a row of the ablation", graph)
        killed = cluster.kill_node(node)
        tell(f"{row} under way on {node}: node killed, {killed} processes; rows done: {rows_done(project)}")
        assert not (project / "outputs" / "tiny" / row / "seed0" / "summary.json").exists()
        wait(lambda: f"Nodes {node} not responding, setting DOWN" in log_of(cluster), 60, "the node is down")
        tell(f"Slurm sets {node} down")
        wait(lambda: "Requeuing JobId=" in log_of(cluster) or "requeue job JobId=" in log_of(cluster), 60, "requeued")
        tell("Slurm has requeued its job")
        cluster.start_node(node)
        wait(lambda: cluster.ask("sinfo", "-h", "-n", node, "-o", "%T") in ("idle", "mixed", "allocated"), 60, "back")
        tell(f"{node} is back")

        left = [one for one in ROWS if one != row]
        other, _ = wait(lambda: under_way(project, cluster, left), 1800, "another row", graph)
        graph.send_signal(signal.SIGKILL)
        graph.wait()
        for name in slurm.NODES:
            cluster.kill_node(name)
        tell(f"{other} under way: front end and all nodes killed; rows done: {rows_done(project)}")
        cluster.ask("scancel", "-u", str(os.getuid()))
        for name in slurm.NODES:
            cluster.start_node(name)
        graph = submit(project, cluster)
        wait(lambda: graph.poll() is not None, 3600, "the graph")
        assert graph.returncode == 0, (project / "call.txt").read_text()[-5000:]
        tell(f"called again: done; rows done: {rows_done(project)}")

    assert (project / "outputs" / "tiny" / "ablation" / "summary.json").exists()
    assert rows_done(project) == list(ROWS)
    assert (project / "outputs" / "tiny" / "report" / "index.html").exists()
    assert_undisturbed(project, row)


def assert_undisturbed(project, row):
    """The row that died with its node has the weights that it has when nothing happens."""
    undisturbed = project / "outputs" / "tiny" / "undisturbed" / "seed0"
    config = yaml.safe_load((project / "params" / "grids" / "ablation.yaml").read_text())[row]["set"]
    sets = [part for key, value in config.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    command = [sys.executable, "-m", "cskt", "run", "notebooks/06_meta_cskt.ipynb", "--config", "params/tiny.yaml",
               *sets, "--set", "SEED=0", "--out", str(undisturbed)]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
    a, b = (torch.load(path / "checkpoint.pt", weights_only=True)["weights"]
            for path in (undisturbed, undisturbed.parents[1] / row / "seed0"))  # fmt: skip
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def log_of(cluster):
    return (cluster.home / "slurmctld.log").read_text()
