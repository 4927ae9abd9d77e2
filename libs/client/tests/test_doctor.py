"""`epipar doctor` tells what it finds, and fails where the machine cannot work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from epipar_cli import doctor
from epipar_cli.doctor_checks import Check
from epipar_cli.doctor_models import check_engine, check_gpu

from .conftest import Epipar, events_of


def test_every_line_has_a_state_and_what_is_not_well_has_a_way_out(epipar: Epipar) -> None:
    done = epipar.run("doctor", "--json")
    (report, *_) = events_of(done.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    looked_at = {"python", "grpcio", "envoy", "viewer", "cores", "memory", "disk", "store", "gpu"}
    assert looked_at <= set(checks)
    assert {"port 8080", "port 50050", "port 50060"} <= set(checks)
    assert all(check["status"] == "ok" or check["way_out"] for check in report["checks"])
    assert done.returncode == (0 if report["ok"] else 5)


def test_text_has_one_line_a_check(epipar: Epipar) -> None:
    lines = epipar.run("doctor").stdout.splitlines()
    assert all(line.split()[0] in {"ok", "warn", "fail"} for line in lines)
    assert any(line.startswith("ok    python") for line in lines)


def test_a_folder_that_cannot_be_written_fails() -> None:
    # Root may write everywhere else.
    place = Path("/proc/self") if os.geteuid() == 0 else Path("/")
    check = doctor.check_store(place)
    assert check.status == "fail"
    assert "--data" in check.way_out


def test_a_package_that_is_needed_and_missing_fails() -> None:
    (check,) = doctor.check_packages(needed=("epipar-nonsense",), useful=())
    assert (check.status, check.way_out) == ("fail", "pip install epipar-nonsense")


def test_a_package_that_is_useful_and_missing_warns() -> None:
    (check,) = doctor.check_packages(needed=(), useful=("epipar-nonsense",))
    assert check.status == "warn"


def test_a_viewer_that_is_not_built_warns(epipar: Epipar) -> None:
    """The stand-in of the gateway has none."""
    done = epipar.run("doctor", "--json")
    (viewer,) = [c for c in events_of(done.stdout)[0]["checks"] if c["name"] == "viewer"]
    assert (viewer["status"], viewer["way_out"]) == ("warn", "in the repository: make viewer")


GPU = Check("gpu", "ok", "NVIDIA L4, 23034 MiB, 570.86")
NO_GPU = Check("gpu", "ok", "none; the engine mvs needs none")


@pytest.mark.parametrize(
    ("torch", "gpu", "missing", "status", "said"),
    [
        ("2.13.0", GPU, [], "ok", "can run"),
        ("2.13.0+cu128", GPU, [], "ok", "can run"),
        ("2.13.0+cpu", NO_GPU, [], "ok", "can run"),
        ("2.13.0+cpu", GPU, [], "warn", "cannot use the GPU"),
        ("", GPU, ["torch"], "ok", "lacks torch"),
    ],
)
def test_a_torch_that_cannot_use_the_gpu_is_told(
    torch: str, gpu: Check, missing: list[str], status: str, said: str
) -> None:
    check = check_engine({"python": "python", "missing": missing, "torch": torch}, gpu)
    assert check.status == status
    assert said in check.detail
    assert bool(check.way_out) == (status != "ok")


async def test_the_gpu_is_what_nvidia_smi_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (await check_gpu()).detail.startswith("none")
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA L4, 23034 MiB, 570.86'\n")
    program.chmod(0o755)
    assert await check_gpu() == GPU
    program.write_text("#!/bin/sh\necho 'no driver'; exit 9\n")
    check = await check_gpu()
    assert (check.status, check.detail) == ("warn", "no driver")
