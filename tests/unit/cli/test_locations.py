"""Which place is meant, and what of a cluster's run needs no cluster to be tried."""

from pathlib import Path
from typing import Any

import pytest
from tests.finished import finished_run

from evolution_cli.bucket import reach
from evolution_cli.cluster import parsed
from evolution_cli.commands.describe import pods_of
from evolution_cli.commands.get import row
from evolution_operator.errors import RefusedError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(("--cluster",), "--workdir names a folder", id="a folder and a cluster"),
        pytest.param(("-n", "lab"), "--workdir names a folder", id="a folder and a namespace"),
        pytest.param(("--context", "c"), "--workdir names a folder", id="a folder and a context"),
        pytest.param(("-A",), "--workdir names a folder", id="a folder and all namespaces"),
    ],
)
def test_a_folder_and_a_cluster_exclude_each_other(cli: Any, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = cli("get", "--workdir", tmp_path, *options)
    assert (done.exit_code, said in done.output) == (2, True)


def test_one_namespace_and_all_exclude_each_other(cli: Any) -> None:
    done = cli("get", "-A", "-n", "lab")
    assert (done.exit_code, "exclude each other" in done.output) == (2, True)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (None, "is this machine online?"),
        ("http://127.0.0.1:9000", "is the port still forwarded?"),
        ("http://minio.data.svc:9000", "(`kubectl --namespace data port-forward service/minio 9000:9000`)"),
        ("https://s3.data.svc.cluster.local", "service/s3 9000:443`): add --endpoint https://127.0.0.1:9000"),
        ("http://store.example.org", "read through a forwarded port: add --endpoint http://127.0.0.1:9000"),
    ],
)
def test_what_to_do_about_an_endpoint_follows_from_its_name(endpoint: str | None, said: str) -> None:
    assert said in reach(endpoint)


def test_a_run_of_another_version_is_listed_and_its_description_refused_in_words() -> None:
    raw = finished_run({"uri": "s3://b/p"}).model_dump(mode="json", by_alias=True)
    raw["spec"]["later"] = 1
    assert row(raw)[:3] == ("demo", "Succeeded", "2/2")
    with pytest.raises(RefusedError, match=r"spec\.later = 1: there is no such field.*kubectl describe evolutionrun demo"):
        parsed(raw)


def test_pods_are_named_or_counted() -> None:
    def pod(number: int) -> dict[str, Any]:
        return {"metadata": {"name": f"p{number}"}, "status": {"phase": "Running"} if number else {}}

    assert pods_of({"pods": []}) == "no pods"
    assert pods_of({"pods": [pod(0), pod(1)]}) == "p0 Pending, p1 Running"
    assert pods_of({"pods": [pod(n) for n in range(9)]}) == "9 pods: 1 Pending, 8 Running"
