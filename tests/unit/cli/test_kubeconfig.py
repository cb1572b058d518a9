"""A person is logged in by the kubeconfig that kubectl would use, or is told what is wrong with it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evolution_operator.cluster.kubeconfig import KubeconfigError, login

CLUSTER = {"server": "https://first.example"}


def config(
    file: Path, *, context: dict[str, Any] | None = None, cluster: Any = CLUSTER, user: Any = None, current: str | None = "a"
) -> Path:
    """A kubeconfig with one context `a`."""
    content = {
        "current-context": current,
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a", **(context or {})}}],
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "a", "user": user or {}}],
    }
    file.write_text(json.dumps(content))
    return file


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that KUBECONFIG names."""
    file = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


def test_the_current_context_is_used_unless_another_is_named(given: Path) -> None:
    config(given, context={"namespace": "lab"}, user={"token": "t"})
    document = json.loads(given.read_text())
    document["contexts"].append({"name": "b", "context": {"cluster": "a"}})
    given.write_text(json.dumps(document))
    found = login()
    assert (found.server, found.default_namespace, found.token) == ("https://first.example", "lab", "t")
    other = login("b")
    assert (other.server, other.default_namespace, other.token) == ("https://first.example", None, None)


def test_files_are_merged_and_the_first_word_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = config(tmp_path / "one", current=None)
    second = config(tmp_path / "two", cluster={"server": "https://second.example"})
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'absent'}:{second}")
    assert login().server == "https://first.example"


def test_files_that_it_names_lie_beside_it(given: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file\n")
    config(given, user={"tokenFile": "token"})
    assert login().token == "from a file"


def test_a_program_may_give_the_token(given: Path, tmp_path: Path) -> None:
    program = tmp_path / "plugin.py"
    program.write_text(
        "import json, os, sys\n"
        "asked = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "token = '-'.join([sys.argv[1], os.environ['FLAVOUR'], asked['spec']['cluster']['server']])\n"
        "print(json.dumps({**asked, 'status': {'token': token}}))\n"
    )
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(program), "x"],
        "env": [{"name": "FLAVOUR", "value": "y"}],
        "provideClusterInfo": True,
    }
    config(given, user={"exec": plugin})
    assert login().token == "x-y-https://first.example"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no current context": ({"current": None}, "current-context"),
    "a context that is none": ({"current": "z"}, "Expected object with name z in .*contexts"),
    "a cluster that is none": ({"context": {"cluster": "z"}}, "Expected object with name z in .*clusters"),
    "a certificate that is gone": (
        {"cluster": {**CLUSTER, "certificate-authority": "ca"}},
        "File does not exist: .*ca: set KUBECONFIG",
    ),
    "a certificate that is none": ({"cluster": {**CLUSTER, "certificate-authority-data": "bm9uZQ=="}}, "cannot be used"),
}


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_told(given: Path, content: dict[str, Any], said: str) -> None:
    config(given, **content)
    with pytest.raises(KubeconfigError, match=said):
        login()


def test_a_context_that_is_not_there_is_told(given: Path) -> None:
    config(given)
    with pytest.raises(KubeconfigError, match=r"Expected object with name z in .*contexts"):
        login("z")


@pytest.mark.parametrize("content", [None, "a: [", "just words", "contexts: [1]"])
def test_what_is_no_kubeconfig_is_told(given: Path, content: str | None) -> None:
    if content is not None:
        given.write_text(content)
    with pytest.raises(KubeconfigError, match=r"kubeconfig|KUBECONFIG"):
        login()
