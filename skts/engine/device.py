"""From the word in ``device=`` to a torch device, with an error where the device is not there."""

import torch

from skts.errors import DeviceError

__all__ = ["available_devices", "resolve_device"]


def resolve_device(name: str) -> torch.device:
    """The device that ``name`` means on this machine.

    Parameters
    ----------
    name : str
        ``"auto"`` (CUDA, else Apple's MPS, else the CPU) or any torch device string.

    Returns
    -------
    torch.device

    Raises
    ------
    DeviceError
        If the string is no device, or the device is absent: there is no silent fallback.
    """
    available = available_devices()
    if name == "auto":
        return torch.device(available[-1])
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise DeviceError(
            f"device to be 'auto' or one of {available}", repr(name), "Pass device='auto' or device='cpu'."
        ) from error
    absent = device.type not in available
    if absent or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise DeviceError(
            f"a device of this machine, one of {available}",
            f"device={name!r}, which torch does not find here",
            "Pass device='auto' to take the best that is there, or install a torch build for that device.",
        )
    return device


def available_devices() -> list[str]:
    """Device types from the slowest to the preferred one."""
    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.append("mps")
    if torch.cuda.is_available():
        found.append("cuda")
    return found
