"""An image classifier behind HTTP: event → image → sample → probabilities → answer."""
