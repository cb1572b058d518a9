"""The solver that a stage starts from, on the device that the run asked for. Called by the programs that ask a solver;
the proposer `inline` takes its device from here."""

from typing import Literal

from evolution_api.jobs import StageInput
from evolution_jobs.model.solver import Solver
from evolution_jobs.model.weights import fetch_solver
from evolution_jobs.program import log


def load_solver(job: StageInput) -> Solver:
    """Raises BadInputError where the folder is no model, RuntimeError where the pod has no accelerator but should."""
    device = device_of(job)
    path = fetch_solver(job)
    log.info("loading %s from %s", job.solver_key or job.spec.model.uri, path)
    return Solver.load(path, job.spec.model.dtype, device)


def device_of(job: StageInput) -> Literal["cpu", "cuda"]:
    """PyTorch's name of the device that a model runs on; raises RuntimeError where the pod has none but should."""
    import torch

    accelerator = job.spec.scheduling.accelerator
    if accelerator != "none" and not torch.cuda.is_available():
        raise RuntimeError(
            f"scheduling.accelerator is {accelerator}, but PyTorch sees none in this pod; see the node's driver, "
            "or set scheduling.accelerator: none to run on CPUs"
        )
    return "cpu" if accelerator == "none" else "cuda"
