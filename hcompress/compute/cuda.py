"""Which GPUs are here, asked of the driver itself."""

from __future__ import annotations

import ctypes

_MAJOR, _MINOR = 75, 76
"""Device attributes of the CUDA driver: the two parts of the compute capability."""


def compute_capabilities() -> tuple[str, ...]:
    """Of every NVIDIA GPU, such as "8.9"; none where there is no driver or no device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ()
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    return tuple(_capability(driver, device) for device in range(count.value))


def _capability(driver: ctypes.CDLL, device: int) -> str:
    parts = []
    for attribute in (_MAJOR, _MINOR):
        number = ctypes.c_int(0)
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
        parts.append(str(number.value))
    return ".".join(parts)
