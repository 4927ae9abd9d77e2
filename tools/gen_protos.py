"""Regenerate the Python stubs in libs/api/src from protos/; ``--check`` only says what differs."""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = ROOT / "libs/api/src"


def generate(out: Path) -> None:
    """Run protoc over every .proto file into `out`.

    Raises:
        SystemExit: protoc refused a file; it has said why.
    """
    # protoc looks for its plugins (mypy-protobuf) on PATH; they sit beside this interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--mypy_grpc_out=quiet,only_async:{out}",
            *sources,
        ]
    )
    if status:
        raise SystemExit(int(status))
    for package in {(out / source).parent for source in sources}:
        (package / "py.typed").touch()


def differences(fresh: Path, committed: Path) -> list[str]:
    """List the files that are missing, left over or different in `committed`."""
    names = {
        str(path.relative_to(root))
        for root in (fresh, committed)
        for path in root.rglob("*")
        if path.is_file() and path.suffix in {".py", ".pyi", ".typed"}
    }
    return [
        name
        for name in sorted(names)
        if not (fresh / name).is_file()
        or not (committed / name).is_file()
        or not filecmp.cmp(fresh / name, committed / name, shallow=False)
    ]


def main() -> int:
    """Generate, or check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail on a difference")
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        check = parser.parse_args().check
        generate(fresh)
        if check:
            stale = differences(fresh, STUBS)
            for name in stale:
                print(f"stale: libs/api/src/{name}; run `make gen` and commit")
            return 1 if stale else 0
        shutil.rmtree(STUBS / "epipar", ignore_errors=True)
        shutil.copytree(fresh / "epipar", STUBS / "epipar")
    return 0


if __name__ == "__main__":
    sys.exit(main())
