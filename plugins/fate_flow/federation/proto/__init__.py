"""Message types of the gateway, generated from ``gateway.proto``."""
