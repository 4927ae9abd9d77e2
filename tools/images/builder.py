"""Building with whichever program is there: docker, podman or buildah."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.images.catalogue import ROOT, Image

PROGRAMS = ("docker", "podman", "buildah")


class NoBuilderError(Exception):
    """No program here can build an image; the message says what was looked for."""


@dataclass(frozen=True, slots=True)
class Builder:
    """One program that builds images.

    Attributes:
        program: "docker", "podman" or "buildah".
        options: before its command, such as ("--root", "/tmp/images").
        build_options: behind "build".
        environment: added to this process's.
    """

    program: str
    options: Sequence[str] = ()
    build_options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def call(self, *arguments: str, timeout_s: float = 3600) -> str:
        """Run the program and return its standard output.

        Raises:
            subprocess.CalledProcessError: it failed; its standard error is in the exception.
        """
        done = subprocess.run(
            [self.program, *self.options, *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=timeout_s,
        )
        return done.stdout

    def build(
        self,
        image: Image,
        tag: str,
        *,
        base: str | None = None,
        secrets: Mapping[str, Path] | None = None,
    ) -> None:
        """Build one image from the repository.

        Args:
            image: which.
            tag: its version.
            base: another base image than the Dockerfile's.
            secrets: files that a step may see and no layer keeps: pip_conf, npmrc.

        Raises:
            subprocess.CalledProcessError: a step failed.
        """
        arguments = ["build", *self.build_options]
        if self.program != "docker":
            arguments += ["--format", "docker"]  # OCI's own format has no HEALTHCHECK
        if image.target:
            arguments += ["--target", image.target]
        if base:
            arguments += ["--build-arg", f"BASE={base}"]
        for name, path in (secrets or {}).items():
            arguments += ["--secret", f"id={name},src={path}"]
        arguments += ["-f", str(image.dockerfile), "-t", f"{image.name}:{tag}", str(ROOT)]
        self.call(*arguments)

    def size_bytes(self, reference: str) -> int:
        """Return the size of a built image, unpacked."""
        if self.program == "buildah":
            listed = self.call("images", "--format", "{{.Size}}", reference).strip()
            return _bytes_of(listed.splitlines()[0])
        return int(self.call("image", "inspect", "--format", "{{.Size}}", reference).strip())


def find_builder(program: str | None = None) -> Builder:
    """Return the first builder that works.

    Args:
        program: the one to take; any by default.

    Raises:
        NoBuilderError: none is there.
    """
    faults = []
    for name in [program] if program else PROGRAMS:
        if shutil.which(name) is None:
            faults.append(f"{name} is not installed")
            continue
        builder = Builder(name)
        try:
            builder.call("version" if name == "docker" else "info", timeout_s=30)
        except (subprocess.SubprocessError, OSError):
            faults.append(f"{name} does not run (docker: its daemon; buildah: see its info)")
            continue
        return builder
    raise NoBuilderError("; ".join(faults))


def _bytes_of(text: str) -> int:
    """Read buildah's "1.2 GB"."""
    number, unit = text.split()
    scale = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()]
    return round(float(number) * scale)
