"""What must hold of rights, whatever a reviewer thinks of a change to infra/policy.txt."""

import re

import policy
from policy import MODES, listed

# Who signs tokens and who makes keys. Nobody does both, and nobody else has any right in KMS.
SIGNERS = {"login", "refresh"}
KEEPERS = {"admin", "operator"}
# Functions without a tenant: operator goes over all of them.
NO_TENANT = {"operator"}

DATA_ACTIONS = {
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
}
# What takes no resource: a list, and the creation of a thing that is not there yet.
WITHOUT_RESOURCE = {"kms:ListKeys", "kms:CreateKey", "kms:TagResource"}
ALGORITHMS = {"RSASSA_PKCS1_V1_5_SHA_256", "ECDSA_SHA_256", "ED25519_SHA_512"}
TENANT = "${aws:PrincipalTag/tenant}"


def rights(template):
    """Each function may do its job only: exact actions on exact resources, within a tenant."""
    wrong = []
    for mode in MODES:
        resolve = policy.resolver(template, mode)
        called = policy.names(resolve)
        held = {}
        for role, document in policy.documents(resolve):
            who = called.get(role, policy.plain(role))
            for statement in policy.statements(document):
                held.setdefault(who.split(",")[0], set()).update(listed(statement.get("Action", [])))
                wrong += [f"{who}: {finding}" for finding in statement_rules(who, statement, mode)]
        for who, actions in held.items():
            if {"kms:Sign", "kms:CreateKey"} <= actions:
                wrong.append(f"{who}: signs and makes keys")
        wrong += [
            f"{name}: managed policies"
            for name, role in resolve.resources("AWS::IAM::Role")
            if role["Properties"].get("ManagedPolicyArns")
        ]
        wrong += trusts(resolve, called)
        wrong += key_policies(resolve, called)
        wrong += invocations(resolve)
    return unique(wrong)


def statement_rules(who, statement, mode):
    """One statement of what a role may do."""
    function = who.split(",")[0]
    if unusual := {"NotAction", "NotResource"} & statement.keys():
        yield f"uses {', '.join(unusual)}"
        return
    if statement["Effect"] != "Allow":
        return
    actions, resources = listed(statement["Action"]), listed(statement["Resource"])
    given = conditions(statement)
    for action in actions:
        if "*" in action or "?" in action:
            yield f"{action} is a pattern"
        service = action.split(":")[0].lower()
        if "*" in resources and action not in WITHOUT_RESOURCE:
            yield f"{action} on every resource"
        if service == "dynamodb" and action not in DATA_ACTIONS:
            yield f"{action} is not for functions"
        if service == "dynamodb" and not all(re.search(r"table/[^*]+$|^\$\{Table\.Arn}$", on) for on in resources):
            yield f"{action} on {resources}, which is not the table alone"
        if service == "kms" and function not in SIGNERS | KEEPERS:
            yield f"{action}, but it has no business in KMS"
        if action in ("kms:Sign", "kms:Decrypt") and function not in SIGNERS:
            yield f"{action}, but it does not sign tokens"
        if action in ("kms:CreateKey", "kms:GenerateDataKeyPairWithoutPlaintext") and function not in KEEPERS:
            yield f"{action}, but it does not make keys"
    if any(action.lower().startswith("dynamodb:") for action in actions):
        yield from leading_keys(who, given, mode)
    yield from key_conditions(function, actions, given, mode)


def key_conditions(function, actions, given, mode):
    """The conditions that rights to keys need."""
    tenant_bound = mode == "enforce" and function not in NO_TENANT
    if "kms:Sign" in actions:
        if set(given.get(("StringEquals", "kms:SigningAlgorithm"), [])) != ALGORITHMS:
            yield "kms:Sign without its algorithms pinned"
        yield from tagged(given, "aws:ResourceTag/leasehold", tenant_bound, "kms:Sign")
    if "kms:Decrypt" in actions:
        yield from tagged(given, "kms:EncryptionContext:leasehold", tenant_bound, "kms:Decrypt")
    if {"kms:CreateKey", "kms:TagResource"} & set(actions):
        yield from tagged(given, "aws:RequestTag/leasehold", tenant_bound, "kms:CreateKey")
        if not set(given.get(("ForAllValues:StringEquals", "aws:TagKeys"), ["*"])) <= {
            "leasehold:stage",
            "leasehold:tenant",
        }:
            yield "kms:CreateKey with tags of any name"
    if {"kms:DisableKey", "kms:ScheduleKeyDeletion"} & set(actions):
        yield from tagged(given, "aws:ResourceTag/leasehold", tenant_bound, "an end of a key")


def leading_keys(who, given, mode):
    """Which partitions a statement reaches. `T#x*` would reach the tenants whose names begin with x as well."""
    tenant = {f"T#{TENANT}", f"T#{TENANT}#*"}
    if who.split(",")[0] in NO_TENANT:
        wanted = {"T#*", "TENANTS#*"}
    else:
        wanted = tenant if mode == "enforce" else {"T#*"}
    reached = set(given.get(("ForAllValues:StringLike", "dynamodb:LeadingKeys"), []))
    # The partitions of counts alone: for functions that count what they decide and write nothing else.
    counts = {"T#${aws:PrincipalTag/tenant}#H#*"} if mode == "enforce" else {"T#*#H#*"}
    if reached not in (wanted, counts):
        yield f"dynamodb:LeadingKeys is {sorted(reached) or 'free'}, and must be {sorted(wanted)}"
    if given.get(("Null", "dynamodb:LeadingKeys")) != ["false"]:
        yield "calls without dynamodb:LeadingKeys pass"


def tagged(given, prefix, tenant_bound, what):
    """The stage must be ours and, within a tenant, the tenant the session's. A key that is made has both tags."""
    if given.get(("StringEquals", f"{prefix}:stage")) != [policy.PLACES["Stage"]]:
        yield f"{what} is not held to the stage"
    if tenant_bound and given.get(("StringEquals", f"{prefix}:tenant")) != [TENANT]:
        yield f"{what} is not held to the tenant"
    if (
        not tenant_bound
        and prefix.startswith("aws:RequestTag")
        and given.get(("StringLike", f"{prefix}:tenant")) != ["?*"]
    ):
        yield f"{what} without the tag of a tenant"


def conditions(statement):
    return {
        (operator, key): [str(value) for value in listed(values)]
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    }


def trusts(resolve, called):
    """Who may become whom: Lambda becomes functions, a function becomes its own tenant role and tags the session."""
    for name, role in resolve.resources("AWS::IAM::Role"):
        who = called.get(f"${{{name}.Arn}}")
        if who is None:
            yield f"{name}: a role that no function has"
            continue
        for statement in policy.statements(role["Properties"]["AssumeRolePolicyDocument"]):
            by = {called.get(principal, principal) for principal in policy.principals(statement)}
            if who.endswith(", in a tenant"):
                given = conditions(statement)
                if by != {who.split(",")[0]}:
                    yield f"{name}: assumed by {sorted(by)}"
                if given.get(("StringLike", "aws:RequestTag/tenant")) != ["?*"]:
                    yield f"{name}: assumed without a tenant"
                if given.get(("ForAllValues:StringEquals", "aws:TagKeys")) != ["tenant"]:
                    yield f"{name}: assumed with other tags"
            elif by != {"lambda.amazonaws.com"}:
                yield f"{name}: assumed by {sorted(by)}"


def key_policies(resolve, called):
    """The account manages the wrapping key; signers alone decrypt, makers of keys alone wrap."""
    for name, key in resolve.resources("AWS::KMS::Key"):
        for statement in policy.statements(key["Properties"]["KeyPolicy"]):
            for principal in policy.principals(statement):
                who = called.get(principal, principal)
                function = who.split(",")[0]
                for action in listed(statement["Action"]):
                    if "*" in action:
                        yield f"{name}: {who} has {action}"
                    uses = {"kms:Decrypt": SIGNERS, "kms:GenerateDataKeyPairWithoutPlaintext": KEEPERS}
                    manages = principal.endswith(":root") and not re.search(
                        r"crypt|Generate|Grant$|Sign|Verify|Derive", action
                    )
                    if not manages and function not in uses.get(action, ()):
                        yield f"{name}: {who} has {action}"
                if function in SIGNERS:
                    bound = who.endswith(", in a tenant")
                    for finding in tagged(
                        conditions(statement), "kms:EncryptionContext:leasehold", bound, "kms:Decrypt"
                    ):
                        yield f"{name}: {who}: {finding}"


def invocations(resolve):
    for name, permission in resolve.resources("AWS::Lambda::Permission"):
        if not permission["Properties"].get("SourceArn"):
            yield f"{name}: whoever {permission['Properties']['Principal']} acts for may invoke it"


def unique(findings):
    return list(dict.fromkeys(findings))
