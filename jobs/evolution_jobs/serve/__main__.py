"""Program `serve`: loads the solver's checkpoint once and answers with its confidence in given answers, until SIGTERM.

Reads   the scene plan of round 0, the frames of the scenes that it is asked about, and the checkpoint of the round before
        (the base model in round 1).
Writes  nothing.

    EVOLUTION_INPUT='{"stage": "probe", "round": 1, ...}' python -m evolution_jobs.serve --http_port 8080

The port opens when the model is loaded. A checkpoint that does not load ends the program with its reason as termination message.
Heavy modules are imported after the handler for SIGTERM stands: as PID 1 of a container a process without one ignores the signal.
"""

import argparse
import socket

from evolution_api.jobs import StageInput
from evolution_api.layout import SERVER_PORT
from evolution_api.results import StageSummary
from evolution_jobs.prepared import read_plan
from evolution_jobs.program import BadInputError, log, run
from evolution_jobs.scenes.library import SceneLibrary
from evolution_jobs.showings import frames_shown
from evolution_jobs.storage.store import run_store


def main(job: StageInput) -> StageSummary:
    if job.stage != "probe":
        raise BadInputError(
            f"stage {job.stage}: this server gives confidences, which only the probe asks for; it does not speak the "
            "OpenAI protocol that generation.proposer.serving needs; use generation.proposer.endpoint or inline"
        )
    port = port_from_arguments()
    check_port(port)
    library_uri = read_plan(run_store(job), job).root_uri

    from evolution_jobs.serve.server import SolverModel, serve
    from evolution_jobs.solver_loading import load_solver

    library = SceneLibrary(library_uri, job.spec.storage.endpoint)
    solver = load_solver(job)
    model = SolverModel(
        read_frames=lambda scene: frames_shown(library, job.spec.scenes, scene),
        confidences=lambda frames, prompts, answers: solver.confidences(solver.pack(frames, prompts, answers)),
    )
    serve(model, port)
    log.info("the server was told to end")
    return StageSummary()


def port_from_arguments() -> int:
    parser = argparse.ArgumentParser(description="Serve the solver's checkpoint.")
    parser.add_argument("--http_port", type=int, default=SERVER_PORT, help="port to listen to")
    arguments, _ = parser.parse_known_args()
    return int(arguments.http_port)


def check_port(port: int) -> None:
    """Raises OSError where the port is taken: said before the model is loaded, and with its number."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  what KServe listens to
        except OSError as error:
            raise OSError(f"port {port} cannot be listened to: {error.strerror}; free it or give another --http_port") from error


if __name__ == "__main__":
    run(main)
