"""What a fit cost: seconds, CPU seconds, memory."""

import sys
import time
from pathlib import Path

import torch

__all__ = ["CostMeter"]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class CostMeter:
    """Measures from its creation to :meth:`read`.

    Parameters
    ----------
    device : torch.device, optional
        On a CUDA device the peak is that of torch's allocator; elsewhere that of the process's resident memory.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device = device or torch.device("cpu")
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._memory = torch.cuda.memory_allocated(device)
        else:
            self._memory = _reset_peak()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """The cost so far.

        Returns
        -------
        dict
            ``fit_seconds`` (wall), ``cpu_seconds`` (all threads), ``peak_memory_mb`` (highest memory above that at the
            start, in 2**20 bytes).
        """
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        peak = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else _peak()
        return {
            "fit_seconds": wall,
            "cpu_seconds": cpu,
            "peak_memory_mb": max(0, peak - self._memory) / 2**20,
        }


def _reset_peak() -> int:
    """Resident bytes now; on Linux the kernel's high-water mark starts anew."""
    try:
        _CLEAR.write_text("5")
        return _status("VmRSS")
    except OSError:
        return _peak()


def _peak() -> int:
    """Highest resident bytes since the last reset (since the process began where there is none)."""
    try:
        return _status("VmHWM")
    except OSError:
        try:
            import resource
        except ImportError:  # Windows counts nothing
            return 0
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(field: str) -> int:
    line = next(row for row in _STATUS.read_text().splitlines() if row.startswith(field))
    return int(line.split()[1]) * 1024
