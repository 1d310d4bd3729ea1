"""Every right in the template as a table: who, when, action, resource, condition. One line each, so that a widening is
a line in a review.

"When" is the setting of TenantIsolation under which the right is there; "always" is under both.
"""

from collections import defaultdict
from typing import NamedTuple

from template import Resolver

MODES = ("enforce", "share")

# What is the deployer's or AWS's to fill in, as it shows in the table.
# The table has what a stage may leave out.
PLACES = {"Stage": "<stage>", "SampleApi": "on"}
KNOWN = {
    "AWS::Partition": "aws",
    "AWS::Region": "<region>",
    "AWS::AccountId": "<account>",
    "AWS::URLSuffix": "amazonaws.com",
}


class Right(NamedTuple):
    """One action that somebody has on something."""

    who: str
    effect: str
    action: str
    resource: str
    condition: str


def resolver(template, mode, places=None, known=None):
    return Resolver(template, {**(places or PLACES), "TenantIsolation": mode}, known or KNOWN)


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(document):
    return listed(document["Statement"])


def condition(statement):
    """A condition block as one line: `StringEquals aws:X = a, b; …`."""
    lines = []
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            lines.append(f"{operator} {key} = {', '.join(str(value) for value in listed(values))}")
    return "; ".join(lines)


def names(resolve):
    """What roles and other principals are called: a role by the function that has it."""
    called = {}
    for _, function in resolve.resources("AWS::Lambda::Function"):
        short = function["Properties"]["FunctionName"].rsplit("-", 1)[-1]
        called[function["Properties"]["Role"]] = short
        tenant = function["Properties"].get("Environment", {}).get("Variables", {}).get("TENANT_ROLE")
        if tenant:
            called[tenant] = f"{short}, in a tenant"
    return called


def role_of(reference):
    """`${LoginRole.Arn}` and `${LoginRole}` are the same role."""
    return reference.removesuffix(".Arn}").rstrip("}") + ".Arn}" if reference.startswith("${") else reference


def plain(text):
    """A reference to a resource of the template by its logical id alone."""
    if text.startswith("${") and text.endswith("}"):
        return text[2:-1].removesuffix(".Arn")
    return text


def documents(resolve):
    """Every policy document that says what a role may do: role, document."""
    for name, role in resolve.resources("AWS::IAM::Role"):
        for policy in role["Properties"].get("Policies", []):
            yield f"${{{name}.Arn}}", policy["PolicyDocument"]
    for _, policy in resolve.resources("AWS::IAM::Policy"):
        for role in policy["Properties"]["Roles"]:
            yield role_of(role), policy["Properties"]["PolicyDocument"]


def rights(template, mode):
    """All rights of the template under a setting of TenantIsolation."""
    resolve = resolver(template, mode)
    called = names(resolve)
    found = []

    def add(who, statement, resource=None):
        kind = "NotAction" if "NotAction" in statement else "Action"
        for action in listed(statement[kind]):
            shown = action if kind == "Action" else f"not {action}"
            for on in [resource] if resource else listed(statement["Resource"]):
                found.append(Right(who, statement["Effect"], shown, plain(on), condition(statement)))

    for role, document in documents(resolve):
        for statement in statements(document):
            add(called.get(role, plain(role)), statement)
    for name, role in resolve.resources("AWS::IAM::Role"):
        for arn in role["Properties"].get("ManagedPolicyArns", []):
            who = called.get(f"${{{name}.Arn}}", name)
            found.append(Right(who, "Allow", f"everything in {arn}", "", ""))
        for statement in statements(role["Properties"]["AssumeRolePolicyDocument"]):
            for principal in principals(statement):
                add(called.get(principal, plain(principal)), statement, called.get(f"${{{name}.Arn}}", name))
    for name, key in resolve.resources("AWS::KMS::Key"):
        for statement in statements(key["Properties"]["KeyPolicy"]):
            for principal in principals(statement):
                add(f"{called.get(principal, plain(principal))} (by {name})", statement, name)
    for _, permission in resolve.resources("AWS::Lambda::Permission"):
        p = permission["Properties"]
        source = f"ArnLike aws:SourceArn = {p['SourceArn']}" if "SourceArn" in p else ""
        found.append(Right(p["Principal"], "Allow", p["Action"], plain(p["FunctionName"]), source))
    return found


def principals(statement):
    principal = statement["Principal"]
    if isinstance(principal, str):
        return [principal]
    return [one for some in principal.values() for one in listed(some)]


def table(template):
    """The whole table as text."""
    when = defaultdict(list)
    for mode in MODES:
        for right in rights(template, mode):
            if mode not in when[right]:
                when[right].append(mode)
    rows = [("WHO", "WHEN", "ACTION", "RESOURCE", "CONDITION")]
    for right, modes in sorted(when.items(), key=lambda item: (item[0].who, item[0].action, item[1], item[0])):
        action = right.action if right.effect == "Allow" else f"DENY {right.action}"
        there = "always" if len(modes) == len(MODES) else modes[0]
        rows.append((right.who, there, action, right.resource, right.condition))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[4]]).rstrip())
    head = "# Every right in infra/template.yaml. Written by `make policy`, compared by `make check-infra`."
    return "\n".join([head, "", *lines, ""])
