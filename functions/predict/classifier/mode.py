"""How a client asks for its images to be prepared: the query parameter `preprocess`."""

from typing import Literal

type Mode = Literal["auto", "none"]

MODES: tuple[Mode, ...] = ("auto", "none")
