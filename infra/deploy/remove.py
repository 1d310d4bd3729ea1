"""Removes a stage with all that it holds. Nothing of it can be brought back, but for keys within their waiting time."""

from botocore.exceptions import ClientError

from aws import code_of
from package import Bucket
from say import say, step, stop, typed
from stack import Stack

# As long as KMS lets us change our minds.
KEY_DAYS = 30


def signing_keys(account, stage):
    """The keys that carry the stage's tag, and its wrapping key, unless they are on their way already."""
    kms = account.client("kms")
    found = []
    for page in kms.get_paginator("list_keys").paginate():
        for key in page["Keys"]:
            try:
                tags = {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]}
            except ClientError as error:
                if code_of(error) in ("AccessDeniedException", "NotFoundException"):
                    continue
                raise
            if stage.name not in (tags.get("leasehold:stage"), tags.get("leasehold:deployment")):
                continue
            if kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] != "PendingDeletion":
                found.append(key["KeyId"])
    return found


def table_exists(account, name):
    try:
        account.client("dynamodb").describe_table(TableName=name)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return False
        raise
    return True


def destroy(account, stage):
    """Shows what there is, asks for the stage's name, removes it. Begun again, it goes on where it was."""
    stack, bucket, table = Stack(account, stage), Bucket(account, stage), f"leasehold-{stage.name}"
    status, keys, there = stack.status(), signing_keys(account, stage), table_exists(account, table)
    archives = len(bucket.keys()) if bucket.exists() else 0
    if status is None and not keys and not there and not archives:
        say(f"There is nothing of {stage.name} in account {account.id}, {account.region}.")
        return
    if status and status.endswith("_IN_PROGRESS") and status not in ("DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS"):
        stop(f"The stack {stack.name} is being changed ({status}). Nothing was removed.")
    say(f"In account {account.id}, {account.region}:")
    say(f"  stack {stack.name}: {status or 'gone'}")
    say(f"  table {table}: {'all tenants, users and sessions' if there else 'gone'}")
    say(f"  {len(keys)} KMS keys: disabled now, deleted after {KEY_DAYS} days; until then they can be kept")
    say(f"  {archives} archives and templates in {bucket.name}")
    typed(stage.name, "All of this will be removed.")
    step("Removing the stack")
    stack.delete()
    step("Removing table, keys and archives")
    if there:
        remove_table(account, table)
    kms = account.client("kms")
    for key in keys:
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=KEY_DAYS)
    bucket.remove()
    say(f"{stage.name} is gone.")


def remove_table(account, table):
    dynamodb = account.client("dynamodb")
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
    dynamodb.get_waiter("table_exists").wait(TableName=table)
    dynamodb.delete_table(TableName=table)
    dynamodb.get_waiter("table_not_exists").wait(TableName=table)
