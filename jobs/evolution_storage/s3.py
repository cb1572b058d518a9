"""Storage on S3, or on any server that speaks it: in parts, parallel, with retries.

Credentials come from the environment, as boto3 has it.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as NoConnectionError

from evolution_storage.store import PATIENCE_S, StorageError, draft_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import DeleteTypeDef as Delete

T = TypeVar("T")
log = logging.getLogger("evolution")

PART_BYTES = 16 * 2**20
PARALLEL_PARTS = 8
FETCHED_PART_BYTES = 32 * 2**20
PARALLEL_FETCHES = 4
FETCHED_CHUNK_BYTES = 2**16
"""Read and written at once; larger ones cost a memory mapping each."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 10.0
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
DELETE_BATCH = 1000
"""Most keys that one DeleteObjects request takes."""

NOT_FOUND = {"404", "NoSuchKey", "NotFound"}
USERS_TO_MEND = {
    "NoSuchBucket": "create it or correct storage.uri",
    "InvalidAccessKeyId": "correct the credentials",
    "XAdminUserNotFound": "correct the credentials",  # the same, as versitygw says it
    "SignatureDoesNotMatch": "correct the credentials",
    "AccessDenied": "allow these credentials to read, write, list and delete below the prefix",
    "PreconditionFailed": "another object took its place while it was read: start again",
    "403": "correct the credentials, or allow them to read, write, list and delete below the prefix",
}
"""Error codes that no retry mends, and what does."""


class S3Store:
    def __init__(self, bucket: str, prefix: str, endpoint: str | None, patience_s: float = PATIENCE_S) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.patience_s = patience_s
        self.client: S3Client = boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint,
            region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            config=Config(
                retries={"mode": "standard"},
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
        return self._asked(key, lambda: self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read())

    def write(self, key: str, data: bytes) -> None:
        self._asked(key, lambda: self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data))

    def upload(self, key: str, path: Path) -> None:
        self._asked(key, lambda: self.client.upload_file(str(path), self.bucket, self.prefix + key, Config=self.transfer))

    def download(self, key: str, path: Path) -> None:
        """Each part is written by the thread that reads it: boto3's own transfer takes twice the processor time."""
        name = self.prefix + key
        found = self._asked(key, lambda: self.client.head_object(Bucket=self.bucket, Key=name))

        def fetch(draft: Path, start: int) -> None:
            last = min(start + FETCHED_PART_BYTES, found["ContentLength"]) - 1
            part = self.client.get_object(Bucket=self.bucket, Key=name, IfMatch=found["ETag"], Range=f"bytes={start}-{last}")
            with draft.open("r+b") as file:
                file.seek(start)
                shutil.copyfileobj(part["Body"], file, FETCHED_CHUNK_BYTES)

        with draft_of(path) as draft, ThreadPoolExecutor(PARALLEL_FETCHES) as threads:
            draft.touch()
            starts = range(0, found["ContentLength"], FETCHED_PART_BYTES)
            for _ in threads.map(lambda start: self._asked(key, partial(fetch, draft, start)), starts):
                pass

    def exists(self, key: str) -> bool:
        try:
            self._asked(key, lambda: self.client.head_object(Bucket=self.bucket, Key=self.prefix + key))
        except KeyError:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        below = self.prefix + (f"{prefix.strip('/')}/" if prefix.strip("/") else "")
        pages = self.client.get_paginator("list_objects_v2")
        found = self._asked(prefix, lambda: [*pages.paginate(Bucket=self.bucket, Prefix=below)])
        return sorted(item["Key"][len(self.prefix) :] for page in found for item in page.get("Contents", []))

    def delete(self, prefix: str) -> None:
        keys = [prefix, *self.list(prefix)] if prefix else self.list(prefix)
        for start in range(0, len(keys), DELETE_BATCH):
            batch: Delete = {"Objects": [{"Key": self.prefix + key} for key in keys[start : start + DELETE_BATCH]], "Quiet": True}
            answer = self._asked(prefix, partial(self.client.delete_objects, Bucket=self.bucket, Delete=batch))
            failed = [e for e in answer.get("Errors", []) if e.get("Code") not in NOT_FOUND]
            if failed:
                raise StorageError(f"s3://{self.bucket}/{failed[0].get('Key')} was not deleted: {failed[0].get('Message')}")

    def local_path(self, key: str) -> Path | None:  # noqa: ARG002 - an object on S3 is no file here
        return None

    def _asked(self, key: str, request: Callable[[], T]) -> T:
        """The answer; while the server is away it is asked again. Raises KeyError where there is no such object."""
        started, wait_s = time.monotonic(), FIRST_WAIT_S
        while True:
            try:
                return request()
            except (BotoCoreError, ClientError, Boto3Error) as error:
                problem, passes = self._judged(key, error)
                if not passes or time.monotonic() - started + wait_s > self.patience_s:
                    raise problem from error
                log.warning("%s; asked again in %.0f s", problem, wait_s)
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _judged(self, key: str, error: Exception) -> tuple[Exception, bool]:
        """What to raise, and whether the same request may find the server better later."""
        # of an upload it is known only in a sentence what the server answered
        answered = next((e for e in (error, error.__context__) if isinstance(e, ClientError)), None)
        where = f"s3://{self.bucket}/{self.prefix}{key}"
        if answered is None:
            away = isinstance(error, (NoConnectionError, HTTPClientError, IncompleteReadError, Boto3Error))
            return StorageError(f"{where}: {error}; see whether the server is reachable"), away
        code = str(answered.response.get("Error", {}).get("Code", ""))
        if code in NOT_FOUND:
            return KeyError(key), False
        advice = USERS_TO_MEND.get(code, "see whether the server is well")
        message = answered.response.get("Error", {}).get("Message", "")
        status = answered.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return StorageError(f"{where}: the server answered {code}: {message}; {advice}"), status >= 500
