"""Measures what one scene costs, on a whole suite over real PostgreSQL and a real S3 service.

    python -m benchmarks.sizing [--write] [CLIP ...]

Each clip is reconstructed and completed by the defaults, as a user does it. CPU-seconds are those of
the services' processes and their children, bytes those of the objects in the bucket, rows those of
all tables after VACUUM FULL. With --write the result becomes what `python -m tools.sizing` reckons
with. A few CPU-minutes a clip.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
from obstore.store import S3Store
from psycopg import sql

from gateway.tests.postgres import PostgresServer
from tests.processes import Suite
from tests.s3_server import S3Server

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "examples/sample/clip.mp4"
MEASURED = ROOT / "tools/sizing/measured.json"
SERVICES = ("depth", "export", "inpaint")
"""Of gateway and Envoy most is idling: it goes with the hours and not with the scenes."""


def main() -> None:
    """Measure the clips and print, or keep, what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP")
    parser.add_argument("--write", action="store_true", help=f"keep it in {MEASURED.name}")
    options = parser.parse_args()
    clips = options.clips or [SAMPLE, *_office()]
    found = {clip.stem if clip != SAMPLE else "sample": measured(clip) for clip in clips}
    text = json.dumps(found, indent=2) + "\n"
    print(text)
    if options.write:
        MEASURED.write_text(text)


def _bucket(s3: S3Server) -> S3Store:
    given = s3.environment
    return S3Store(
        urlsplit(s3.url).netloc,
        endpoint=s3.endpoint,
        region="us-east-1",
        prefix="suite",
        access_key_id=given["EPIPAR_STORE_S3_ACCESS_KEY_ID"],
        secret_access_key=given["EPIPAR_STORE_S3_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )


def _office() -> list[Path]:
    folder = Path(os.environ.get("EPIPAR_SHARED", ROOT.parent / "shared"))
    clip = folder / "data/office/office.mp4"
    return [clip] if clip.is_file() else []


def measured(clip: Path) -> dict[str, Any]:
    """Reconstruct and complete one clip; return what it took."""
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="epipar-sizing-")))
        s3 = parts.enter_context(S3Server())
        database = parts.enter_context(PostgresServer()).new_database()
        environment = {
            "EPIPAR_SCRATCH_DIR": str(folder / "scratch"),
            "EPIPAR_GATEWAY_DATABASE_URL": database,
            **s3.environment,
        }
        url = f"{s3.url}/suite"
        suite = parts.enter_context(Suite(folder / "data", store_url=url, **environment))
        found: dict[str, Any] = {"clip_bytes": clip.stat().st_size}
        found["empty"] = {"postgresql": rows(database)}
        before = cpu_seconds(suite)
        _epipar("reconstruct", str(clip), "-o", "scene", "--address", suite.address)
        after = cpu_seconds(suite)
        found["reconstruction"] = {
            "cpu_seconds": _difference(before, after),
            "postgresql": rows(database),
        }
        _epipar("complete", "scene", "--address", suite.address)
        found["completion"] = {
            "cpu_seconds": _difference(after, cpu_seconds(suite)),
            "postgresql": rows(database),
        }
        store = _bucket(s3)
        sizes = {str(m["path"]): int(m["size"]) for batch in store.list() for m in batch}
        found["bytes"] = by_artifact(sizes)
        found["objects"] = len(sizes)
        info = next(
            key for key in sizes if key.endswith("/scene.json") and "completions" not in key
        )
        found["counts"] = json.loads(bytes(store.get(info).bytes()))["counts"]
        return found


def cpu_seconds(suite: Suite) -> dict[str, float]:
    """Return the CPU-seconds of each service so far, with those of its children."""
    found = {}
    for name in SERVICES:
        times = psutil.Process(suite.pids[name]).cpu_times()
        living = sum(
            sum(child.cpu_times()[:2])
            for child in psutil.Process(suite.pids[name]).children(recursive=True)
        )
        found[name] = sum(times[:4]) + living
    return found


def by_artifact(sizes: dict[str, int]) -> dict[str, int]:
    """Return bytes by kind of artifact, from the sizes of all objects by key."""
    found: Counter[str] = Counter()
    for key, size in sizes.items():
        parts = key.split("/")
        where = "completion/" if "completions" in parts else ""
        inside = parts[parts.index("completions") + 2 :] if where else parts[2:]
        if parts[0] != "scenes":
            found[parts[0]] += size
        elif inside[0] == "exports":
            found[where + _exported(inside)] += size
        else:
            found[where + (inside[0] if len(inside) > 1 else "manifests")] += size
    return dict(sorted(found.items()))


def _exported(inside: list[str]) -> str:
    name = inside[-1]
    packed = " (zstd)" if name.endswith((".zst", ".br")) else ""
    plain = name.removesuffix(".zst").removesuffix(".br")
    if "tiles" in inside or plain == "tileset.json":
        return f"exports/tiles{packed}"
    return f"exports/{plain.rpartition('.')[2]}{packed}"


def rows(url: str) -> dict[str, Any]:
    """Return rows by table, and the bytes of all of them with their indexes, densely packed."""
    query = "SELECT schemaname, relname FROM pg_stat_user_tables ORDER BY 1, 2"
    counts, total = {}, 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM FULL")
        for schema, name in connection.execute(query).fetchall():
            table = sql.Identifier(schema, name)
            counted = sql.SQL("SELECT count(*) FROM {}").format(table)
            sized = sql.SQL("SELECT pg_total_relation_size({}::regclass)").format(
                sql.Literal(f'"{schema}"."{name}"')
            )
            counts[f"{schema}.{name}"] = _number(connection.execute(counted))
            total += _number(connection.execute(sized))
    return {"rows": {name: n for name, n in counts.items() if n}, "bytes": total}


def _number(found: psycopg.Cursor[Any]) -> int:
    return sum(int(row[0]) for row in found.fetchall())


def _difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: round(after[name] - before[name], 1) for name in SERVICES}


def _epipar(*arguments: str) -> None:
    command = [sys.executable, "-m", "epipar_cli", *arguments]
    print("$ epipar", *arguments, file=sys.stderr, flush=True)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
