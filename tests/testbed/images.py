"""The images that are shipped, built on this machine for its test node: no registry, no container engine; called by tests.

Their own Containerfiles build them, on a Debian that debootstrap makes instead of the one that their BASE names. What was built
is kept in the cache until something that it was built from changes. Needs root and what `SYSTEM_PACKAGES` bring.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.testbed.control_plane import TIED
from tests.testbed.node import require_packages
from tests.testbed.tools.binaries import cache

ROOT = Path(__file__).parents[2]
SYSTEM_PACKAGES = {"buildah": ("buildah",), "debootstrap": ("debootstrap",)}
"""Debian's packages, and the programs of each that are used."""
DEBIAN, PYTHON = "bookworm", "3.11"
"""The Containerfiles' own, and its Python."""
PLATFORM = "x86_64-manylinux_2_36"
"""Of that Debian's C library."""
ENVIRONMENT = "/opt/evolution"
"""Where images have their packages, and where `environment` is to be mounted."""
LOCKED = ("pyproject.toml", "requirements.lock")
SOURCES = (*LOCKED, ".containerignore", "README.md", "LICENSE", "crds", "operator", "jobs")
"""What an image is built from, besides its Containerfile."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
"""What a Debian trusts."""
LIMIT_S = 1800
NAMESPACES = (*TIED, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Mounts of what is killed in the middle go with it."""


def reference(name: str) -> str:
    """What a node calls the image `name` (operator, jobs, train) once it has loaded the archive."""
    return f"localhost/evolution-{name}:test"


def base() -> Path:
    """The archive of a minimal Debian, made now if it is not there. Raises as `image` does."""
    require_packages(SYSTEM_PACKAGES)

    def make(file: Path) -> None:
        with TemporaryDirectory(dir=file.parent) as folder:
            root = Path(folder, "root")
            _run(*NAMESPACES, "debootstrap", "--variant=minbase", DEBIAN, str(root))
            without = ("./dev/*", "./etc/hostname", "./etc/resolv.conf", "./var/cache/apt/*", "./var/log/*")
            tar = ["tar", "--create", "--file", f"{folder}/root.tar", "--directory", str(root)]
            _run(*tar, *(f"--exclude={path}" for path in without), ".")
            Path(folder, "Containerfile").write_text("FROM scratch\nADD root.tar /\n")
            _build(file, f"localhost/debian:{DEBIAN}", ["--file", f"{folder}/Containerfile", folder])

    return _kept("base", DEBIAN, make)


def image(name: str, target: str = "") -> Path:
    """The archive of an image, for `Node.load`, built now if it is not there.

    `target`: `runtime` is the image without its packages, for pods that have them mounted.

    Raises:
        RuntimeError: something is missing on this machine, or the build failed; the message has its last words.
    """
    debian = base()
    containerfile = ROOT / "images" / name / "Containerfile"

    def make(file: Path) -> None:
        stage = ["--target", target] if target else []
        arguments = ["--build-arg", f"BASE=docker-archive:{debian}", *stage, "--file", str(containerfile), str(ROOT)]
        with TemporaryDirectory() as folder:
            _build(file, reference(name), [*_machine(Path(folder)), *arguments])

    sources = [] if target == "runtime" else [ROOT / source for source in SOURCES]
    return _kept(f"{name}-{target}" if target else name, _digest([containerfile, *sources]), make)


def environment() -> Path:
    """A folder with what the image `train` has in ENVIRONMENT, linked from uv's cache: 7 GB that are neither copied nor loaded.

    It works with the Python of `image("train", "runtime")`. Our code in it is replaced when it changes: not while pods use it.

    Raises:
        RuntimeError: there is no uv, or it failed; the message has its last words.
    """

    def make(folder: Path) -> None:
        programs = _site(folder) / "bin"  # where --target puts those of packages
        programs.mkdir(parents=True)
        (folder / "bin").symlink_to(programs.relative_to(folder))
        for program in ("python", "python3"):
            (programs / program).symlink_to("/usr/bin/python3")
        (folder / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
        _install(folder, "--constraint", "requirements.lock", "-r", "pyproject.toml", "--extra", "train")

    def add_code(stamp: Path) -> None:
        _install(packages, "--reinstall", "--no-deps", "--build-constraints", "requirements.lock", ".")
        stamp.touch()

    packages = _kept("environment", _digest(ROOT / source for source in LOCKED), make)
    _kept("environment-code", f"{packages.name}-{_digest(ROOT / source for source in SOURCES)}", add_code)
    return packages


def layers(archive: Path) -> dict[str, int]:
    """Of the one image in an archive: digest -> size in bytes, unpacked."""
    with tarfile.open(archive) as tar:
        files = _json(tar, "manifest.json")[0]["Layers"]
        return {digest: _size(tar, file) for digest, file in zip(_config(tar)["rootfs"]["diff_ids"], files, strict=True)}


def settings(archive: Path) -> dict[str, Any]:
    """User, Env, WorkingDir and the like, of the one image in an archive."""
    with tarfile.open(archive) as tar:
        found: dict[str, Any] = _config(tar)["config"]
        return found


def _config(tar: tarfile.TarFile) -> Any:
    return _json(tar, _json(tar, "manifest.json")[0]["Config"])


def _json(tar: tarfile.TarFile, name: str) -> Any:
    file = tar.extractfile(name)
    assert file is not None
    return json.load(file)


def _size(tar: tarfile.TarFile, name: str) -> int:
    """A layer that stands twice is a link the second time."""
    member = tar.getmember(name)
    return tar.getmember(str(Path(name).parent / member.linkname)).size if member.issym() else member.size


def _kept(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The file or folder that `make` writes, in the cache; whatever had another key makes room for it. One is made at a time."""
    with (_cache() / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = _only(kind, key)
        if not found.exists():
            started = time.monotonic()
            sys.stderr.write(f"\nbuilding {kind} (minutes, where nothing of it was built before)\n")
            partial = found.with_name("partial")
            make(partial)
            partial.rename(found)
            sys.stderr.write(f"  {kind}: built in {time.monotonic() - started:.0f} s\n")
    return found


def _cache() -> Path:
    folder = cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _only(kind: str, key: str) -> Path:
    """Where what has this key is or will be; nothing else of its kind is left."""
    folder = _cache() / kind
    folder.mkdir(exist_ok=True)
    for other in folder.iterdir():
        if other.name != key:
            _remove(other)
    return folder / key


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _digest(paths: Iterable[Path]) -> str:
    """Of the files at and below `paths`: their places and their content."""
    digest = hashlib.sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.parent.name != "__pycache__")
        for file in files:
            digest.update(f"{file.relative_to(ROOT)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def _build(file: Path, name: str, arguments: Sequence[str]) -> None:
    """Builds an image `name` and writes it to an archive. Layers are kept, and built anew from the first that has changed."""
    storage = _only("storage", _digest([*(ROOT / source for source in LOCKED), *sorted(ROOT.glob("images/*/Containerfile"))]))
    with TemporaryDirectory() as run:
        buildah = [*NAMESPACES, "buildah", "--root", str(storage), "--runroot", run, "--storage-driver", "overlay"]
        _run(*buildah, "rm", "--all")  # of a build that was killed
        _run(*buildah, "bud", "--isolation", "chroot", "--layers", "--tag", name, *arguments)
        _run(*buildah, "push", name, f"docker-archive:{file}:{name}")


def _machine(folder: Path) -> list[str]:
    """What lets a build reach the package index as this machine does: its certificates, index and cache. Nothing of it stays."""
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    uv = ["system-certs = true", *([f'[[index]]\nurl = "{index}"\ndefault = true'] if index else [])]
    index = os.environ.get("PIP_INDEX_URL")
    pip = ["[global]", *([f"index-url = {index}"] if index else [])]
    mounts = {_run(_uv(), "cache", "dir").strip(): "/root/.cache/uv"}
    if CERTIFICATES.exists():
        pip.append(f"cert = {CERTIFICATES}")
        mounts[str(CERTIFICATES)] = "/usr/local/share/ca-certificates/machine.crt:ro"  # where Debian looks for more to trust
    for lines, place in ((pip, "pip.conf"), (uv, "uv/uv.toml")):
        file = folder / Path(place).name
        file.write_text("\n".join(lines))
        mounts[str(file)] = f"/etc/{place}:ro"
    return [f"--volume={here}:{there}" for here, there in mounts.items()]


def _install(folder: Path, *what: str) -> None:
    """Into an environment for the images' Python, whatever Python this machine has."""
    target = ["--python-version", PYTHON, "--python-platform", PLATFORM, "--target", str(_site(folder))]
    _run(_uv(), "pip", "install", "--quiet", "--compile-bytecode", *target, *what)


def _site(folder: Path) -> Path:
    return folder / "lib" / f"python{PYTHON}" / "site-packages"


def _uv() -> str:
    """The one that scripts/setup.sh uses."""
    for uv in ("uv", str(ROOT / ".cache" / "uv" / "bin" / "uv")):
        if shutil.which(uv) and subprocess.run([uv, "--version"], capture_output=True, timeout=30).returncode == 0:
            return uv
    raise RuntimeError("no uv: start this by `make`, which brings one")


def _run(*command: str) -> str:
    """What it says on stdout."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode != 0:
        said = "\n".join([*done.stdout.splitlines()[-10:], *done.stderr.splitlines()[-20:]])
        raise RuntimeError(f"{' '.join(command)} failed (exit code {done.returncode}):\n{said}")
    return done.stdout
