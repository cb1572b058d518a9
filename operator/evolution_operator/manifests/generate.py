"""The child that writes and checks a round's questions: one pod per shard."""

from evolution_api.layout import ENV_PROPOSER_KEY, ENV_PROPOSER_URL
from evolution_operator.children.job import indexed
from evolution_operator.interface import KubeObject
from evolution_operator.pod import Work, container, from_secret


def manifest(work: Work) -> KubeObject:
    spec = work.run.spec.generation
    env: list[KubeObject] = []
    if work.server_url is not None:
        env.append({"name": ENV_PROPOSER_URL, "value": f"{work.server_url}/openai/v1"})
    endpoint = spec.proposer.endpoint
    if endpoint is not None and endpoint.api_key_secret is not None:
        env.append(from_secret(ENV_PROPOSER_KEY, endpoint.api_key_secret, "apiKey"))
    loads_model = spec.proposer.inline is not None
    main = container(
        work,
        "generate",
        spec.pod,
        image=work.settings.model_image if loads_model else work.settings.jobs_image,
        accelerators=int(loads_model),
        env=tuple(env),
    )
    return indexed(work, main, spec.parallelism)
