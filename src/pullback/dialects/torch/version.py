"""`torch.version`: whose names these are, and that there is no device."""

__version__ = "2.13.0"
debug = False
cuda = hip = rocm = xpu = git_version = None
