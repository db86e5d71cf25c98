# The graph: which notebook, with which overrides, makes which run, from which other runs.
#
#   snakemake -c2 --config setting=zoo seeds=1          all runs of a setting; `make reproduce` calls this
#   snakemake -c2 --config setting=zoo seeds=1 -n       what would be done, and why
#
# A run is done when its summary.json is there, which it writes last. It is done again when its notebook, the params
# file or a run it needs has become newer. The code in cskt/ is left out on purpose: a changed docstring must not throw
# away hours of training. Whoever changed what a run computes says so: `snakemake ... --forcerun few_shot`.
# Options that always hold (go on after a failure, judge by modification time) are in profiles/default/config.yaml.

import os
import shutil
import sys

# run: its notebook, whether there is one per seed, its overrides of the params file, the runs it needs
RUNS = {
    "data": dict(notebook="01_data", per_seed=False, overrides={}, needs=[]),
    "human_model": dict(notebook="02_human_model", per_seed=False, overrides={}, needs=["data"]),
    "few_shot": dict(notebook="04_few_shot", per_seed=True, overrides={}, needs=["human_model"]),
    "supervised": dict(
        notebook="04_few_shot", per_seed=True, overrides={"TRAIN_ON": "train"}, needs=["human_model"]
    ),
    "mining": dict(notebook="05_mining", per_seed=True, overrides={}, needs=["human_model", "few_shot"]),
    "meta_cskt_published": dict(
        notebook="06_meta_cskt", per_seed=True, overrides={"METHOD.VARIANT": "published"}, needs=["few_shot", "mining"]
    ),
    "meta_cskt_corrected": dict(
        notebook="06_meta_cskt", per_seed=True, overrides={"METHOD.VARIANT": "corrected"}, needs=["few_shot", "mining"]
    ),
    "evaluate": dict(
        notebook="07_evaluate",
        per_seed=False,
        overrides={},
        needs=["human_model", "few_shot", "supervised", "meta_cskt_published", "meta_cskt_corrected"],
    ),
}


workdir: workflow.basedir


SETTING = config.get("setting", "zoo")
SEEDS = range(int(config.get("seeds", 1)))
PARAMS = f"params/{SETTING}.yaml"
# each job asks for one GPU where there is one (`make reproduce` says how many there are); `gpu=1` asks for one
# where this process sees none, on the front end of a cluster
GPU = int(config.get("gpu", shutil.which("nvidia-smi") is not None and os.system("nvidia-smi > /dev/null 2>&1") == 0))

if not os.path.exists(PARAMS):
    known = sorted(name.removesuffix(".yaml") for name in os.listdir("params") if name.endswith(".yaml"))
    raise WorkflowError(f"no setting {SETTING!r}: there is no {PARAMS}; known are {', '.join(known)}")


def folder(run):
    """The folder of a run, with the wildcard {seed} where there is one per seed."""
    return f"outputs/{SETTING}/{run}" + ("/seed{seed}" if RUNS[run]["per_seed"] else "")


def needed(run):
    """The summaries a run needs: those of its own seed, or of all seeds where it has none itself."""
    summaries = [f"{folder(need)}/summary.json" for need in RUNS[run]["needs"]]
    return summaries if RUNS[run]["per_seed"] else expand(summaries, seed=SEEDS)


def overrides(run):
    """The overrides of a run as command-line options, its seed among them."""
    options = [f"--set {key}={value}" for key, value in RUNS[run]["overrides"].items()]
    return " ".join(options + ["--set SEED={seed}"] * RUNS[run]["per_seed"])


rule all:
    input:
        expand([f"{folder(run)}/summary.json" for run in RUNS], seed=SEEDS),


for run, job in RUNS.items():

    rule:
        name:
            run
        input:
            f"notebooks/{job['notebook']}.ipynb",
            PARAMS,
            needed(run),
        output:
            f"{folder(run)}/summary.json",
        log:
            f"{folder(run)}/log.txt",
        # one thread per job and one job per core is quickest; see docs/architecture.md
        threads: 1
        resources:
            gpu=GPU,
        params:
            overrides=overrides(run),
            folder=folder(run),
        shell:
            "OMP_NUM_THREADS={threads} {sys.executable} -m cskt run {input[0]} --config {input[1]}"
            " {params.overrides} --out {params.folder}"
