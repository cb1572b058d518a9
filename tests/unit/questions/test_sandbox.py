"""Attacks on the sandbox: each ends as an outcome with a reason, in bounded time and memory, and leaves nothing behind."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evolution_api.kinds import Reason
from evolution_api.run.generation import Sandbox as Limits
from evolution_api.scene import Scene
from evolution_jobs.questions import sandbox
from evolution_jobs.questions.geometry import Geometry
from evolution_jobs.questions.sandbox import RUNS_WHEN_STARVED, Sandbox, _processor_s

DOUBLED = "x = ('a' * 1000,)\nfor i in range(60): x = (x, x)\n"  # 2 ** 60 strings once it is printed, hashed or copied
ATTACKS: list[tuple[str, str, Reason]] = [
    ("loop", "while True: pass", "program_timeout"),
    (
        "loop that catches everything",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "program_timeout",
    ),
    ("loop over calls", "while True: labels()", "program_timeout"),
    ("loop over failing calls", "while True:\n    try: one('x')\n    except Exception: pass", "program_timeout"),
    ("loop over prints", "while True: print('x' * 100000)", "program_memory"),
    ("power that cannot be interrupted", "10 ** 10 ** 7", "program_timeout"),
    ("recursion", "def f(n): return f(n + 1)\nf(0)", "program_recursion"),
    ("mutual recursion", "def f(): return g()\ndef g(): return f()\nf()", "program_recursion"),
    ("recursion in finally", "def f():\n    try: f()\n    finally: f()\nf()", "program_timeout"),
    ("list", "x = [0] * 10 ** 9\nlen(x)", "program_memory"),
    ("string", "'a' * 10 ** 10", "program_memory"),
    ("string doubled", "x = 'ab'\nwhile True: x += x", "program_memory"),
    ("dictionary", "x = {}\nfor i in range(10 ** 9): x[i] = i", "program_memory"),
    ("huge integer", "9 ** 9 ** 9", "program_memory"),
    ("many lists", "x = []\nwhile True: x.append([0] * 1000)", "program_memory"),
    ("open", "open('/etc/passwd').read()", "program_forbidden"),
    ("open for writing", "open('/tmp/x', 'w').write('x')", "program_forbidden"),
    ("listing", "import os\nos.listdir('/')", "program_forbidden"),
    ("environment", "import os\nos.environ['HOME']", "program_forbidden"),
    ("getenv", "import os\nos.getenv('HOME')", "program_forbidden"),
    ("shell", "import os\nos.system('ls')", "program_forbidden"),
    ("import subprocess", "import subprocess", "program_forbidden"),
    ("import socket", "import socket", "program_forbidden"),
    ("import ctypes", "import ctypes", "program_forbidden"),
    ("import of ours", "import evolution_jobs", "program_forbidden"),
    ("import within exec", "exec('import socket')", "program_forbidden"),
    ("pathlib", "from pathlib import Path\nPath('/etc/passwd').read_text()", "program_forbidden"),
    ("__import__", "__import__('os')", "program_forbidden"),
    ("__builtins__", "__builtins__", "program_forbidden"),
    ("globals", "globals()", "program_forbidden"),
    ("input", "input()", "program_forbidden"),
    ("class of a tuple", "().__class__.__bases__[0].__subclasses__()", "program_forbidden"),
    ("globals of a lambda", "(lambda: 0).__globals__", "program_forbidden"),
    ("globals of a library function", "one.__globals__", "program_forbidden"),
    ("code of a function", "def f(): pass\nf.__code__", "program_forbidden"),
    ("raise", "raise ValueError('no')", "program_error"),
    ("raise of an interrupt", "raise KeyboardInterrupt", "program_error"),
    ("division", "1 / 0", "program_error"),
    ("undefined name", "chairs()", "program_error"),
    ("wrong argument", "distance('table')", "program_error"),
    ("number as object", "longest_side(3)", "program_error"),
    ("error message without end", "raise ValueError('x' * 10 ** 6)", "program_error"),
    ("made-up geometry error", "raise LookupError('the scene has no chair')", "program_error"),
    ("exponential argument", DOUBLED + "one(x)", "program_error"),
    ("exponential keyword", DOUBLED + "one(label=x)", "program_error"),
    ("missing object", "one('piano')", "missing_object"),
    ("ambiguous object", "one('chair')", "ambiguous_object"),
    ("unfinished", "(1,", "program_syntax"),
    ("no Python", "How many chairs are there?", "program_syntax"),
    ("generator", "def g():\n    yield 1\nlist(g())", "program_syntax"),
    ("zero byte", "x = 1\n\0", "program_syntax"),
    ("lone surrogate", "'\ud800'", "program_syntax"),
    ("deep parentheses", "(" * 5000 + "1" + ")" * 5000, "program_syntax"),
    ("deep minus", "-" * 19_000 + "1", "program_syntax"),
    ("deep index", "labels()" + "[0]" * 6000, "program_syntax"),
    ("nothing returned", "x = 1", "wrong_type"),
    ("empty", "", "wrong_type"),
    ("list returned", "labels()", "wrong_type"),
    ("builtin returned", "open", "wrong_type"),
    ("class returned", "class A: pass\nA()", "wrong_type"),
    ("bytes returned", "b'3'", "wrong_type"),
    ("complex returned", "1 + 2j", "wrong_type"),
    ("not a number", "float('nan')", "wrong_type"),
    ("infinity", "1e400", "wrong_type"),
    ("integer beyond bounds", "10 ** 5000", "wrong_type"),
    ("long text", "'x' * 10 ** 6", "wrong_type"),
    ("exponential value", DOUBLED + "x", "wrong_type"),
    ("endless value", "x = []\nx.append(x)\nx", "wrong_type"),
    ("deep value", "x = []\nfor i in range(50000): x = [x]\nx", "wrong_type"),
]


@pytest.mark.parametrize(("program", "reason"), [pytest.param(p, r, id=name) for name, p, r in ATTACKS])
def test_an_attack_is_an_outcome(program: str, reason: Reason, room: Scene) -> None:
    small = Limits(timeout_milliseconds=2000, memory_mebibytes=8)
    sandbox = Sandbox(small if reason == "program_memory" else Limits(timeout_milliseconds=60))
    outcome = sandbox.run(program, room)
    assert outcome.value is None
    assert outcome.reason == reason, outcome.detail
    assert 0 < len(outcome.detail) <= 400
    assert sandbox.run("count('chair')", room).value == 2, "the sandbox works on after the attack"


def test_our_own_memory_stays_small_under_all_attacks(room: Scene) -> None:
    sandbox = Sandbox(Limits(timeout_milliseconds=60))
    sandbox.run("1", room)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, program, _ in ATTACKS:
        if name in ("exponential value", "exponential argument", "deep value", "long text", "error message without end"):
            sandbox.run(program, room)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("leak = 3\nleak", "leak", id="a global"),
        pytest.param("def count(label): return 99\ncount('chair')", "count('chair')", id="a replaced function"),
        pytest.param("import math\nmath.pi = 3\n1", "import math\nmath.pi", id="a changed module"),
        pytest.param("import random\nrandom.seed(5)\nrandom.random()", "import random\nrandom.random()", id="a seed"),
    ],
)
def test_nothing_of_one_program_reaches_the_next(first: str, second: str, room: Scene) -> None:
    fresh = Sandbox().run(second, room)
    sandbox = Sandbox()
    sandbox.run(first, room)
    assert sandbox.run(second, room) == fresh


def test_a_list_that_a_program_changes_is_its_own(room: Scene) -> None:
    sandbox = Sandbox()
    sandbox.run("objects('chair').append('x')\nlabels().clear()\n1", room)
    assert sandbox.run("len(objects('chair')) + len(labels())", room).value == 8


@pytest.mark.parametrize("program", ["import random\nrandom.random()", "import time\nint(time.time())", "hash('chair')"])
def test_chance_and_clock_are_the_same_for_everyone(program: str, room: Scene) -> None:
    assert Sandbox().run(program, room) == Sandbox().run(program, room)


def test_sleeping_takes_no_time(room: Scene) -> None:
    began = time.monotonic()
    assert Sandbox().run("import time\ntime.sleep(100)\n1", room).value == 1
    assert time.monotonic() - began < 100


def test_what_a_program_prints_goes_nowhere(room: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    assert Sandbox().run("print('psst')\n1", room).value == 1
    assert capfd.readouterr() == ("", "")


def test_calls_that_take_our_own_time_are_cut_off(room: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = room.model_copy()

    calls = []

    def busy(_self: Geometry) -> None:
        calls.append(1)
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    monkeypatch.setattr(Geometry, "labels", busy)
    outcome = Sandbox(Limits(timeout_milliseconds=50)).run("for i in range(1000): labels()", slow)
    assert outcome.reason == "program_timeout"
    assert len(calls) < 1000


@pytest.mark.parametrize("program", ["while True: pass", "10 ** 10 ** 7"], ids=["ends itself", "is killed"])
def test_a_program_out_of_time_is_told_from_one_that_never_had_any(
    program: str, room: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[float] = []

    def processor_s(worker: int) -> float:
        read.append(_processor_s(worker))
        return read[-1]

    monkeypatch.setattr(sandbox, "_processor_s", processor_s)
    assert Sandbox(Limits(timeout_milliseconds=500)).run(program, room).reason == "program_timeout"
    assert read[-1] - read[-2] > 0.05, "of half a second"


def test_a_program_whose_time_ran_out_while_the_machine_stood_still_is_run_again(
    room: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def processor_s(worker: int) -> float:
        asked.append(worker)
        return _processor_s(worker)

    def halt(_self: Geometry) -> list[str]:
        if len(set(asked)) < RUNS_WHEN_STARVED:
            os.kill(asked[-1], signal.SIGSTOP)
            while ") T " not in Path(f"/proc/{asked[-1]}/stat").read_text():
                time.sleep(0.001)
        return ["chair"]

    monkeypatch.setattr(sandbox, "_processor_s", processor_s)
    monkeypatch.setattr(Geometry, "labels", halt)
    assert Sandbox(Limits(timeout_milliseconds=50)).run("len(labels())", room).value == 1
    assert len(set(asked)) == RUNS_WHEN_STARVED


def test_a_catching_program_still_gets_its_answer_after_a_failed_call(room: Scene) -> None:
    program = "try:\n    n = longest_side(one('piano'))\nexcept LookupError:\n    n = 0\nn"
    assert Sandbox().run(program, room).value == 0


def test_a_killed_worker_is_replaced(room: Scene) -> None:
    sandbox = Sandbox()
    assert sandbox.run("1", room).value == 1
    me = os.getpid()
    for child in Path(f"/proc/self/task/{me}/children").read_text().split():
        if "monty" in Path(f"/proc/{child}/comm").read_text():
            os.kill(int(child), signal.SIGKILL)
    outcomes = [sandbox.run("1", room) for _ in range(3)]
    assert outcomes[-1].value == 1


def test_programs_run_after_a_fork_and_a_used_sandbox_refuses_to_cross_one() -> None:
    code = """
import os
from evolution_api.scene import Scene
from evolution_jobs.questions.sandbox import Sandbox
scene = Scene(id="a", source="test", objects=(), frames=())
def forked():
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if Sandbox().run("frames()", scene).value == 0 else 1)
        except RuntimeError as error:
            os._exit(3 if "fork first" in str(error) else 4)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
before = forked()
assert Sandbox().run("frames()", scene).value == 0
print(before, forked())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.split() == ["0", "3"], done.stderr


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(
            "for i in range(500):\n    try: labels()\n    except BaseException: pass", id="in a call, caught by the program"
        ),
        pytest.param("while True: pass", id="in a loop"),
        pytest.param("while True: print('x')", id="while it prints"),
        pytest.param("1", id="between programs"),
    ],
)
def test_a_signal_of_our_own_is_not_the_programs_to_catch(program: str, room: Scene) -> None:
    class StopError(BaseException):
        pass

    def stop(_number: int, _frame: object) -> None:
        raise StopError

    def run_until(end: float) -> None:
        while time.monotonic() < end:
            sandbox.run(program, room)

    sandbox = Sandbox(Limits(timeout_milliseconds=50))
    sandbox.run("1", room)
    old = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(0.06, os.kill, (os.getpid(), signal.SIGUSR1))
    began = time.monotonic()
    try:
        timer.start()
        with pytest.raises(StopError):
            run_until(began + 5)
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGUSR1, old)
    assert sandbox.run("1", room).value == 1
