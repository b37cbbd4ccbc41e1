"""Networks and the techniques that change them while they are trained."""
