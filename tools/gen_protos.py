"""Regenerate the Python stubs in libs/api/src from protos/. Never edit its output."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
OUT = ROOT / "libs/api/src"


def main() -> int:
    """Run protoc over every .proto file; return its exit status."""
    # protoc looks for its plugins (mypy-protobuf) on PATH; they sit beside this interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shutil.rmtree(OUT / "epipar", ignore_errors=True)
    OUT.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    status = int(
        protoc.main(
            [
                "protoc",
                f"--proto_path={PROTOS}",
                f"--proto_path={files('grpc_tools') / '_proto'}",
                f"--python_out={OUT}",
                f"--grpc_python_out={OUT}",
                f"--mypy_out={OUT}",
                f"--mypy_grpc_out=only_async:{OUT}",
                *sources,
            ]
        )
    )
    for package in {(OUT / source).parent for source in sources}:
        (package / "py.typed").touch()
    return status


if __name__ == "__main__":
    sys.exit(main())
