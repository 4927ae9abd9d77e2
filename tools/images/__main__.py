"""Builds the images of the suite and prints their sizes: ``python -m tools.images``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tools.images.builder import PROGRAMS, Builder, NoBuilderError, find_builder
from tools.images.catalogue import IMAGES


def main() -> int:
    """Run the program; return the exit status."""
    given = _parser().parse_args()
    try:
        found = find_builder(given.builder)
    except NoBuilderError as error:
        sys.stderr.write(f"no image can be built here: {error}\n")
        return 1
    builder = Builder(found.program, given.option, given.build_option)
    secrets = {
        name: path
        for name, path in (("pip_conf", given.pip_conf), ("npmrc", given.npmrc))
        if path is not None
    }
    names = given.images or [image.name for image in IMAGES if not image.needs_gpu_packages]
    print(f"{'image':24}{'MB':>8}")
    for image in IMAGES:
        if image.name not in names:
            continue
        try:
            builder.build(image, given.tag, base=given.base, secrets=secrets)
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"{image.name}:\n{error.stdout[-2000:]}{error.stderr[-2000:]}\n")
            return 1
        size = builder.size_bytes(f"{image.name}:{given.tag}")
        print(f"{image.name:24}{size / 1e6:>8.0f}", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__)
    known = [image.name for image in IMAGES]
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"of {', '.join(known)}")
    parser.add_argument("--tag", default="0.1.0")
    parser.add_argument("--builder", choices=PROGRAMS, help="the first that works by default")
    parser.add_argument("--base", help="base image; the Dockerfiles' by default")
    parser.add_argument("--pip-conf", type=Path, help="pip.conf for the build, in no layer")
    parser.add_argument("--npmrc", type=Path, help=".npmrc for the build, in no layer")
    parser.add_argument("--option", action="append", default=[], help="of the builder")
    parser.add_argument("--build-option", action="append", default=[], help="of its build")
    return parser


if __name__ == "__main__":
    sys.exit(main())
