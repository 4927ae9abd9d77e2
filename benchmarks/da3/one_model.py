"""One model in a process of its own: loaded as the model host loads it, run twice, measured."""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

from epipar_depth.da3.network import TorchDevice
from epipar_depth.da3.pictures import processed_size
from epipar_depth.da3.random_weights import write_random_weights
from epipar_depth.da3.registry import REFERENCE_PIXELS, load_registry
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.weights import pin_weights


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


def resident_mib() -> float:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


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
    device.release()
    before = torch.cuda.memory_allocated() / 2**20 if on_gpu else resident_mib()
    network = device.load(spec)
    loaded = (torch.cuda.memory_allocated() / 2**20 if on_gpu else resident_mib()) - before
    width, height = processed_size(640, 480, job["side"])
    random = np.random.default_rng(0)
    peaks, wall, cpu = [], 0.0, 0.0
    for index, count in enumerate(job["frames"]):
        images = random.integers(0, 255, (count, height, width, 3), dtype=np.uint8)
        arrays = {"images": images}
        if index == 0 and on_gpu:  # kernels are chosen at the first pass
            network.predict(dict(arrays), dtype=job["dtype"], seed=0, check=lambda: None)
        peak = _Peak(on_gpu)
        start, start_cpu = time.perf_counter(), time.process_time()
        network.predict(dict(arrays), dtype=job["dtype"], seed=0, check=lambda: None)
        wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
        peaks.append(peak.end())
    few, many = job["frames"]
    parameters = sum(p.numel() for p in network._model.parameters())  # noqa: SLF001
    best = "fp32" if not on_gpu else "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    print(
        json.dumps(
            {
                "device": device.name,
                "dtype": job["dtype"] or best,
                "parameters_m": parameters / 1e6,
                "loaded_mib": loaded,
                "image_mib": (peaks[1] - peaks[0]) / (many - few),
                "registry_base_mib": spec.base_mib,
                "registry_image_mib": spec.image_mib * width * height / REFERENCE_PIXELS,
                "frames_per_s": many / wall,
                "cpu_s_per_frame": cpu / many,
            }
        )
    )


if __name__ == "__main__":
    main()
