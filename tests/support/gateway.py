"""The server in this process, with a handler of the test's in place of the function's."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from granian.constants import Interfaces
from granian.server.embed import Server

from serving.application import Application, Handler
from serving.options import Options
from tools.serve import Gateway


@contextlib.contextmanager
def answering(handler: Handler, *, stage: str = "", key: str = "") -> Iterator[str]:
    """Serve a handler behind the stack's stage and key, and yield the API's URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        options = Options(port=probe.getsockname()[1])
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(1) as turn:
        application = Application(handler, turn, log=False)
        asyncio.set_event_loop(loop)
        server = Server(
            Gateway(application, stage, key),
            address=options.host,
            port=options.port,
            interface=Interfaces.ASGI,
            log_enabled=False,
        )
        thread = threading.Thread(target=_run, args=(loop, server))
        thread.start()
        try:
            _wait_for(options.port)
            yield f"{options.url}{stage}/" if stage else options.url
        finally:
            loop.call_soon_threadsafe(server.stop)
            thread.join()
            loop.close()


def _run(loop: asyncio.AbstractEventLoop, server: Server) -> None:
    asyncio.set_event_loop(loop)
    loop.run_until_complete(server.serve())


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on port {port}")
