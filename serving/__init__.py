"""The classifier on a server of its own: HTTP and gRPC, without Lambda.

Requests become the events that the Lambda function takes, so both answer with the same code.
"""
