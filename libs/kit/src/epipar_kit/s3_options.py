"""How an S3 service is reached, and the local scratch that work on it needs."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path


def default_scratch() -> Path:
    """Return a folder of this user's among the system's temporary ones."""
    return Path(tempfile.gettempdir()) / f"epipar-scratch-{os.getuid()}"


@dataclass(frozen=True, slots=True)
class S3Options:
    """Where and as whom; what is "" is left to obstore, which reads AWS_* by itself.

    Attributes:
        endpoint: URL of the service; "" for AWS's own by region.
        public_endpoint: URL of the service as browsers reach it, for signed URLs.
        region: such as "eu-central-1".
        access_key_id: with ``secret_access_key``, or neither.
        secret_access_key: its secret.
        scratch_dir: local folder for staged inputs and unfinished outputs.
        scratch_max_bytes: the most that lies there.
        patience_s: how long requests are repeated while the service does not answer.
        connect_s: how long a connection may take.
        request_s: how long one request may take, a part of PART_BYTES included.
        lease_s: after so long without a sign of life another may take an output over.
        sync_s: how often finished parts of an output are carried to the store.
    """

    endpoint: str = ""
    public_endpoint: str = ""
    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    scratch_dir: Path = field(default_factory=default_scratch)
    scratch_max_bytes: int = 20 * 1024**3
    patience_s: float = 60.0
    connect_s: float = 5.0
    request_s: float = 120.0
    lease_s: float = 60.0
    sync_s: float = 5.0

    def __post_init__(self) -> None:
        for name in ("endpoint", "public_endpoint"):
            value = getattr(self, name)
            if value and not value.startswith(("http://", "https://")):
                raise ValueError(f"{name} is {value!r}; it must begin with https:// or http://")
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ValueError("access_key_id and secret_access_key go together; only one is set")
        for name in ("scratch_max_bytes", "patience_s", "connect_s", "request_s", "sync_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be more than 0")
        if self.lease_s < 3 * self.sync_s:
            raise ValueError(
                f"lease_s is {self.lease_s}; it must be 3 times sync_s ({self.sync_s}) or more"
            )
