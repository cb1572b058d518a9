"""A checkpoint to S3 and back, by the storage that the jobs use and by two well-known clients on the same server.

    python bench/checkpoint.py [--bytes 2000000000] [--repeats 2] [--json]

Goal: at least 0.9 of the faster client's rate, each way. The server is versitygw on this machine, which shares its cores and its
disk with the client. The peers are s5cmd, and boto3's own transfer with its default settings. Who comes first changes each time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.testbed.tools.binaries import binary  # noqa: E402
from tests.testbed.tools.s3 import BUCKET, CREDENTIALS, s3_client, s3_serving  # noqa: E402

from evolution_storage.s3 import S3Store  # noqa: E402

KEY = "checkpoint/model.safetensors"
GOAL = 0.9
BLOCK_BYTES = 2**24

Copy = Callable[[Path], object]


def clients(endpoint: str) -> dict[str, tuple[Copy, Copy]]:
    """How each one sends a file, and how it fetches it."""
    store = S3Store(BUCKET, "ours", endpoint)
    plain = s3_client(endpoint)
    s5cmd = [str(binary("s5cmd")), "--endpoint-url", endpoint, "--log", "error", "cp"]
    there = f"s3://{BUCKET}/s5cmd/{KEY}"
    return {
        "ours": (lambda file: store.upload(KEY, file), lambda file: store.download(KEY, file)),
        "boto3": (
            lambda file: plain.upload_file(str(file), BUCKET, f"boto3/{KEY}"),
            lambda file: plain.download_file(BUCKET, f"boto3/{KEY}", str(file)),
        ),
        "s5cmd": (
            lambda file: subprocess.run([*s5cmd, str(file), there], check=True),
            lambda file: subprocess.run([*s5cmd, there, str(file)], check=True),
        ),
    }


def seconds(action: Copy, file: Path) -> float:
    os.sync()  # nobody pays for what another one wrote
    started = time.perf_counter()
    action(file)
    return time.perf_counter() - started


def measured(size: int, repeats: int) -> dict[str, dict[str, float]]:
    """Median rates by direction and client, MB/s."""
    taken: dict[str, dict[str, list[float]]] = {"up": {}, "down": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sent, fetched = folder / "sent", folder / "fetched"
        with sent.open("wb") as file:
            for start in range(0, size, BLOCK_BYTES):
                file.write(os.urandom(min(BLOCK_BYTES, size - start)))
        with s3_serving(folder, binary) as server:
            pairs = [*clients(server.url).items()]
            for repeat in range(repeats):
                for name, (up, down) in pairs[repeat % len(pairs) :] + pairs[: repeat % len(pairs)]:
                    taken["up"].setdefault(name, []).append(size / 1e6 / seconds(up, sent))
                    taken["down"].setdefault(name, []).append(size / 1e6 / seconds(down, fetched))
                    assert fetched.stat().st_size == size
                    fetched.unlink()
    return {way: {name: statistics.median(rates) for name, rates in found.items()} for way, found in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=2_000_000_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    os.environ.update(CREDENTIALS, AWS_REGION="us-east-1")
    rates = measured(options.bytes, options.repeats)
    ratios = {way: found["ours"] / max(found["boto3"], found["s5cmd"]) for way, found in rates.items()}
    if options.json:
        print(json.dumps({"mb_per_s": rates, "of_the_faster": ratios, "goal": GOAL}))
        return
    for way, found in rates.items():
        print(
            f"{way:5}", *(f"{name} {rate:6.0f} MB/s  " for name, rate in found.items()), f"ours: {ratios[way]:.2f} of the faster"
        )
    print(f"goal: at least {GOAL}")


if __name__ == "__main__":
    main()
