"""Where the digits of a page are: pages to learn from, and the network that finds them."""
