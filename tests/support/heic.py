"""Writing HEIC: import this, and Pillow saves "HEIF". The function has a reader alone."""

from PIL import Image
from pillow_heif import as_plugin

Image.register_save("HEIF", as_plugin._save_heif)
Image.register_extensions("HEIF", [".heic", ".heif"])
