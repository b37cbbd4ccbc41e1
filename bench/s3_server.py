"""S3 on loopback with one model store in it: python s3_server.py STORE prints its address.

moto over HTTP in its own process, so that its work counts toward no cold start. It stops when its
standard input is closed.
"""

import sys
import threading
from pathlib import Path
from typing import Any

BUCKET = "models"


def main(store: Path) -> None:
    """Serve the files of a folder as s3://models/… until standard input ends."""
    from moto import mock_aws
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # S3 keeps connections open

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
            pass

    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    with mock_aws():
        import boto3

        client = boto3.client(
            "s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        client.create_bucket(Bucket=BUCKET)
        for file in sorted(store.rglob("*")):
            if file.is_file():
                key = file.relative_to(store).as_posix()
                client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"http://127.0.0.1:{server.port}", flush=True)  # noqa: T201 - who started it reads it
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
