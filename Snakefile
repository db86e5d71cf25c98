# The graph: which notebook, with which overrides, makes which run of a setting, from which other runs.
#
#   snakemake                                           the zoo, one seed
#   snakemake --config setting=animalpose seeds=1       another file of params/; `make reproduce` calls this
#   snakemake animalpose_paper                          all the paper shows, on real faces: two settings, three seeds
#   snakemake animalpose_neighbours                     the neighbouring systems on real faces, three seeds
#   snakemake ... -n                                    what would be done, and why
#   snakemake --workflow-profile profiles/slurm --config gpu=1 ...    on a cluster: docs/cluster.md
#
# The runs are the entries of params/grids/*.yaml (cskt/grids.py says what an entry holds). A run is done when its
# summary.json is there, which it writes last. It is done again when its notebook, the params file or a run it needs has
# become newer. The code in cskt/ and the grids are left out on purpose: a changed docstring must not throw away hours
# of training. Whoever changed what a run computes says so: `snakemake ... --forcerun few_shot`.
# Options that always hold (all cores, go on after a failure, judge by modification time) are in
# profiles/default/config.yaml.
#
# --config setting=zoo   seeds=1 (3 for other settings)   grids=suite,sweeps (in place of the usual ones)
#          gpu=1 (each job asks for one; docs/cluster.md)   gaps=1 (nothing but the tables and figures, of the runs that are there)

import os
import shutil
import sys
from functools import partial

from cskt import grids
from cskt.errors import ConfigError


workdir: workflow.basedir


SETTINGS = sorted(name.removesuffix(".yaml") for name in os.listdir("params") if name.endswith(".yaml"))
try:
    RUNS = grids.read("params/grids")
except ConfigError as error:
    raise WorkflowError(str(error))
GRIDS = {entry.grid for entry in RUNS.values()}
# the grids that a plain call makes of a setting, those of one that is not named here, and those of the paper
PLAIN = {"zoo": GRIDS - {"components", "improved", "sweeps", "budget", "labels"}}
PLAIN |= {"zoo_bodies": {"ap10k"}, "ap10k": {"ap10k"}}
OTHERS = {"suite", "horse"}
NEIGHBOURS = {"ap10k", "selection", "unsupervised", "neighbours"} & GRIDS
PAPER = {"animalpose": GRIDS - NEIGHBOURS - {"start", "improved"}}
PAPER["animalpose_unknown"] = PAPER["animalpose"]
# the zoo of whole animals is a setting of its own, and made with the zoo
BODIES = {"zoo_bodies": NEIGHBOURS}

SETTING = config.get("setting", "zoo")
GAPS = bool(int(config.get("gaps", 0)))
# each job asks for one GPU where there is one (`make reproduce` says how many there are); `gpu=1` asks for one
# where this process sees none, on the front end of a cluster
GPU = int(config.get("gpu", shutil.which("nvidia-smi") is not None and os.system("nvidia-smi > /dev/null 2>&1") == 0))

if SETTING not in SETTINGS:
    raise WorkflowError(f"no setting {SETTING!r}: there is no params/{SETTING}.yaml; known are {', '.join(SETTINGS)}")
if unknown := set(config.get("grids", "suite").split(",")) - GRIDS:
    raise WorkflowError(f"no grid {', '.join(sorted(unknown))} in params/grids; there are {', '.join(sorted(GRIDS))}")


def runs(setting, plan):
    """The runs of a setting that belong to the grids of a plan, or to those that --config names."""
    chosen = config["grids"].split(",") if "grids" in config else plan.get(setting, OTHERS)
    return [entry for entry in RUNS.values() if entry.grid in chosen and entry.is_of(setting)]


def summaries(setting, entry, seed=None):
    """The summaries of a run: of one seed, or of all that the call asks for."""
    wanted = int(config.get("seeds", 1 if setting in ("zoo", *BODIES) else 3))
    seeds = [seed] if seed is not None else range(min(wanted, entry.seeds or wanted))
    return expand(f"{entry.folder}/summary.json", setting=setting, seed=seeds)


def targets(plan, *settings):
    """What a call makes."""
    made = [(setting, entry) for setting in settings for entry in runs(setting, plan) if entry.shows or not GAPS]
    return sum([summaries(setting, entry) for setting, entry in made], [])


def needed(entry, wildcards):
    """The summaries a run needs: those of its own seed, or of all seeds where it has none itself."""
    needs = [f"{wildcards.setting}/{need}".split("/")[-2:] for need in entry.needs]
    needs = [(setting, RUNS[run]) for setting, run in needs if RUNS[run].is_of(setting)]
    files = [summaries(setting, run, wildcards.get("seed")) for setting, run in needs]
    for setting in filter(None, [wildcards.setting, entry.beside.get(wildcards.setting)]):
        shown = [run for run in runs(setting, PLAIN | PAPER) if run.grid in entry.shows and run is not entry]
        seed = wildcards.get("seed")
        # what has fewer seeds than this is not shown beside the others
        files += [summaries(setting, run, seed) for run in shown if not run.seeds or int(seed or 0) < run.seeds]
    return [file for file in sum(files, []) if not GAPS or os.path.exists(file)]


def reported(wildcards):
    """The summaries that the pages of a setting wait for: of all its runs that the call makes."""
    plan = PAPER if "animalpose_paper" in sys.argv else PLAIN
    made = sum([summaries(wildcards.setting, entry) for entry in runs(wildcards.setting, plan)], [])
    if GAPS:
        made = [file for file in made if os.path.exists(file)] + targets(plan, wildcards.setting)
    return list(dict.fromkeys(made))


bodies = targets(BODIES, "zoo_bodies") if SETTING == "zoo" and "grids" not in config else []


rule all:
    input:
        targets(PLAIN, SETTING),
        *bodies,
        expand("outputs/{setting}/report/index.html", setting=[SETTING, *["zoo_bodies"] * bool(bodies)]),


rule animalpose_paper:
    input:
        targets(PAPER, *PAPER),
        expand("outputs/{setting}/report/index.html", setting=PAPER),


rule html:
    input:
        reported,
    output:
        "outputs/{setting}/report/index.html",
    wildcard_constraints:
        setting="|".join(SETTINGS),
    shell:
        "OMP_NUM_THREADS=1 {sys.executable} -m cskt html {wildcards.setting}"


rule animalpose_neighbours:
    input:
        targets({"animalpose": NEIGHBOURS}, "animalpose"),


for entry in RUNS.values():
    if entry.shows or not GAPS:

        rule:
            name:
                entry.name
            input:
                f"notebooks/{entry.notebook}.ipynb",
                "params/{setting}.yaml",
                partial(needed, entry),
            output:
                f"{entry.folder}/summary.json",
            log:
                f"{entry.folder}/log.txt",
            wildcard_constraints:
                setting="|".join(SETTINGS),
                seed=r"\d+",
            # one thread per job and one job per core is quickest; see docs/architecture.md
            threads: 1
            resources:
                gpu=GPU,
            params:
                options=entry.options + " --own-gpu" * (GPU == 1),
                folder=entry.folder,
            shell:
                "OMP_NUM_THREADS={threads} {sys.executable} -m cskt run {input[0]} --config {input[1]}"
                " {params.options} --out {params.folder}"


onerror:
    print("What failed has left failed.ipynb and log.txt in its folder, and is taken up again by the same call.")
    print("With --config gaps=1 that call makes the tables and figures of all the rest.")
