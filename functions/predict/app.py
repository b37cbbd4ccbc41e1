"""Entry point of the HTTP function: Lambda calls `app.handler`."""

import gc

gc.disable()  # during the imports, which leave next to nothing to free (docs/performance.md)

from classifier.handler import handler  # noqa: E402 - see above

gc.freeze()  # or the first collection would look at all that was imported
gc.enable()

__all__ = ["handler"]
