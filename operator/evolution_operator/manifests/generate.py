"""The child that writes and checks a round's questions: beside the common, the token of an endpoint that wants one."""

from evolution_api.layout import ENV_PROPOSER_KEY
from evolution_operator.interface import KubeObject
from evolution_operator.manifests import stage
from evolution_operator.pod import Work, from_secret


def manifest(work: Work) -> KubeObject:
    endpoint = work.run.spec.generation.proposer.endpoint
    secret = endpoint.api_key_secret if endpoint is not None else None
    return stage.manifest(work, *([from_secret(ENV_PROPOSER_KEY, secret, "apiKey")] if secret is not None else []))
