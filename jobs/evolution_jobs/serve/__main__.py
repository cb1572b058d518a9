"""Program `serve`: the model server beside a stage, until SIGTERM. Beside a probe it loads the solver's checkpoint once and
answers with its confidence in given answers; beside generation it loads the frozen proposer and chats (`proposer.serving`).

Reads   the scene plan of round 0, the frames of the scenes that it is asked about, and the checkpoint of the round before
        (the base model in round 1); for a proposer its weights, and nothing else.
Writes  nothing.

    EVOLUTION_INPUT='{"stage": "probe", "round": 1, ...}' python -m evolution_jobs.serve --http_port 8080

The port opens when the model is loaded. A checkpoint that does not load ends the program with its reason as termination message.
Heavy modules are imported after the handler for SIGTERM stands: as PID 1 of a container a process without one ignores the signal.
"""

import argparse
import socket

from evolution_api.jobs import StageInput
from evolution_api.layout import SERVER_PORT
from evolution_api.stages import BY_NAME
from evolution_jobs.program import log, run
from evolution_jobs.scene_batches import frames_shown
from evolution_jobs.scene_plan import read_plan
from evolution_jobs.scenes.library import SceneLibrary
from evolution_storage.uri import run_store


def main(job: StageInput) -> None:
    port = port_from_arguments()
    check_port(port)
    served = BY_NAME[job.stage].server(job.spec)
    assert served is not None, "the planner makes a server only beside a stage that has one"
    {"solver": serve_solver, "proposer": serve_proposer}[served](job, port)
    log.info("the server was told to end")


def serve_solver(job: StageInput, port: int) -> None:
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


def serve_proposer(job: StageInput, port: int) -> None:
    from evolution_jobs.proposers.inline import load_inline
    from evolution_jobs.serve.chat import serve

    serving = job.spec.generation.proposer.serving
    assert serving is not None  # else the planner makes no server beside generation
    serve(load_inline(job, serving.uri), port)


def port_from_arguments() -> int:
    parser = argparse.ArgumentParser(description="Serve the model of a stage.")
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
