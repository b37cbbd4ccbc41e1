"""Commands behind the Makefile besides the model build: demo, local server, deployment, docs."""
