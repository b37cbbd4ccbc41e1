"""A deployed stack: its state, its way out of a deploy that was interrupted, its former releases.

A release is the template as it was deployed, which names the uploaded code, and its parameters.
Each is written to the stack's own bucket, under releases/, before the next one takes its place.
"""

import dataclasses
import json
import time
import urllib.parse
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.exceptions

FOLDER = "releases/"
POLL_SECONDS = 5.0
PATIENCE_SECONDS = 3600.0  # a canary of 30 minutes, and back
# States in which nothing of the stack has ever worked: it can only be made anew.
STILLBORN = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}


class StackFailed(Exception):
    """The stack can't be used; the message says why and what to do next."""


@dataclasses.dataclass(frozen=True)
class Release:
    """What was deployed: the template with its parameters."""

    template: str
    parameters: dict[str, str]

    @property
    def name(self) -> str:
        """Git commit and model version, as `make deploy` names it."""
        return self.parameters.get("Release", "unnamed")

    @property
    def overrides(self) -> list[str]:
        """The parameters as the SAM CLI takes them, empty ones in quotes."""
        pairs = sorted(self.parameters.items())
        return [f"{name}={value}" if value else f'{name}=""' for name, value in pairs]


class Stack:
    """A stack of this name in the account and region of the environment; it need not be there."""

    def __init__(self, name: str, region: str | None = None) -> None:
        self.name = name
        session: Any = boto3.Session(region_name=region)
        self._cloudformation = session.client("cloudformation")
        self._s3 = session.client("s3")
        self._keys = session.client("apigateway")

    @property
    def is_local(self) -> bool:
        """Whether its AWS is an emulator on this machine."""
        endpoint = urllib.parse.urlsplit(self._cloudformation.meta.endpoint_url)
        return endpoint.hostname in {"localhost", "127.0.0.1", "::1"}

    def described(self) -> dict[str, Any] | None:
        """What CloudFormation says of it; None if it is not there."""
        try:
            (found,) = self._cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        except botocore.exceptions.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else dict(found)

    def outputs(self) -> dict[str, str]:
        """Its outputs by name.

        Raises StackFailed if it is not there.
        """
        found = self.described()
        if found is None:
            raise StackFailed(f"there is no stack {self.name}; run make deploy first")
        return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}

    def parameters(self) -> dict[str, str]:
        """Its parameters by name; none if it does not exist."""
        parameters = (self.described() or {}).get("Parameters", [])
        return {p["ParameterKey"]: p["ParameterValue"] for p in parameters}

    def api_key(self) -> str | None:
        """The value of its API key; None in another AuthMode."""
        identity = self.outputs().get("ApiKeyId")
        if identity is None:
            return None
        return str(self._keys.get_api_key(apiKey=identity, includeValue=True)["value"])

    def repair(self) -> bool:
        """Bring it to a state that can be deployed to; give whether there is anything of it.

        Waits for what is under way, finishes a rollback that stopped halfway, and removes a stack
        whose creation failed: nothing of it ever worked, and its bucket is kept.
        Raises StackFailed if it does not come to rest.
        """
        status = self._at_rest()
        if status == "UPDATE_ROLLBACK_FAILED":
            self._cloudformation.continue_update_rollback(StackName=self.name)
            status = self._at_rest()
        if status in STILLBORN:
            self._cloudformation.delete_stack(StackName=self.name)
            status = self._at_rest()
        if status and status != "REVIEW_IN_PROGRESS" and not status.endswith("_COMPLETE"):
            raise StackFailed(
                f"stack {self.name} is in {status}; see its events in the CloudFormation console, "
                "put right what they name, then deploy again"
            )
        return status is not None and status != "REVIEW_IN_PROGRESS"

    def current(self) -> Release:
        """What is deployed now.

        Raises StackFailed if there is no stack.
        """
        if self.described() is None:
            raise StackFailed(f"there is no stack {self.name}; run make deploy first")
        body = self._cloudformation.get_template(StackName=self.name, TemplateStage="Original")
        template = body["TemplateBody"]
        text = template if isinstance(template, str) else json.dumps(template)
        return Release(text, self.parameters())

    def remember(self) -> None:
        """Write down what is deployed, for the way back to it."""
        release = self.current()
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        self._s3.put_object(
            Bucket=self.outputs()["ModelBucketName"],
            Key=f"{FOLDER}{stamp}-{release.name}.json",
            Body=json.dumps(dataclasses.asdict(release)).encode(),
            ContentType="application/json",
        )

    def former(self) -> tuple[Release, list[str]]:
        """The release before this one, and the keys to forget once it is deployed.

        What equals the present is no former release: a deploy that failed has written it.
        Raises StackFailed if there is none.
        """
        present = self.current()
        bucket = self.outputs()["ModelBucketName"]
        passed = []
        for key in sorted(self._records(bucket), reverse=True):
            passed.append(key)
            content = json.loads(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            if (release := Release(**content)) != present:
                return release, passed
        raise StackFailed(
            f"stack {self.name} has no release before {present.name}; deploy the one that you want"
        )

    def forget(self, keys: list[str]) -> None:
        """Remove records; the bucket keeps their last content, as it keeps that of all objects."""
        bucket = self.outputs()["ModelBucketName"]
        for key in keys:
            self._s3.delete_object(Bucket=bucket, Key=key)

    def _records(self, bucket: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=FOLDER)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def _at_rest(self) -> str | None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = self.described()
            status = str(found["StackStatus"]) if found else None
            # A change set that was never executed is under review, and stays so.
            if not status or status == "REVIEW_IN_PROGRESS" or not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(POLL_SECONDS)
        raise StackFailed(f"stack {self.name} does not come to rest; look at its events, try again")
