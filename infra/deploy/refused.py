"""What IAM must refuse, tried as each function: an action that another function has, and the tenant role of another.

Runs against an emulator that enforces IAM. A refusal counts only beside a call of the same role that is let through.
"""

from functools import partial

import boto3
from botocore.exceptions import ClientError

import template
from aws import code_of
from say import say

DENIED = {"AccessDenied", "AccessDeniedException"}

# By function: a call that its rights allow, and one that they must not, both of a tenant's requests.
TABLE = {
    "jwks": ("BatchGetItem", "PutItem"),
    "revoke": ("Query", "DeleteItem"),
    "refresh": ("PutItem", "Query"),
    "login": ("Query", "Scan"),
    "admin": ("Query", "Scan"),
    "operator": ("Query", "Scan"),
    "authorizer": ("BatchGetItem", "PutItem"),
    "introspect": ("BatchGetItem", "PutItem"),
}
# Who may sign, and who may make keys: each is refused the other.
KEYS = {
    "jwks": (None, "Sign"),
    "revoke": (None, "Sign"),
    "refresh": ("Sign", "CreateKey"),
    "login": ("Sign", "CreateKey"),
    "admin": ("CreateKey", "Sign"),
    "operator": ("CreateKey", "Sign"),
    "authorizer": (None, "Sign"),
    "introspect": (None, "Sign"),
}
# Functions that hold no data have nothing to be tried.
NO_DATA = {"sample"}
TENANT = "smoke"
TAGS = [{"Key": "tenant", "Value": TENANT}]


def enter(sts, role, tags):
    """Assumes a tenant role."""
    return sts.assume_role(RoleArn=role, RoleSessionName="refused", Tags=tags)


class Refusals:
    """A run, which counts what it finds."""

    def __init__(self, account, stage):
        self.account, self.stage = account, stage
        self.done = self.failed = 0

    def check(self, holds, what):
        self.done += 1
        self.failed += not holds
        say(f"  {'ok  ' if holds else 'FAIL'}  {what}")

    def clients(self, credentials):
        session = boto3.Session(
            credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"], self.account.region
        )
        return {service: session.client(service) for service in ("dynamodb", "kms", "sts")}

    def configuration(self, short):
        name = f"leasehold-{self.stage.name}-{short}"
        return self.account.client("lambda").get_function_configuration(FunctionName=name)

    def as_function(self, short):
        """Credentials of a function's own role. Lambda alone may assume it, so the way there is opened and closed."""
        iam = self.account.client("iam")
        role = self.configuration(short)["Role"]
        name = role.rsplit("/", 1)[-1]
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        statement = {"Effect": "Allow", "Principal": {"AWS": self.account.arn}, "Action": "sts:AssumeRole"}
        opened = {**trust, "Statement": [*trust["Statement"], statement]}
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=template.json_text(opened))
        try:
            return self.account.client("sts").assume_role(RoleArn=role, RoleSessionName="refused")["Credentials"]
        finally:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=template.json_text(trust))

    def outcome(self, call):
        """`denied`, or whatever else becomes of a call."""
        try:
            call()
        except ClientError as error:
            return "denied" if code_of(error) in DENIED else code_of(error)
        return "allowed"

    def table_call(self, clients, operation):
        table = f"leasehold-{self.stage.name}"
        key = {"PK": {"S": f"T#{TENANT}"}, "SK": {"S": "refused"}}
        client = clients["dynamodb"]
        return {
            "BatchGetItem": lambda: client.batch_get_item(RequestItems={table: {"Keys": [key]}}),
            "PutItem": lambda: client.put_item(TableName=table, Item=key),
            "DeleteItem": lambda: client.delete_item(TableName=table, Key=key),
            "Query": lambda: client.query(
                TableName=table, KeyConditionExpression="PK = :pk", ExpressionAttributeValues={":pk": key["PK"]}
            ),
            "Scan": lambda: client.scan(TableName=table),
        }[operation]

    def key_call(self, clients, operation):
        client = clients["kms"]
        tags = [
            {"TagKey": "leasehold:stage", "TagValue": self.stage.name},
            {"TagKey": "leasehold:tenant", "TagValue": TENANT},
        ]
        make = {"KeyUsage": "SIGN_VERIFY", "KeySpec": "ECC_NIST_P256", "Tags": tags}
        return {
            "CreateKey": lambda: client.create_key(**make),
            "Sign": lambda: client.sign(
                KeyId=self.key, Message=b"0" * 32, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
            ),
        }[operation]

    def run(self):
        """All of it; how many checks failed."""
        made = self.key_call({"kms": self.account.client("kms")}, "CreateKey")()
        self.key = made["KeyMetadata"]["Arn"]
        tenant_roles = {}
        for short in sorted(template.functions(template.load()).values()):
            if short in NO_DATA:
                continue
            own = self.clients(self.as_function(short))
            role = self.configuration(short)["Environment"]["Variables"].get("TENANT_ROLE")
            if role is None:
                self.rights(short, own)
                continue
            tenant_roles[short] = (role, own["sts"])
            read = self.outcome(self.table_call(own, "BatchGetItem"))
            self.check(read == "denied", f"{short} reads nothing as itself")
            self.rights(short, self.clients(enter(own["sts"], role, TAGS)["Credentials"]))
            untagged = self.outcome(partial(enter, own["sts"], role, []))
            self.check(untagged == "denied", f"{short} enters no tenant without naming it")
        shorts = sorted(tenant_roles)
        for short, other in zip(shorts, [*shorts[1:], shorts[0]], strict=True):
            crossed = self.outcome(partial(enter, tenant_roles[short][1], tenant_roles[other][0], TAGS))
            self.check(crossed == "denied", f"{short} does not become {other}")
        say(f"{self.done - self.failed} passed, {self.failed} failed")
        return self.failed

    def rights(self, short, clients):
        """One call that is let through, and one that is refused, of the table and of KMS."""
        for allowed, refused, call in ((*TABLE[short], self.table_call), (*KEYS[short], self.key_call)):
            if allowed:
                let = self.outcome(call(clients, allowed))
                self.check(let == "allowed", f"{short} may {allowed} ({let})")
            self.check(self.outcome(call(clients, refused)) == "denied", f"{short} may not {refused}")
