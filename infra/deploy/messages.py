"""What the scripts say when something is missing or in the way, and that they change nothing then. Runs them as a
person would, against an emulator where one is needed.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import boto3

from emulator import Emulator
from say import say

MAIN = Path(__file__).resolve().parent / "main.py"
OPERATIONS = MAIN.parents[2] / "shared" / "docs" / "operations.md"
REGION = "eu-central-1"
STACK = "leasehold-dev"
# Fails when it is made: the emulator knows no alarms on metric math.
BROKEN = {
    "Resources": {
        "A": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "ComparisonOperator": "GreaterThanThreshold",
                "EvaluationPeriods": 1,
                "Threshold": 1,
                "Metrics": [{"Id": "sum", "Expression": "SUM(METRICS())"}],
            },
        }
    }
}


class Messages:
    """A run, which counts what it finds."""

    def __init__(self):
        self.done = self.failed = 0

    def expect(self, what, command, environment, *parts, code=1):
        """Runs a command; it must end with this code and say all of these parts, in as many lines as a person reads."""
        ran = subprocess.run(
            [sys.executable, MAIN, command],
            env={
                "HOME": "/nonexistent",
                "AWS_EC2_METADATA_DISABLED": "true",
                "PATH": os.environ["PATH"],
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = ran.stdout + ran.stderr
        missing = [part for part in parts if part not in said]
        holds = ran.returncode == code and not missing and "Traceback" not in said
        self.check(holds, what)
        if not holds:
            say(f"        code {ran.returncode}, without {missing}: {said[-600:]}")

    def check(self, holds, what):
        self.done += 1
        self.failed += not holds
        say(f"  {'ok  ' if holds else 'FAIL'}  {what}")

    def without_aws(self):
        self.expect("no stage", "deploy", {}, "Which stage?", "dev")
        self.expect("a stage that there is not", "deploy", {"STAGE": "prd"}, "no stage 'prd'", "dev, prod")
        self.expect("a stage that can't be", "deploy", {"STAGE": "../prod"}, "can't be a stage")
        self.expect("no tool", "deploy", {"STAGE": "dev", "PATH": "/nonexistent"}, "cargo is needed", "rustup.rs")
        for command in ("deploy", "plan", "smoke", "logs", "rollback", "destroy"):
            self.expect(f"no credentials, {command}", command, {"STAGE": "dev"}, "no AWS credentials", "AWS_PROFILE")
        self.expect("a profile that there is not", "plan", {"STAGE": "dev", "AWS_PROFILE": "x"}, "could not be found")
        self.expect(
            "no AWS in reach", "plan", {"STAGE": "dev", **KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "can't"
        )
        self.expect("no number", "cost", {"USERS": "many"}, "USERS=many is no number")
        shown = OPERATIONS.read_text().split("```text\n")[1].split("\n```")[0].splitlines()
        self.expect("the costs that operations.md shows", "cost", {}, *shown, code=0)

    def with_aws(self, emulator):
        here = {"STAGE": "dev", **emulator.environment()}
        stranger = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x" * 40}
        self.expect("credentials of nobody", "plan", {**here, **stranger}, "does not know these credentials")
        self.expect("nothing to smoke", "smoke", here, "dev is not deployed")
        self.expect("nothing to destroy", "destroy", here, "There is nothing of dev", code=0)
        session = boto3.Session("test", "test", region_name=REGION)
        cloudformation = session.client("cloudformation", endpoint_url=emulator.url)
        cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(BROKEN))
        while status(cloudformation).endswith("_IN_PROGRESS"):
            time.sleep(0.2)
        self.check(status(cloudformation) == "ROLLBACK_COMPLETE", f"a stack that failed ({status(cloudformation)})")
        before = log(cloudformation)
        for command in ("deploy", "plan"):
            parts = ("failed when it was first made", "make destroy STAGE=dev", "Nothing was changed")
            self.expect(f"a stack that was rolled back, {command}", command, here, *parts)
        self.expect("destroy with nobody there", "destroy", here, "CONFIRM=dev")
        self.expect("destroy by another name", "destroy", {**here, "CONFIRM": "prod"}, "nothing was changed")
        self.check(log(cloudformation) == before, "nothing was changed by any of these")
        self.expect("destroy by its name", "destroy", {**here, "CONFIRM": "dev"}, "dev is gone", code=0)


KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def status(cloudformation):
    return cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]


def log(cloudformation):
    """Everything that CloudFormation knows to have happened to the stack, change sets included."""
    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    sets = cloudformation.list_change_sets(StackName=STACK)["Summaries"]
    return [event["EventId"] for event in events], [one["ChangeSetId"] for one in sets]


def main():
    messages = Messages()
    messages.without_aws()
    with Emulator(auth=True) as emulator:
        messages.with_aws(emulator)
    say(f"{messages.done - messages.failed} passed, {messages.failed} failed")
    return min(messages.failed, 1)


if __name__ == "__main__":
    sys.exit(main())
