"""Two operators: both at work, or one of them waiting for the other's lease."""

import signal
from pathlib import Path

from tests.cluster.faults.endings import assert_ended_well, ended
from tests.cluster.faults.proxy import Proxy
from tests.cluster.lab import Lab, log_of, operator
from tests.testbed.tools.daemon import Daemon, eventually

from evolution_operator.cluster import lease


def test_two_operators_at_once_make_no_double_child(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    """Both believe that they hold the lease: they go by the same name."""
    both = []
    for place in ("one", "other"):
        folder = tmp_path / place
        folder.mkdir()
        both.append(operator(folder, proxy.kubeconfig(folder), lab.namespace, identity="same"))
    try:
        for each in both:
            each.start()
        lab.start(rounds=1)
        lab.turn(lambda: ended(lab), "the run ends")
        lab.wait_told("RunSucceeded")
        assert all(works(each) for each in both)
    finally:
        for each in both:
            each.stop()
    assert_ended_well(lab, proxy)
    assert lab.reasons().count("RunSucceeded") == 1


def test_the_lease_passes_from_one_replica_to_the_next(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    """From one that stops; from one that finds it taken, and ends; and from one that was killed, when it has run out."""
    names = ("first", "second", "third", "fourth")
    replicas = [operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity=name) for name in names]
    first, second, third, fourth = replicas
    try:
        first.start()
        eventually(lambda: works(first), "the first one works", 30)
        second.start()
        lab.start(rounds=1)
        lab.turn_to(1, "generate")
        assert not works(second)
        first.stop()
        eventually(lambda: works(second), "the second one works", 30)

        third.start()
        lab.turn_to(1, "train")
        robbed = second.process
        assert robbed is not None
        assert not works(third)
        where = f"/apis/{lease.API_VERSION}/namespaces/{lab.namespace}/leases/{lease.NAME}"
        lab.api.patch(where, {"spec": {"holderIdentity": "third"}})
        eventually(lambda: works(third), "the third one works", 30)
        assert robbed.wait(30) == 1
        assert log_of(second)[-1]["message"] == "stopping: third holds the lease now"

        fourth.start()
        lab.turn_to(1, "evaluate")
        assert not works(fourth)
        third.stop(signal.SIGKILL)
        eventually(lambda: works(fourth), "the fourth one works", 60)
        lab.turn(lambda: ended(lab), "the run ends")
    finally:
        for each in replicas:
            each.stop()
    assert_ended_well(lab, proxy)


def works(daemon: Daemon) -> bool:
    return any(line["message"].startswith("working as") for line in log_of(daemon))
