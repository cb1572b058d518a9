"""How long a stage's program takes from its last words to its end, beside an interpreter that takes itself apart.

    python bench/ending.py [--json]

The program has loaded what one that evaluates or serves has: torch, DeepSpeed, KServe and the tiny model. Its pod holds its GPUs
until it has ended.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from evolution_api.jobs import StageInput
from evolution_api.layout import ENV_INPUT, ENV_TERMINATION_LOG
from evolution_api.run.spec import EvolutionRunSpec

REPEATS = 5
SPEC = {"model": {"uri": "file:///m"}, "scenes": {"procedural": {}}, "storage": {"uri": "file:///s"}}
PROGRAM = """
import pathlib, sys
from evolution_api.summaries import CleanupSummary
from evolution_jobs.program import carry_out, run

def main(_):
    import deepspeed, kserve
    from evolution_jobs.model.solver import Solver
    global solver
    solver = Solver.load(pathlib.Path(sys.argv[2]), "float32", "cpu")
    return CleanupSummary(deleted=0)

if sys.argv[1] == "leave":
    run(main)
sys.exit(carry_out(main))
"""
MODEL = Path(__file__).parents[1] / "examples" / "tiny-model"


def seconds(how: str, folder: Path) -> float:
    job = StageInput(namespace="n", run="r", uid="u", stage="evaluate", round=1, spec=EvolutionRunSpec.model_validate(SPEC))
    words = folder / "words"
    environment = {**os.environ, ENV_INPUT: job.model_dump_json(by_alias=True), ENV_TERMINATION_LOG: str(words)}
    command = [sys.executable, "-c", PROGRAM, how, str(MODEL)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.time() - words.stat().st_mtime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    taken: dict[str, list[float]] = {"leave": [], "take apart": []}
    with TemporaryDirectory() as folder:
        for _ in range(REPEATS):
            for how, measured in taken.items():
                measured.append(seconds(how, Path(folder)))
    medians = {how: statistics.median(measured) for how, measured in taken.items()}
    if arguments.json:
        print(json.dumps(medians))
    else:
        print(f"left in {medians['leave']:.2f} s, taken apart in {medians['take apart']:.2f} s (medians of {REPEATS})")


if __name__ == "__main__":
    main()
