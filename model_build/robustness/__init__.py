"""How the service reads pictures as people send them, numbers, corruptions, and what is no digit."""
