"""`torch.accelerator`: there is none."""


def is_available() -> bool:
    """False: the CPU is the only device."""
    return False


def current_accelerator(check_available: bool = False) -> None:
    """None: the CPU is the only device."""


def device_count() -> int:
    """0: the CPU is the only device."""
    return 0
