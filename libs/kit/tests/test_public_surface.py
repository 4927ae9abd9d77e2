"""What other rooms import is there, light where it must be, and the README tells the truth."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

import epipar_kit
from epipar_kit.testing import reason_of

SOURCE = Path(str(epipar_kit.__file__)).parent
README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("module", ["errors", "events", "worker"])
def test_the_jobs_side_needs_the_standard_library_alone(module: str) -> None:
    code = (
        f"import sys, epipar_kit.{module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert loaded & {"grpc", "google", "pydantic", "structlog", "asyncio", "numpy"} == set()


def test_grpc_codes_are_known_to_one_module_and_those_that_read_a_call() -> None:
    knowing = {path.name for path in SOURCE.glob("*.py") if "grpc.StatusCode" in path.read_text()}
    assert knowing == {"wire.py", "interceptors.py"}


def test_the_readme_lists_every_file() -> None:
    listed = set(re.findall(r"^  (\w+\.py) ", README.read_text(), re.MULTILINE))
    files = {path.name for path in SOURCE.glob("*.py")} - {"__init__.py"}
    assert files <= listed
    assert {path.name for path in Path(__file__).parent.glob("*.py")} >= listed - files


PROTO = """
syntax = "proto3";
package epipar.hello.v1;
service HelloService { rpc Hello(HelloRequest) returns (stream HelloResponse); }
message HelloRequest { int32 count = 1; }
message HelloResponse { int32 words = 1; int32 done = 2; }
"""


@pytest.fixture
def hello_path(tmp_path: Path) -> Path:
    """The README's two modules as a package, and stubs for them."""
    pytest.importorskip("grpc_tools", reason="needs grpcio-tools to make the stubs of the example")
    package = tmp_path / "epipar_hello"
    package.mkdir()
    for name, block in zip(("job.py", "__main__.py"), BLOCKS[:2], strict=True):
        (package / name).write_text(block)
    proto = tmp_path / "epipar/hello/v1/hello.proto"
    proto.parent.mkdir(parents=True)
    proto.write_text(PROTO)
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{tmp_path}"),
            *(f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}", str(proto)),
        ],
        check=True,
    )
    return tmp_path


async def test_the_readmes_service_runs_as_it_stands(hello_path: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "epipar_hello"),
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(hello_path), *sys.path]),
            "EPIPAR_STORE_URL": str(hello_path / "store"),
            "EPIPAR_HELLO_PORT": "0",
        },
    )
    assert server.stderr is not None
    address = json.loads(await server.stderr.readline())["address"]
    async with grpc.aio.insecure_channel(address) as channel:
        hello: Any = channel.unary_stream("/epipar.hello.v1.HelloService/Hello")
        replies = [reply async for reply in hello(b"\x08\x05")]  # count: 5
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [reply async for reply in hello(b"\x08\xe9\x07")]  # count: 1001
    server.terminate()
    await server.communicate()
    assert server.returncode == 0
    assert b"\x10\x05" in replies  # done: 5
    assert replies[-1] == b"\x08\x05"  # words: 5
    assert reason_of(caught.value) == "BAD_OPTION"
