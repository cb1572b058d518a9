"""What the quickstart's loop gains: seeing score of the last round above the base model's, with feedback and without.

    python bench/gain.py [--seeds 0 1 2] [--workdir DIR]

Runs `examples/quickstart.yaml` for every seed with `grammar.feedback: true` and with `false` (static: what is asked follows
from nothing that the solver did; scenes, kinds, questions a scene and steps are the same), one run after another. Rooms,
questions and the order of the data follow from the seed; the base model is the same. The same --workdir goes on where a
stopped start left off.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from evolution_api.figures import Figure, Figures
from evolution_api.layout import stage_prefix

ROOT = Path(__file__).parent.parent
QUICKSTART = ROOT / "examples/quickstart.yaml"


def macros(workdir: Path, seed: int, feedback: bool) -> list[dict[str, Figure]]:
    """Run it, or what is left of it; figures over all kinds of the base model and of every round."""
    document = yaml.safe_load(QUICKSTART.read_text())
    name, spec = f"{'feedback' if feedback else 'static'}-{seed}", document["spec"]
    document["metadata"]["name"] = name
    spec["seed"] = seed
    spec["generation"]["proposer"]["grammar"]["feedback"] = feedback
    spec["model"]["uri"] = f"file://{ROOT}/examples/tiny-model"
    file = workdir / f"{name}.yaml"
    file.write_text(yaml.safe_dump(document))
    command = [str(Path(sys.executable).with_name("evolution")), "run", str(file), "--workdir", str(workdir)]
    with (workdir / f"{name}.log").open("a") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    (storage,) = (workdir / "storage/default" / name).iterdir()
    files = (storage / stage_prefix(r, "evaluate") / "figures.json" for r in range(spec["rounds"] + 1))
    return [Figures.model_validate_json(f.read_text()).of() for f in files]


def text(estimate: Figure | None) -> str:
    return f"{estimate.mean:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})" if estimate else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workdir", type=Path, help="a new temporary folder where left out")
    options = parser.parse_args()
    workdir = (options.workdir or Path(tempfile.mkdtemp(prefix="evolution-gain-"))).resolve()
    workdir.mkdir(parents=True, exist_ok=True)
    print(f"runs in {workdir}\n\n| run | seed | score | elsewhere | blind | seeing | gain over base |\n|{'---|' * 7}")
    for seed in options.seeds:
        for feedback in (True, False):
            base, *_, last = macros(workdir, seed, feedback)
            rows = [("base", base)] if feedback else []
            for name, macro in (*rows, ("feedback" if feedback else "static", last)):
                three = " | ".join(f"{e.mean:.3f}" for e in (macro["score"], macro["elsewhere"], macro["blind"]))
                seeing, gain = text(macro["seeing"]), text(macro.get("gain"))
                print(f"| {name} | {seed} | {three} | {seeing} | {gain} |", flush=True)


if __name__ == "__main__":
    main()
