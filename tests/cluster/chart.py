"""Helm and the chart of this repository, for the tests of the chart: rendered, installed and removed as a person does it."""

import json
import os
import re
import subprocess
from pathlib import Path

import yaml
from tests.conftest import ROOT
from tests.testbed.api import Object

CHART = ROOT / "charts" / "evolution-operator"
RELEASE = "evolution-operator"
KUBE_VERSION = "1.35.4"
"""What a chart is rendered for where no cluster is asked; Helm built from source would take 1.20."""
HELM_LIMIT_S = 120


class HelmError(Exception):
    """Helm refused; `str()` is what it said."""


class Helm:
    def __init__(self, program: Path, folder: Path, kubeconfig: Path | None = None) -> None:
        """`folder` is for what Helm and its client of Kubernetes cache."""
        self._program = program
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig or os.devnull),
            "KUBECACHEDIR": str(folder / "kube"),
            **{f"HELM_{what}_HOME": str(folder / what.lower()) for what in ("CACHE", "CONFIG", "DATA")},
        }

    def __call__(self, *arguments: str, values: Object | None = None) -> str:
        """What it prints on stdout; with `values` laid over the chart's.

        Raises:
            HelmError: it failed.
        """
        done = subprocess.run(
            [str(self._program), *arguments, *(() if values is None else ("--values", "-"))],
            env=self._environment,
            input=json.dumps(values),
            capture_output=True,
            text=True,
            timeout=HELM_LIMIT_S,
        )
        if done.returncode != 0:
            raise HelmError(done.stdout + done.stderr)
        return done.stdout

    def rendered(self, values: Object | None = None, *, chart: Path = CHART, namespace: str = "operators") -> list[Object]:
        text = self(
            "template", RELEASE, str(chart), "--namespace", namespace, "--kube-version", KUBE_VERSION, values=values or {}
        )
        return [found for found in yaml.load_all(text, yaml.CSafeLoader) if found]


Right = tuple[str, str, str]
"""Group, resource, verb."""


def rights(rules: list[Object]) -> set[Right]:
    """What the rules of a role grant."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def documented() -> list[set[Right]]:
    """What the documentation says that the operator needs: in each namespace, in its own, and on the cluster."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "operator.md").read_text(), re.DOTALL)
    return [rights(yaml.safe_load(block)) for block in blocks]
