"""One model in a process of its own: loaded as the model host loads it, run and measured."""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from epipar_depth.da3.network import TorchDevice, TorchNetwork
from epipar_depth.da3.pictures import processed_size
from epipar_depth.da3.random_weights import write_random_weights
from epipar_depth.da3.registry import REFERENCE_PIXELS, load_registry
from epipar_depth.da3.residents import MemoryBounds, Residents
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.weights import pin_weights

_LEAST_SECONDS = 0.5  # of a GPU's measurement; short passes are repeated
_MOST_PASSES = 5


class _Peak:
    """The most memory that was in use while it watched, MiB."""

    def __init__(self, on_gpu: bool) -> None:
        self._on_gpu = on_gpu
        self._ended = threading.Event()
        self.most = 0.0
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            self._thread = threading.Thread(target=self._watch)
            self._thread.start()

    def end(self) -> float:
        """Return the peak."""
        if self._on_gpu:
            return float(torch.cuda.max_memory_allocated() / 2**20)
        self._ended.set()
        self._thread.join()
        return self.most

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self.most = max(self.most, resident_mib())


class _Bench:
    """A loaded model on a device."""

    def __init__(self, network: TorchNetwork, device: TorchDevice, size: tuple[int, int]) -> None:
        self.network = network
        self.on_gpu = device.device.type == "cuda"
        self._device = device
        self._size = size

    def images(self, count: int) -> dict[str, npt.NDArray[Any]]:
        """Return so many random pictures."""
        width, height = self._size
        random = np.random.default_rng(0)
        return {"images": random.integers(0, 255, (count, height, width, 3), dtype=np.uint8)}

    def run(self, count: int, dtype: str) -> None:
        """Run one pass, what goes to the device and back included."""
        self.network.predict(self.images(count), dtype=dtype, seed=0, check=lambda: None)

    def measure(self, count: int, dtype: str) -> dict[str, float | str | int]:
        """Return speed and peak of passes of so many images."""
        if self.on_gpu:  # kernels are chosen at the first pass
            self.run(count, dtype)
        arrays = self.images(count)
        peak = _Peak(self.on_gpu)
        start, start_cpu, passes = time.perf_counter(), time.process_time(), 0
        while passes == 0 or (
            self.on_gpu and passes < _MOST_PASSES and time.perf_counter() - start < _LEAST_SECONDS
        ):
            self.network.predict(dict(arrays), dtype=dtype, seed=0, check=lambda: None)
            passes += 1
        wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
        return {
            "dtype": dtype or best_dtype(self.on_gpu),
            "images": count,
            "frames_per_s": passes * count / wall,
            "cpu_s_per_frame": cpu / (passes * count),
            "peak_mib": peak.end(),
        }

    def halve(self, count: int, room_mib: float) -> dict[str, float]:
        """Give the allocator so little room that a pass fails, and halve until one goes.

        As the host does: the pass raises MemoryError, the device is tidied, half as many are asked
        for. Returns how many were asked for, how many went, and how often it failed.
        """
        residents = Residents(self._device, MemoryBounds())
        _, total = torch.cuda.mem_get_info()
        allowed = torch.cuda.memory_allocated() + room_mib * 2**20
        self._device.release()
        torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total))
        images, failures = count, 0
        try:
            while images:
                try:
                    self.run(images, "")
                    break
                except MemoryError:
                    failures += 1
                    images = residents.recover(images).fits
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return {"asked": count, "went": images, "failures": failures, "room_mib": room_mib}


def best_dtype(on_gpu: bool) -> str:
    """Return what the model computes in where nothing is asked for."""
    return "fp32" if not on_gpu else "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def resident_mib() -> float:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def slope(rows: Sequence[dict[str, float | str | int]]) -> float:
    """Return the memory of a further image, from the fewest to the most of one dtype."""
    few, many = rows[0], rows[-1]
    gap = float(many["images"]) - float(few["images"])
    return (float(many["peak_mib"]) - float(few["peak_mib"])) / gap if gap else 0.0


def main() -> None:
    """Measure the model that the command line names; print one JSON line."""
    job = json.loads(sys.argv[1])
    settings = Da3Settings.from_environment()
    spec = load_registry()[job["model"]]
    folder = settings.models_dir / spec.name
    write_random_weights(spec, folder, seed=0)
    pin_weights(spec, settings, folder)
    device = TorchDevice(job["device"], settings)
    on_gpu = device.device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device.device)  # whose memory is asked for below
    device.release()
    before = torch.cuda.memory_allocated() / 2**20 if on_gpu else resident_mib()
    network = device.load(spec)
    loaded = (torch.cuda.memory_allocated() / 2**20 if on_gpu else resident_mib()) - before
    width, height = processed_size(640, 480, job["side"])
    bench = _Bench(network, device, (width, height))
    rows, image_mib = [], {}
    for dtype in job["dtypes"]:
        of_dtype = [bench.measure(count, dtype) for count in job["frames"]]
        image_mib[of_dtype[0]["dtype"]] = slope(of_dtype)
        rows += of_dtype
    halving = None
    if on_gpu and job["halve"]:
        most = max(job["frames"])
        halving = bench.halve(most, max(image_mib.values()) * most / 3)
    parameters = sum(p.numel() for p in network._model.parameters())  # noqa: SLF001
    print(
        json.dumps(
            {
                "device": device.name,
                "parameters_m": parameters / 1e6,
                "loaded_mib": loaded,
                "registry_base_mib": spec.base_mib,
                "registry_image_mib": spec.image_mib * width * height / REFERENCE_PIXELS,
                "image_mib": image_mib,
                "rows": rows,
                "halving": halving,
            }
        )
    )


if __name__ == "__main__":
    main()
