"""Logs a person in by a context of their kubeconfig, as kubectl does; called by the command line.

Kubernetes' own client reads it: merged files, certificates, tokens, and the programs that clouds give tokens by (`exec`).
"""

import os
from typing import Any

import kopf
import yaml


class KubeconfigError(ValueError):
    """The kubeconfig does not lead to an API server; the message says why and what to do."""


def login(context: str | None = None) -> Any:
    """A kopf.ConnectionInfo for that context, by default the current one; in a pod without kubeconfig, for its service account.

    Raises KubeconfigError.
    """
    from kubernetes import config
    from kubernetes.client import Configuration

    known: Any = Configuration()
    files = os.environ.get("KUBECONFIG")
    try:
        config.load_kube_config(files, context, known)
        contexts, current = config.list_kube_config_contexts(files)
        chosen = next((each for each in contexts if each["name"] == context), current)
        scheme, _, token = next((each["value"] for each in known.auth_settings().values()), "").partition(" ")
        found = kopf.ConnectionInfo(
            server=known.host,
            insecure=not known.verify_ssl,
            ca_path=known.ssl_ca_cert,
            certificate_path=known.cert_file,
            private_key_path=known.key_file,
            scheme=scheme or None,
            token=token.strip() or None,
            default_namespace=chosen["context"].get("namespace"),
            proxy_url=known.proxy,
            trust_env=True,
        )
        found.as_ssl_context()
    except config.ConfigException as error:
        in_pod = None if context else kopf.login_with_service_account(settings=kopf.OperatorSettings())
        if in_pod is not None:
            return in_pod
        raise KubeconfigError(f"{error}: set KUBECONFIG to a file that leads to your cluster") from error
    except (yaml.YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
        raise KubeconfigError(f"the kubeconfig cannot be used: {error}; correct it") from error
    return found
