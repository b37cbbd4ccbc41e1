"""How to serve: what the command line chooses."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Where to listen, and with how many processes.

    grpc_port: None for no gRPC. tls_cert, tls_key: PEM files, for both ports; None for no TLS.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    grpc_port: int | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    access_log: bool = True

    @property
    def url(self) -> str:
        """URL of the API's root, with a trailing slash."""
        scheme = "https" if self.tls_cert else "http"
        return f"{scheme}://{bracketed(self.host)}:{self.port}/"


def bracketed(host: str) -> str:
    """A host as addresses with a port write it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
