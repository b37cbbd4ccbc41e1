"""The model store: immutable versions, channels, manifests."""
