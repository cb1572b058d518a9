"""Stage program `train`: fine-tunes the solver on the round's accepted questions and commits the round's checkpoint.

Reads   the scene plan and its frames; rounds/000t/generate/*; rounds/000t/probe/* where `training.select` leaves labels out;
        rounds/000(t-1)/train/{checkpoint,state}, or model.uri in round 1; its own rounds/000t/train/partial/* after a crash
Writes  rounds/000t/train/checkpoint/    Hugging Face layout, with evolution.json saying what it was trained on
        rounds/000t/train/state/         optimiser state, one folder a process
        rounds/000t/train/metrics.jsonl  a TrainStep a line
        rounds/000t/train/manifest.json  last
        rounds/000t/probe/*              with difficulty.signal: training

    EVOLUTION_INPUT='{"stage": "train", "round": 1, ...}' PET_NNODES=1 PET_NPROC_PER_NODE=2 python -m evolution_jobs.train
"""

from evolution_jobs.program import run
from evolution_jobs.train.launcher import main

if __name__ == "__main__":
    run(main)
