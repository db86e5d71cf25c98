"""From a few labels and a folder of pictures to a detector: one folder, stages that each leave a file, exact resume.

    OUT/config.yaml  inputs.json         what was asked for, and of what
    OUT/data/                            the labels as COCO, the scheme, which labels each job learns
    OUT/jobs/final/, OUT/jobs/fold1/ ... one detector each: of all labels, and of all but one part of them
        few_shot.pt  mining.csv  method.pt  held_out.csv  unlabeled.csv
    OUT/pseudo_labels.csv                a person may accept or reject (column decision); the next call honors it
    OUT/checkpoint.pt  report.md ...     the results

Errors are honest: each label's error is of a network that learned from other labels, and no picture with a label is
among the unlabeled ones.
"""

from cskt.adapt.job import decide, decisions, run_job
from cskt.adapt.jobs import estimate, pending, run, told, workers_for
from cskt.adapt.panel import DecisionPanel
from cskt.adapt.prepare import Adaptation, example, prepare
from cskt.adapt.results import write_pseudo_label_sheets, write_results

__all__ = [
    "Adaptation",
    "DecisionPanel",
    "decide",
    "decisions",
    "estimate",
    "example",
    "pending",
    "prepare",
    "run",
    "run_job",
    "told",
    "workers_for",
    "write_pseudo_label_sheets",
    "write_results",
]
