"""The child that asks the solver's server for its confidences: one pod per shard."""

from evolution_api.layout import ENV_SOLVER_URL
from evolution_operator.children.job import indexed
from evolution_operator.interface import KubeObject
from evolution_operator.pod import LIGHT, Work, container


def manifest(work: Work) -> KubeObject:
    assert work.server_url is not None, "the probe starts when its server is ready"
    env = ({"name": ENV_SOLVER_URL, "value": work.server_url},)
    main = container(work, "probe", LIGHT, image=work.settings.jobs_image, env=env)
    return indexed(work, main, work.run.spec.probe.parallelism)
