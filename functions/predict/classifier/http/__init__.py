"""Events in, responses out."""

# What one request may carry. Lambda accepts 6 MB per call, base64 and envelope included.
MAX_BODY = 4 * 1024 * 1024  # bytes
MAX_IMAGES = 32
