"""The command `classifier-on-lambda`, or `python -m serving`."""

import argparse
import ssl
import sys
from pathlib import Path

from serving.options import Options
from serving.server import CannotServe, serve


def main() -> int:
    """Run a subcommand; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="classifier-on-lambda", description="Serve a trained image classifier."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "serve",
        help="serve the page, the API and gRPC",
        description="Serve the page and the API over HTTP, and the Open Inference Protocol over "
        "gRPC. MODEL_STORE_URL, MODEL_NAME and MODEL_VERSION choose the models.",
    )
    add_options(command)
    arguments = parser.parse_args()
    try:
        serve(options_of(command, arguments))
    except CannotServe as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the server's options to a command."""
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s; 0.0.0.0 for all")
    parser.add_argument(
        "--port", type=int, default=8000, help="default: %(default)s; 0 picks a free port"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="processes, one per core; default: %(default)s"
    )
    parser.add_argument("--grpc-port", type=int, help="also serve gRPC on this port")
    parser.add_argument("--tls-cert", type=Path, help="PEM file with the certificate chain")
    parser.add_argument("--tls-key", type=Path, help="PEM file with its key, in PKCS #8")
    parser.add_argument("--no-access-log", action="store_true", help="don't log each request")


def options_of(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Options:
    """The options that a command was given; ends it with a message if they don't fit."""
    if arguments.workers < 1:
        parser.error(f"--workers must be at least 1, got {arguments.workers}")
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        parser.error("--tls-cert and --tls-key must be given together")
    for file in (arguments.tls_cert, arguments.tls_key):
        if file and not file.is_file():
            parser.error(f"there is no file {file}")
    for name in ("port", "grpc_port"):
        port = getattr(arguments, name)
        if port is not None and not 0 <= port <= 65_535:
            parser.error(f"--{name.replace('_', '-')} must be 0 to 65535, got {port}")
    if arguments.tls_cert:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                arguments.tls_cert, arguments.tls_key, password=""
            )
        except (ssl.SSLError, ValueError) as error:
            parser.error(
                f"{arguments.tls_cert} and {arguments.tls_key} are not a certificate and its key: "
                f"expected PEM files without a password ({error})"
            )
    return Options(
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        grpc_port=arguments.grpc_port,
        tls_cert=arguments.tls_cert,
        tls_key=arguments.tls_key,
        access_log=not arguments.no_access_log,
    )


if __name__ == "__main__":
    sys.exit(main())
