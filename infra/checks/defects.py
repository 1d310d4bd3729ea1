"""The known-bad set: mistakes that somebody will make one day, each with the check that must catch it.

Each is planted in a copy of the template as it is written, so that it takes the way that a mistake would take.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import template


class Defect(NamedTuple):
    """A mistake."""

    name: str
    check: str
    plant: Callable[[dict], None]


def planted(defect):
    """The template with the mistake in it."""
    source = copy.deepcopy(template.load())
    before = copy.deepcopy(source)
    defect.plant(source["Resources"])
    assert source != before, f"{defect.name}: changes nothing"
    return source


def properties(resources, name):
    return resources[name]["Properties"]


def statements(resources, name):
    return properties(resources, name)["PolicyDocument"]["Statement"]


def statement(resources, name, action):
    """The statement of a policy that allows an action."""
    for one in statements(resources, name):
        if action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"]):
            return one
    raise KeyError(action)


def allow(resources, name, action, resource="*"):
    statements(resources, name).append({"Effect": "Allow", "Action": action, "Resource": resource})


def keys(patterns):
    def plant(resources):
        one = statement(resources, "LoginData", "dynamodb:Query")
        one["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"] = patterns

    return plant


def change(name, *path):
    """Sets the last but one of `path` to the last, below a resource's properties."""

    def plant(resources):
        at = properties(resources, name)
        for step in path[:-2]:
            at = at[step]
        at[path[-2]] = path[-1]

    return plant


def without(name, *path):
    def plant(resources):
        at = properties(resources, name)
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return plant


def open_sample(resources):
    route = properties(resources, "SampleMeRoute")
    route.pop("AuthorizationType")
    route.pop("AuthorizerId")


def authorizer(member, value):
    def plant(resources):
        properties(resources, "Authorizer")[member] = value

    return plant


def alarm(namespace, metric):
    def plant(resources):
        properties(resources, "Reuse").update({"Namespace": namespace, "MetricName": metric})

    return plant


def misspell(name, action, misspelt):
    def plant(resources):
        one = statement(resources, name, action)
        actions = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
        one["Action"] = [misspelt if each == action else each for each in actions]

    return plant


def misspelt_key(resources):
    condition = statement(resources, "RefreshData", "kms:Sign")["Condition"]["StringEquals"]
    condition["kms:SigningAlgorithms"] = condition.pop("kms:SigningAlgorithm")


def misspelt_global_key(resources):
    condition = statement(resources, "RefreshData", "kms:Sign")["Condition"]["StringEquals"]
    condition["aws:ResourcesTag/leasehold:stage"] = condition.pop("aws:ResourceTag/leasehold:stage")


def every_account(resources):
    role = properties(resources, "LoginTenantRole")["AssumeRolePolicyDocument"]["Statement"][0]
    role["Principal"] = {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}


def any_tenant(resources):
    del properties(resources, "LoginTenantRole")["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]


def untagged_sign(resources):
    del statement(resources, "LoginData", "kms:Sign")["Condition"]["StringEquals"]["aws:ResourceTag/leasehold:tenant"]


def unpinned_sign(resources):
    del statement(resources, "LoginData", "kms:Sign")["Condition"]["StringEquals"]["kms:SigningAlgorithm"]


def untagged_key(resources):
    del statement(resources, "OperatorData", "kms:CreateKey")["Condition"]["StringLike"]


def account_decrypts(resources):
    properties(resources, "WrapKey")["KeyPolicy"]["Statement"][0]["Action"].append("kms:Decrypt")


def shared_role(resources):
    properties(resources, "JwksFunction")["Role"] = {"Fn::GetAtt": ["RevokeRole", "Arn"]}


def managed_policy(resources):
    properties(resources, "JwksRole")["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/AdministratorAccess"]


def whole_table(resources):
    statement(resources, "RevokeData", "dynamodb:Query")["Resource"] = "*"


def table_of_any_name(resources):
    statement(resources, "RevokeData", "dynamodb:Query")["Resource"] = {
        "Fn::Sub": "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/leasehold-*"
    }


def not_isolated(resources):
    del properties(resources, "RefreshFunction")["Environment"]["Variables"]["TENANT_ROLE"]


def no_log_end(resources):
    del properties(resources, "LoginLog")["RetentionInDays"]


def wide_open_permission(resources):
    del properties(resources, "LoginPermission")["SourceArn"]


def no_runbook(resources):
    properties(resources, "ApiErrors")["AlarmDescription"] = "The API answers 5xx."


TENANT = "${aws:PrincipalTag/tenant}"
SCAN = {"Fn::GetAtt": ["Table", "Arn"]}
NOTHING = {"Fn::GetAtt": ["Tabel", "Arn"]}

DEFECTS = [
    Defect("jwks may sign", "rights", lambda r: allow(r, "JwksData", "kms:Sign")),
    Defect("jwks may sign, in the table", "policy", lambda r: allow(r, "JwksData", "kms:Sign")),
    Defect("kms:*", "rights", lambda r: allow(r, "LoginData", "kms:*")),
    Defect("operator may sign", "rights", lambda r: allow(r, "OperatorData", "kms:Sign")),
    Defect("login may make keys", "rights", lambda r: allow(r, "LoginData", "kms:CreateKey")),
    Defect("signing with another tenant's key", "rights", untagged_sign),
    Defect("signing by any algorithm", "rights", unpinned_sign),
    Defect("keys without a tenant's tag", "rights", untagged_key),
    Defect("table Resource *", "rights", whole_table),
    Defect("tables of any stage", "rights", table_of_any_name),
    Defect("Scan", "rights", lambda r: allow(r, "RevokeData", "dynamodb:Scan", SCAN)),
    Defect("LeadingKeys T#x*", "rights", keys([f"T#{TENANT}*"])),
    Defect("LeadingKeys T#x*, beside the right ones", "rights", keys([f"T#{TENANT}", f"T#{TENANT}#*", "T#x*"])),
    Defect(
        "calls without LeadingKeys",
        "rights",
        lambda r: statement(r, "LoginData", "dynamodb:Query")["Condition"].pop("Null"),
    ),
    Defect("any role becomes the tenant role", "rights", every_account),
    Defect("the tenant role without a tenant", "rights", any_tenant),
    Defect("the account decrypts wrapped keys", "rights", account_decrypts),
    Defect("a managed policy", "rights", managed_policy),
    Defect("any API invokes login", "rights", wide_open_permission),
    Defect(
        "PITR off", "table", change("Table", "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled", False)
    ),
    Defect("TTL missing", "table", without("Table", "TimeToLiveSpecification")),
    Defect("TTL on another attribute", "table", change("Table", "TimeToLiveSpecification", "AttributeName", "expires")),
    Defect("the table can be deleted", "table", change("Table", "DeletionProtectionEnabled", False)),
    Defect("the table goes with the stack", "table", lambda r: r["Table"].update(DeletionPolicy="Delete")),
    Defect("an index", "table", change("Table", "GlobalSecondaryIndexes", [])),
    Defect("sample route without authorizer", "authorizer", open_sample),
    Defect("authorizer TTL beyond the promise", "authorizer", authorizer("AuthorizerResultTtlInSeconds", 300)),
    Defect(
        "authorizer answers by token alone",
        "authorizer",
        authorizer("IdentitySource", ["$request.header.Authorization"]),
    ),
    Defect(
        "authorizer answers for every method of a path",
        "authorizer",
        authorizer("IdentitySource", ["$request.header.Authorization", "$context.path"]),
    ),
    Defect("misspelt action", "parliament", misspell("RefreshData", "kms:Sign", "kms:Sing")),
    Defect("misspelt action of the table", "parliament", misspell("LoginData", "dynamodb:Query", "dynamodb:Querry")),
    Defect("misspelt condition key", "parliament", misspelt_key),
    Defect("misspelt global condition key", "parliament", misspelt_global_key),
    Defect(
        "dangling reference",
        "cfn-lint",
        lambda r: statement(r, "JwksData", "dynamodb:BatchGetItem").update(Resource=NOTHING),
    ),
    Defect("unknown runtime", "cfn-lint", change("JwksFunction", "Runtime", "provided.al2032")),
    Defect("misspelt property", "cfn-lint", change("Table", "PointInTimeRecoverySpecifications", {})),
    Defect("alarm on a metric nobody emits", "watching", alarm("Leasehold", "Reuses")),
    Defect("alarm on a metric AWS does not have", "watching", alarm("AWS/Lambda", "Crashes")),
    Defect("alarm without a runbook", "watching", no_runbook),
    Defect("a function without alarm", "watching", lambda r: r.pop("JwksErrors")),
    Defect("two functions with one role", "complete", shared_role),
    Defect("requests not held to their tenant", "complete", not_isolated),
    Defect("a log that is kept for ever", "complete", no_log_end),
    Defect("no access log", "complete", without("HttpApiStage", "AccessLogSettings")),
    Defect("no throttle", "complete", without("HttpApiStage", "DefaultRouteSettings")),
    Defect("no point-in-time recovery, by checkov", "checkov", without("Table", "PointInTimeRecoverySpecification")),
]
