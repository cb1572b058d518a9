"""The child that does a stage's work: a Job around its program, unless the stage has a module of its own beside this one."""

from evolution_api.layout import ENV_PROPOSER_URL, ENV_SOLVER_URL
from evolution_api.stages import BY_NAME
from evolution_operator.children.job import indexed, single
from evolution_operator.interface import KubeObject
from evolution_operator.pod import Work, stage_container

SERVER_ADDRESS = {"solver": (ENV_SOLVER_URL, ""), "proposer": (ENV_PROPOSER_URL, "/openai/v1")}
"""In which variable a program finds the model server beside it, and what follows its base URL there."""


def manifest(work: Work, *env: KubeObject) -> KubeObject:
    """`env`: further variables of the stage's own."""
    stage, spec = BY_NAME[work.stage], work.run.spec
    server = stage.server(spec)
    if server is not None:
        assert work.server_url is not None, "what is beside a server starts when that is ready"
        name, path = SERVER_ADDRESS[server]
        env = ({"name": name, "value": f"{work.server_url}{path}"}, *env)
    main = stage_container(work, env=env)
    if stage.shards is None:
        return single(work, main)
    return indexed(work, main, shards=stage.shards(spec), parallelism=stage.parallelism(spec))
