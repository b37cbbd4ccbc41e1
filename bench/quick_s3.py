"""S3's object operations, as far as reading and writing files takes them, and quick.

    python quick_s3.py FOLDER DELAY_MS     prints its address; stops when its input is closed

FOLDER's files are s3://pictures/…. moto takes 4 ms of a core for a GET, so that what is measured
against it is moto; this takes a twentieth of that, and answers each request DELAY_MS later, as S3
itself takes a while, however many are under way.
"""

import asyncio
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "pictures"
_PAGE = 1000  # keys a listing


class _Objects:
    """What the bucket holds, and what it answers."""

    def __init__(self, folder: Path) -> None:
        files = (path for path in folder.rglob("*") if path.is_file())
        self.contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        parts = urlsplit(target)
        key = unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")
        if method == "GET" and "list-type=2" in parts.query:
            return 200, self._page(parse_qs(parts.query))
        if method == "PUT":
            if "if-none-match" in headers and key in self.contents:
                return 412, b"<Error><Code>PreconditionFailed</Code></Error>"
            self.contents[key] = body
            return 200, b""
        if method == "HEAD" and not key:  # the bucket
            return 200, b""
        if key in self.contents:
            return 200, self.contents[key]
        return 404, b"<Error><Code>NoSuchKey</Code></Error>"

    def _page(self, query: dict[str, list[str]]) -> bytes:
        prefix, after = (query.get(name, [""])[0] for name in ("prefix", "continuation-token"))
        keys = sorted(key for key in self.contents if key.startswith(prefix) and key > after)
        found = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.contents[key])}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys[:_PAGE]
        )
        more = ""
        if len(keys) > _PAGE:
            token = escape(keys[_PAGE - 1])
            more = f"<NextContinuationToken>{token}</NextContinuationToken>"
        truncated = str(bool(more)).lower()
        return (
            f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{found}"
            "</ListBucketResult>"
        ).encode()


async def _serve(folder: Path, delay: float) -> None:
    objects = _Objects(folder)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                request, *lines = head.decode().split("\r\n")
                method, target, _ = request.split(" ")
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                if "expect" in headers:  # boto3 waits a second for this before it sends a body
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                await asyncio.sleep(delay)
                status, found = objects.answer(method, target, headers, body)
                writer.write(
                    f'HTTP/1.1 {status} -\r\nContent-Length: {len(found)}\r\nETag: "e"\r\n'
                    "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n".encode()
                )
                writer.write(b"" if method == "HEAD" else found)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - who started it reads it
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), float(sys.argv[2]) / 1000))
