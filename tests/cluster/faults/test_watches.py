"""What the watches tell the operator, and what is lost of it."""

from collections import Counter
from pathlib import Path

from tests.cluster.faults.endings import assert_ended_well, ended
from tests.cluster.faults.proxy import News, Proxy
from tests.cluster.lab import Lab, at_work, operator

RESYNC_S = 10
"""Much longer than a stage takes."""


def test_each_watch_event_of_a_run_may_be_lost(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    """One run for each event that an undisturbed one has: of which kind, what about, and the how manieth of those."""
    sought: dict[str, tuple[News, int]] = {}
    heard: Counter[News] = Counter()
    lost: list[str] = []

    def lose(news: News) -> bool:
        heard[news] += 1
        what, number = sought.get(news.run, (None, 0))
        if what is None or (news.type, news.kind, news.of, heard[news]) != (what.type, what.kind, what.of, number):
            return False
        lost.append(news.run)
        return True

    proxy.lost = lose
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="deaf", resync_s=RESYNC_S)):
        lab.start("whole", rounds=1)
        lab.turn(lambda: ended(lab), "the undisturbed run ends")
        undisturbed = Counter(news for news in proxy.news if news.run == "whole")
        for news, times in undisturbed.items():
            for number in range(1, times + 1):
                sought[f"n{len(sought):03}"] = (news, number)
        for name in sought:
            lab.start(name, rounds=1)
        lab.turn(lambda: ended(lab), "the runs end", limit_s=240)
    for name in ("whole", *sought):
        assert_ended_well(lab, proxy, name)
    # How often a Job says how many of its pods have ended is up to its controller.
    assert {sought[name][0] for name in lost} == set(undisturbed)


def test_a_run_ends_even_if_no_watch_ever_tells_anything(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    """What is there at the start is listed; everything after it is found by time."""
    proxy.lost = lambda news: True
    lab.start(rounds=1)
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="deaf", resync_s=0.5)):
        lab.turn(lambda: ended(lab), "the run ends")
    assert_ended_well(lab, proxy)
