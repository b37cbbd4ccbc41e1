"""Run MiniStack in its own environment: python -P ministack.py CERTIFICATE HTTPS HTTP...

Serves TLS on the first address, with a certificate that it generates, and plain HTTP on the others.
Stops with the program that started it, however that one ends: standard input is a pipe that is
never written to, and closes when the parent is gone.
"""

import datetime as dt
import ipaddress
import os
import runpy
import signal
import sys
import threading
from pathlib import Path
from typing import Any

ANY_METHOD = "x-amazon-apigateway-any-method"
BINARY_TYPES = "x-amazon-apigateway-binary-media-types"
GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"
INERT = (  # accepted without effect: no alarm is raised, an alias moves at once, without a hook
    "AWS::CloudWatch::Alarm",  # MiniStack refuses metric math
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::Logs::QueryDefinition",
)


def end_with_parent() -> None:
    """Wait for the end of standard input, then stop this process."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def import_any_methods() -> None:
    """Teach MiniStack's OpenAPI import `x-amazon-apigateway-any-method`.

    Without it, such a route deploys without error and returns 403, "Missing Authentication Token".
    """
    from ministack.services import apigateway_v1  # noqa: PLC0415 - installed only in MiniStack's environment

    import_path_item = apigateway_v1._import_path_item  # noqa: SLF001 - it has no hook for this

    def with_any(api: str, path: str, item: dict[str, Any], *schemes: Any) -> None:
        names = {ANY_METHOD: "any"}
        renamed = {names.get(method, method): operation for method, operation in item.items()}
        import_path_item(api, path, renamed, *schemes)

    apigateway_v1._OPENAPI_HTTP_METHODS.add("any")  # noqa: SLF001
    apigateway_v1._import_path_item = with_any  # noqa: SLF001


def import_extensions() -> None:
    """Teach the import two extensions: an API's binary types and its gateway responses.

    MiniStack supports both as properties of CloudFormation resources, but not in a definition.
    """
    from ministack.services import apigateway_v1  # noqa: PLC0415

    import_rest_api = apigateway_v1._import_rest_api  # noqa: SLF001

    def with_extensions(spec: dict[str, Any], base: dict[str, Any]) -> str:
        api: str = import_rest_api(spec, base | {"binaryMediaTypes": spec.get(BINARY_TYPES, [])})
        for kind, response in spec.get(GATEWAY_RESPONSES, {}).items():
            apigateway_v1._put_gateway_response(api, kind, response)  # noqa: SLF001
        return api

    apigateway_v1._import_rest_api = with_extensions  # noqa: SLF001


def take_inert_resources() -> None:
    """Let stacks contain resources of services that MiniStack does not support."""
    from ministack.services.cloudformation import provisioners  # noqa: PLC0415

    def create(logical_id: str, _properties: Any, stack: str) -> tuple[str, dict[str, Any]]:
        return f"{stack}-{logical_id}", {}

    def update(physical_id: str, *_properties: Any) -> tuple[str, dict[str, Any]]:
        return physical_id, {}

    def delete(_physical_id: str, _properties: Any) -> None:
        pass

    handlers = {"create": create, "update": update, "delete": delete}
    for kind in INERT:
        provisioners._RESOURCE_HANDLERS[kind] = handlers  # noqa: SLF001 - no public hook


def make_certificate(path: Path, host: str) -> None:
    """Write a key and a self-signed certificate for an IP address, valid for a week."""
    from cryptography import x509  # noqa: PLC0415 - only there in its environment
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "MiniStack of this project")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address(host))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.touch(mode=0o600)
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    file, secure, *plain = sys.argv[1:]
    make_certificate(Path(file), secure.rpartition(":")[0])
    take_inert_resources()
    import_any_methods()
    import_extensions()
    threading.Thread(target=end_with_parent, daemon=True).start()
    # No workers: the server runs in this process, and SIGTERM shuts it down cleanly.
    binds = [part for address in plain for part in ("--insecure-bind", address)]
    binds += ["--bind", secure, "--certfile", file, "--keyfile", file]
    sys.argv = ["hypercorn", "--workers", "0", "--keep-alive", "75", *binds, "ministack.app:app"]
    runpy.run_module("hypercorn", run_name="__main__")
