"""Opens the storage of a cluster's run from this machine: with which credentials, and what to do where it cannot be read."""

import os
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import boto3
import typer
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from evolution_api.layout import RUN_KEY, run_prefix
from evolution_api.run.resource import EvolutionRun
from evolution_operator.errors import RefusedError
from evolution_storage.store import StorageError, Store
from evolution_storage.uri import open_store

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
LOOPBACK = ("127.0.0.1", "localhost", "::1")

ReadSecret = Callable[[str], Mapping[str, str]]
"""The content of a Secret of the run's namespace, by its name. Raises RefusedError."""


def open_from_here(run: EvolutionRun, read_secret: ReadSecret) -> Store:
    """The run's objects, read with this machine's AWS credentials, or with those of the run's Secret where it has none.

    Raises RefusedError or StorageError where they cannot be read.
    """
    storage, meta = run.spec.storage, run.metadata
    if not storage.uri.startswith("s3://"):
        raise RefusedError(f"the run stores in {storage.uri}, a folder of its pods, which cannot be read from here")
    whose = provide_credentials(run, read_secret)
    uri = f"{storage.uri.rstrip('/')}/{run_prefix(meta.namespace, meta.name, meta.uid)}"
    store = open_store(uri, storage.endpoint, patience_s=0)
    try:
        store.read(RUN_KEY)
    except KeyError:
        if any("prepare" in record.seconds for record in run.status.rounds):
            at = f" at {storage.endpoint}" if storage.endpoint else ""
            raise RefusedError(
                f"{uri}{at} holds nothing of this run, which has prepared its scenes: name the server that has it with --endpoint"
            ) from None
    except StorageError as error:
        unreachable = isinstance(error.__cause__, (NoConnectionError, HTTPClientError))
        raise StorageError(f"{error}; {reach(storage.endpoint) if unreachable else whose}") from error
    return store


def provide_credentials(run: EvolutionRun, read_secret: ReadSecret) -> str:
    """See to it that boto3 finds some in this process; whose they are, in words for the end of an error."""
    secret = run.spec.storage.secret_name
    place = f"Secret {run.metadata.namespace}/{secret}"
    try:
        found = boto3.session.Session().get_credentials()
    except BotoCoreError as error:
        raise RefusedError(f"this machine's AWS settings cannot be used: {error}") from error
    if found is not None:
        instead = f"; without any, those of {place} are used" if secret else ""
        return f"the credentials are this machine's own, found by {found.method}{instead}"
    none = "this machine has no AWS credentials"
    what_to_do = f"set {' and '.join(KEYS)} to some that may read {run.spec.storage.uri}"
    if secret is None:
        raise RefusedError(f"{none}, and the run names no Secret, for its pods have an identity of their own: {what_to_do}")
    try:
        content = read_secret(secret)
    except RefusedError as error:
        raise RefusedError(f"{none}, and the run's own cannot be read ({error}): {what_to_do}") from error
    if missing := [key for key in KEYS if key not in content]:
        raise RefusedError(f"{none}, and {place}, which the run names, has no {missing[0]}: {what_to_do}")
    os.environ.update({key: content[key] for key in KEYS})
    typer.echo(f"{none}: reading with those of {place}, which the run names", err=True)
    return f"the credentials are those of {place}"


def reach(endpoint: str | None) -> str:
    """What to do about a server that does not answer: its name may be known to pods only."""
    if endpoint is None:
        return "is this machine online?"
    address = urlsplit(endpoint)
    host = address.hostname or ""
    if host in LOOPBACK:
        return "is the port still forwarded?"
    service, _, rest = host.partition(".")
    namespace, _, domain = rest.partition(".")
    port = address.port or (443 if address.scheme == "https" else 80)
    command = f"kubectl --namespace {namespace} port-forward service/{service} 9000:{port}" if domain.startswith("svc") else ""
    how = f" (`{command}`)" if command else ""
    return (
        f"an endpoint that only pods reach is read through a forwarded port{how}: "
        f"add --endpoint {address.scheme}://{LOOPBACK[0]}:9000"
    )
