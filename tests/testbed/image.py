"""Container images made here, of this machine's busybox or around one static program; used by node.py and upstream.py."""

import io
import json
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

IMAGE = "localhost/busybox:test"
BUSYBOX = "/bin/busybox"
USER = 65532
"""Nobody in particular, and not root."""


def write_image(file: Path) -> None:
    """Writes an archive as `docker save` would, to be imported as `IMAGE`: a shell and its tools, statically linked."""
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True, timeout=30).stdout.split()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, mode in (("bin", 0o755), ("tmp", 0o1777)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        tar.add(BUSYBOX, "bin/busybox")
        for applet in applets:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                tar.addfile(link)
    _write_archive(file, IMAGE, layer.getvalue(), {"Env": ["PATH=/bin"], "Cmd": ["sleep", "infinity"]})


def write_program_image(file: Path, image: str, program: Path, path: str) -> None:
    """The same of an image that holds one statically linked program at `path` and nothing else, and runs as `USER`."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(program, path.lstrip("/"))
    _write_archive(file, image, layer.getvalue(), {"User": str(USER)})


def _write_archive(file: Path, image: str, layer: bytes, settings: dict[str, object]) -> None:
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"]}]
    with tarfile.open(file, "w") as archive:
        for name, content in (
            ("layer.tar", layer),
            ("config.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
