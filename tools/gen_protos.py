"""Regenerate the stubs from protos/, Python and TypeScript; ``--check`` only says what differs.

The TypeScript generator comes from the viewer's node_modules and needs Node on PATH.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import google.rpc
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = ROOT / "libs/api/src"
VIEWER = ROOT / "gateway/viewer"
VIEWER_STUBS = VIEWER / "src/gen"
SUFFIXES = frozenset({".py", ".pyi", ".typed", ".ts"})
ERROR_DETAILS = "google/rpc/error_details.proto"


def sources() -> list[str]:
    """Return every .proto file, relative to protos/."""
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))


def run_protoc(*arguments: str) -> None:
    """Run protoc.

    Raises:
        SystemExit: it refused a file; it has said why.
    """
    status = protoc.main(["protoc", f"--proto_path={PROTOS}", *arguments])
    if status:
        raise SystemExit(int(status))


def generate_python(out: Path) -> None:
    """Write the Python stubs of every .proto file into `out`."""
    run_protoc(
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet,only_async:{out}",
        *sources(),
    )
    for package in {(out / source).parent for source in sources()}:
        (package / "py.typed").touch()


def generate_typescript(out: Path) -> None:
    """Write the TypeScript stubs of every .proto file, and of gRPC's error details, into `out`."""
    plugin = VIEWER / "node_modules/.bin/protoc-gen-es"
    if not plugin.exists():
        raise SystemExit(f"{plugin} does not exist; run `make install`")
    googleapis = Path(google.rpc.__path__[0]).parent.parent
    run_protoc(
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--proto_path={googleapis}",
        f"--plugin=protoc-gen-es={plugin}",
        f"--es_out={out}",
        "--es_opt=target=ts",
        *sources(),
        ERROR_DETAILS,
    )


def differences(fresh: Path, committed: Path) -> list[str]:
    """List the files that are missing, left over or different in `committed`."""
    names = {
        str(path.relative_to(root))
        for root in (fresh, committed)
        for path in root.rglob("*")
        if path.is_file() and path.suffix in SUFFIXES
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
    check = parser.parse_args().check
    # protoc looks for its plugins (mypy-protobuf) and for Node on PATH; they sit beside Python.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    stale = 0
    for make, committed in ((generate_python, STUBS), (generate_typescript, VIEWER_STUBS)):
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder)
            make(fresh)
            if check:
                names = differences(fresh, committed)
                stale += len(names)
                for name in names:
                    print(f"stale: {committed.relative_to(ROOT) / name}; run `make gen`, commit")
                continue
            for package in fresh.iterdir():
                shutil.rmtree(committed / package.name, ignore_errors=True)
                shutil.copytree(package, committed / package.name)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
