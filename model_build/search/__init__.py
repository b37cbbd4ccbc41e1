"""Every recipe built and measured beside the others."""
