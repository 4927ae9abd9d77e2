"""Runs a program in an image's root the way a cluster does: read-only, as the image's own user."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

_LOCK = """
set -e
mount --bind "$ROOT" "$ROOT"
mount --rbind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
test ! -d "$ROOT/data" || mount -t tmpfs -o mode=0755,uid=10001,gid=10001 tmpfs "$ROOT/data"
mount -o remount,bind,ro "$ROOT"
exec chroot --userspec=10001:10001 "$ROOT" /usr/bin/env -i "$@"
"""


def run_locked(
    root: Path, variables: Mapping[str, str], script: str, *, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run a shell script inside an image; needs root, and namespaces of its own.

    The processes are in a namespace of their own too: what the script leaves behind ends with it.

    Args:
        root: of the image, as buildah mounts it.
        variables: all that the script sees.
        script: for sh.
        timeout_s: after which it is killed.
    """
    given = [f"{name}={value}" for name, value in variables.items()]
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    return subprocess.run(
        [*unshare, "sh", "-c", _LOCK, "sh", *given, "sh", "-c", script],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
