"""The one place that names the version."""

__version__ = "0.1.0"

#: The FATE release whose interfaces are kept; stored in every pipeline model.
FATE_VERSION = "1.4.0"
