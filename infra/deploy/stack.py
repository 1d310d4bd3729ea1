"""The stack: what state it is in, what would change, and the change itself, followed until it is over."""

import time

from botocore.exceptions import ClientError, WaiterError

from aws import code_of
from say import say, stop

READY = {
    None,
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "REVIEW_IN_PROGRESS",
}
NEW = {None, "REVIEW_IN_PROGRESS"}
# What holds the tenants' data, or is the way to it: never to be replaced or removed by a deploy.
KEPT = {"Table", "WrapKey"}
MARK = "leasehold:deployment"


class Stack:
    """The stack of a stage."""

    def __init__(self, account, stage):
        self.account = account
        self.stage = stage
        self.name = stage.stack
        self.cloudformation = account.client("cloudformation")

    def describe(self):
        """The stack as CloudFormation tells it; none when there is none."""
        try:
            return self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if code_of(error) == "ValidationError" and "does not exist" in str(error):
                return None
            raise

    def status(self):
        found = self.describe()
        return found["StackStatus"] if found else None

    def outputs(self):
        return {output["OutputKey"]: output["OutputValue"] for output in (self.describe() or {}).get("Outputs", [])}

    def parameters(self):
        return {p["ParameterKey"]: p["ParameterValue"] for p in (self.describe() or {}).get("Parameters", [])}

    def check_ready(self):
        """Stops unless a change may begin."""
        status = self.status()
        if status is not None and status.endswith("_IN_PROGRESS") and status not in READY:
            say(f"The stack {self.name} is being changed ({status}); waiting until that is over.")
            status = self.follow()
        if status in READY:
            return
        name = self.stage.name
        if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"):
            stop(
                f"The stack {self.name} failed when it was first made and was rolled back ({status}); nothing can be "
                f"deployed onto what is left.\n{self.reasons()}\n"
                f"`make destroy STAGE={name}` removes it, then deploy again. Nothing was changed."
            )
        if status == "UPDATE_ROLLBACK_FAILED":
            stop(
                f"The stack {self.name} could not be rolled back ({status}).\n{self.reasons()}\nMend the cause, then "
                f"`aws cloudformation continue-update-rollback --stack-name {self.name}`. Nothing was changed."
            )
        stop(f"The stack {self.name} is in state {status}. Nothing was changed.\n{self.reasons()}")

    def reasons(self):
        """What CloudFormation says of the last failures."""
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
        shown = [f"  {e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}" for e in failed]
        return "\n".join(reversed(shown[-5:]))

    def propose(self, template_url, parameters):
        """Makes a change set and waits for it. Its id and changes; none when there is nothing to change."""
        kind = "CREATE" if self.status() in NEW else "UPDATE"
        made = self.cloudformation.create_change_set(
            StackName=self.name,
            ChangeSetName=f"deploy-{time.time_ns()}",
            ChangeSetType=kind,
            TemplateURL=template_url,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in sorted(parameters.items())],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            Tags=[{"Key": MARK, "Value": self.stage.name}],
            # The table outlives its stack: a stack that is made anew takes it up again.
            ImportExistingResources=True,
        )
        try:
            self.cloudformation.get_waiter("change_set_create_complete").wait(
                StackName=self.name,
                ChangeSetName=made["Id"],
                WaiterConfig={"Delay": max(1, int(self.account.pause)), "MaxAttempts": 150},
            )
        except WaiterError:
            why = self.cloudformation.describe_change_set(StackName=self.name, ChangeSetName=made["Id"])
            self.discard(made["Id"])
            reason = why.get("StatusReason", "")
            if "didn't contain changes" in reason or "No updates" in reason:
                return None
            stop(f"CloudFormation refuses the change: {reason}\nNothing was changed.")
        except KeyboardInterrupt:
            self.discard(made["Id"])
            raise
        pages = self.cloudformation.get_paginator("describe_change_set")
        changes = [
            change["ResourceChange"]
            for page in pages.paginate(StackName=self.name, ChangeSetName=made["Id"])
            for change in page["Changes"]
        ]
        return (made["Id"], changes) if changes else self.discard(made["Id"])

    def discard(self, change_set):
        """Takes a change set back, and the empty stack that CloudFormation made for it."""
        self.cloudformation.delete_change_set(StackName=self.name, ChangeSetName=change_set)
        if self.status() == "REVIEW_IN_PROGRESS":
            self.cloudformation.delete_stack(StackName=self.name)

    def execute(self, change_set):
        """Carries a change set out and follows it; stops when it fails."""
        seen = self.events()
        self.cloudformation.execute_change_set(StackName=self.name, ChangeSetName=change_set)
        try:
            status = self.follow(seen)
        except KeyboardInterrupt:
            stop("\nCloudFormation goes on without us; the same command again takes up from there.")
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"):
            stop(f"The deploy failed and was rolled back ({status}):\n{self.reasons()}")

    def events(self):
        try:
            pages = self.cloudformation.get_paginator("describe_stack_events").paginate(StackName=self.name)
            return {event["EventId"] for page in pages for event in page["StackEvents"]}
        except ClientError:
            return set()

    def follow(self, seen=()):
        """Shows what happens until it is over; the state it ended in."""
        seen = set(seen) or self.events()
        while True:
            try:
                recent = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
            except ClientError:
                recent = []
            for event in reversed([event for event in recent if event["EventId"] not in seen]):
                seen.add(event["EventId"])
                reason = event.get("ResourceStatusReason", "")
                if event["ResourceStatus"].endswith(("COMPLETE", "FAILED")):
                    say(f"  {event['ResourceStatus']:<24} {event['LogicalResourceId']} {reason}".rstrip())
            status = self.status()
            if status is None or not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(self.account.pause)

    def delete(self):
        """Deletes the stack and follows that; stops when something of it stays."""
        if self.status() is None:
            return
        seen = self.events()
        self.cloudformation.delete_stack(StackName=self.name)
        status = self.follow(seen)
        if status not in (None, "DELETE_COMPLETE"):
            stop(f"The stack {self.name} was not deleted ({status}):\n{self.reasons()}")


def show(changes):
    """Prints changes as a table; stops at one that would lose data."""
    for change in sorted(changes, key=lambda change: (change["Action"], change["LogicalResourceId"])):
        replaced = {"True": "replaced", "Conditional": "perhaps replaced"}.get(change.get("Replacement", ""), "")
        what = f"{change['LogicalResourceId']:<28} {change['ResourceType']:<36} {replaced}"
        say(f"  {change['Action']:<8} {what}".rstrip())
    lost = [
        change["LogicalResourceId"]
        for change in changes
        if change["LogicalResourceId"] in KEPT and (change["Action"] == "Remove" or change.get("Replacement") == "True")
    ]
    if lost:
        stop(f"This would replace or remove {', '.join(lost)}, which hold the tenants' data. Nothing was changed.")
