"""How the service reads pictures as people send them, and what it says of those of no digit."""
