"""Memory of the GPUs that this process can see, read from their driver when somebody asks.

Needs NVIDIA's bindings (nvidia-ml-py) and a driver; without either there is nothing to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """One GPU's memory, of all processes on it.

    Attributes:
        device: its index as the driver counts, such as "0".
        used_bytes: taken.
        total_bytes: there in all.
    """

    device: str
    used_bytes: int
    total_bytes: int


class GpuMemory(Collector):
    """Shows epipar_gpu_memory_bytes; no series where no GPU is.

    Args:
        read: asks for the devices; by default the driver.
    """

    def __init__(self, read: Callable[[], Sequence[DeviceMemory]] | None = None) -> None:
        self._read = read if read is not None else read_devices

    def collect(self) -> Iterator[Metric]:
        """Ask for them."""
        found = self._read()
        if not found:
            return
        family = GaugeMetricFamily(
            "epipar_gpu_memory_bytes",
            "Memory of a GPU, used by any process and in all.",
            labels=["device", "state"],
        )
        for memory in found:
            family.add_metric([memory.device, "used"], memory.used_bytes)
            family.add_metric([memory.device, "total"], memory.total_bytes)
        yield family


def read_devices() -> Sequence[DeviceMemory]:
    """Return the memory of each GPU; empty where there is no GPU, driver or binding.

    A slice of a GPU (MIG) is not listed: the driver tells the memory of whole ones alone.
    """
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_read(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _read(nvml: object, index: int) -> DeviceMemory:
    memory = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(index))  # type: ignore[attr-defined]  # a module
    return DeviceMemory(str(index), int(memory.used), int(memory.total))
