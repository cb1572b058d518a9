"""Storage on S3, or on any server that speaks it: multipart, parallel, with retries.

Credentials come from the environment, as boto3 has it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from evolution_jobs.storage.store import StorageError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PART_BYTES = 16 * 2**20
PARALLEL_PARTS = 8
ATTEMPTS = 8
"""Of one request; the waits between them grow to 20 s, so a server may be away for about a minute."""
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
DELETE_BATCH = 1000
"""Most keys that one DeleteObjects request takes."""

NOT_FOUND = {"404", "NoSuchKey", "NotFound"}
USERS_TO_MEND = {
    "NoSuchBucket": "create it or correct storage.uri",
    "InvalidAccessKeyId": "correct the credentials",
    "SignatureDoesNotMatch": "correct the credentials",
    "AccessDenied": "allow these credentials to read, write, list and delete below the prefix",
    "403": "correct the credentials, or allow them to read, write, list and delete below the prefix",
}
"""Error codes that no retry mends, and what does."""


class S3Store:
    def __init__(self, bucket: str, prefix: str, endpoint: str | None) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.client: S3Client = boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint,
            region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            config=Config(
                retries={"mode": "standard", "max_attempts": ATTEMPTS},
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                max_pool_connections=2 * PARALLEL_PARTS,
                s3={"addressing_style": "path" if endpoint else "auto"},
            ),
        )
        self.transfer = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARALLEL_PARTS
        )

    def read(self, key: str) -> bytes:
        with self._explained(key):
            return self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()

    def write(self, key: str, data: bytes) -> None:
        with self._explained(key):
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data)

    def upload(self, key: str, path: Path) -> None:
        with self._explained(key):
            self.client.upload_file(str(path), self.bucket, self.prefix + key, Config=self.transfer)

    def download(self, key: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained(key):
            self.client.download_file(self.bucket, self.prefix + key, str(path), Config=self.transfer)

    def exists(self, key: str) -> bool:
        try:
            with self._explained(key):
                self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
        except KeyError:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        keys: list[str] = []
        below = self.prefix + (f"{prefix.strip('/')}/" if prefix.strip("/") else "")
        with self._explained(prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=below):
                keys += [item["Key"][len(self.prefix) :] for item in page.get("Contents", [])]
        return sorted(keys)

    def delete(self, prefix: str) -> None:
        keys = [prefix, *self.list(prefix)] if prefix else self.list(prefix)
        for start in range(0, len(keys), DELETE_BATCH):
            batch = keys[start : start + DELETE_BATCH]
            with self._explained(prefix):
                answer = self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": [{"Key": self.prefix + key} for key in batch], "Quiet": True}
                )
            failed = [e for e in answer.get("Errors", []) if e.get("Code") not in NOT_FOUND]
            if failed:
                raise StorageError(f"s3://{self.bucket}/{failed[0].get('Key')} was not deleted: {failed[0].get('Message')}")

    def local_path(self, key: str) -> Path | None:  # noqa: ARG002 - an object on S3 is no file here
        return None

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in NOT_FOUND:
                raise KeyError(key) from None
            where = f"s3://{self.bucket}/{self.prefix}{key}"
            advice = USERS_TO_MEND.get(code, "see whether the server is well")
            raise StorageError(
                f"{where}: the server answered {code}: {error.response.get('Error', {}).get('Message', '')}; {advice}"
            ) from error
        except (BotoCoreError, boto3.exceptions.Boto3Error) as error:
            raise StorageError(f"s3://{self.bucket}/{self.prefix}{key}: {error}; see whether the server is reachable") from error
