"""What must hold of the template, rule by rule. Each rule takes the expanded template and returns what is wrong with it
in words; nothing when all is well. Those on rights stand in rights.py.
"""

import json
import re

import policy
from policy import MODES
from rights import NO_TENANT, rights, unique
from template import ROOT, Resolver

# Functions that verify tokens themselves, or need none. Routes to any other need the authorizer.
OWN_DOOR = {"login", "refresh", "revoke", "jwks", "introspect", "admin"}
# Functions that hold no data of ours and so have no right but to their log.
NO_DATA = {"sample"}

# Seconds for which API Gateway may go on using an authorizer's answer: what shared/docs promises of revocation is 5 s,
# of which the authorizer itself takes up to 2 s between polls.
AUTHORIZER_TTL = 1
# The path names the tenant, the route key the method: two methods of a path may ask for different scopes.
IDENTITY = ["$request.header.Authorization", "$context.path", "$context.routeKey"]


def table(template):
    """The table keeps what it is given: backups, protection, expiry, no index."""
    tables = list(Resolver(template, {}).resources("AWS::DynamoDB::Table"))
    if len(tables) != 1:
        return [f"{len(tables)} tables"]
    ((name, resource),) = tables
    properties = resource["Properties"]
    ttl = properties.get("TimeToLiveSpecification", {})
    wanted = {
        "point-in-time recovery is off": properties.get("PointInTimeRecoverySpecification", {}).get(
            "PointInTimeRecoveryEnabled"
        ),
        "nothing expires: no TTL on expires_at": ttl.get("Enabled") is True
        and ttl.get("AttributeName") == "expires_at",
        "it can be deleted": properties.get("DeletionProtectionEnabled"),
        "it goes with the stack": resource.get("DeletionPolicy") == "Retain"
        and resource.get("UpdateReplacePolicy") == "Retain",
        "it is not encrypted with a KMS key": properties.get("SSESpecification", {}).get("SSEEnabled"),
        "it is not on demand": properties.get("BillingMode") == "PAY_PER_REQUEST",
        "it has an index, and reads of those are never consistent": not {
            "GlobalSecondaryIndexes",
            "LocalSecondaryIndexes",
        }
        & properties.keys(),
    }
    return [f"{name}: {what}" for what, holds in wanted.items() if holds is not True]


def authorizer(template):
    """Routes to functions that do not verify for themselves have the authorizer, and its answers are short-lived."""
    resolve = policy.resolver(template, "enforce")
    functions = {
        f"${{{name}.Arn}}": function["Properties"]["FunctionName"].rsplit("-", 1)[-1]
        for name, function in resolve.resources("AWS::Lambda::Function")
    }
    integrations = {
        f"integrations/${{{name}}}": functions.get(integration["Properties"]["IntegrationUri"], "?")
        for name, integration in resolve.resources("AWS::ApiGatewayV2::Integration")
    }
    wrong = []
    for name, route in resolve.resources("AWS::ApiGatewayV2::Route"):
        properties = route["Properties"]
        function = integrations.get(properties.get("Target"), "?")
        guarded = properties.get("AuthorizationType") == "CUSTOM" and properties.get("AuthorizerId")
        if function not in OWN_DOOR and not guarded:
            wrong.append(f"{name}: {properties['RouteKey']} reaches {function} without the authorizer")
    for name, one in resolve.resources("AWS::ApiGatewayV2::Authorizer"):
        properties = one["Properties"]
        ttl = properties.get("AuthorizerResultTtlInSeconds", 300)
        if int(ttl) > AUTHORIZER_TTL:
            wrong.append(f"{name}: its answers are used for {ttl} s, and revocation is promised sooner")
        if int(ttl) > 0 and properties.get("IdentitySource") != IDENTITY:
            kept_by = properties.get("IdentitySource")
            wrong.append(f"{name}: its answers are kept by {kept_by}, not by token, path and route")
        if properties.get("AuthorizerPayloadFormatVersion") != "2.0":
            wrong.append(f"{name}: payload format {properties.get('AuthorizerPayloadFormatVersion')}")
    return wrong


# Metrics of AWS's own that alarms and dashboard use, with their dimensions.
AWS_METRICS = {
    "AWS/ApiGateway": ({"Count", "4xx", "5xx", "Latency", "IntegrationLatency"}, {"ApiId"}),
    "AWS/Lambda": ({"Errors", "Invocations", "Throttles", "ConcurrentExecutions", "Duration"}, {"FunctionName"}),
    "AWS/DynamoDB": (
        {"ReadThrottleEvents", "WriteThrottleEvents", "ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"},
        {"TableName"},
    ),
}
OURS = "Leasehold"


def emitted():
    """The metrics that the functions emit; a test of the code compares the file with the code."""
    lines = (ROOT / "infra" / "metrics.txt").read_text().splitlines()
    return {line.split()[0] for line in lines if line and not line.startswith("#")}


def known_metric(namespace, metric, dimensions):
    if namespace == OURS:
        return metric in emitted() and dimensions == {"stage"}
    metrics, allowed = AWS_METRICS.get(namespace, (set(), set()))
    return metric in metrics and dimensions <= allowed


def anchors():
    """The sections of the operations page, as GitHub names them."""
    text = (ROOT / "shared" / "docs" / "operations.md").read_text()
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def watching(template):
    """Alarms watch metrics that exist and name what to do; the dashboard shows metrics that exist."""
    resolve = policy.resolver(template, "enforce", {**policy.PLACES, "AlarmEmail": "a@example.com"})
    sections = anchors()
    wrong = []
    watched = set()
    for name, alarm in resolve.resources("AWS::CloudWatch::Alarm"):
        p = alarm["Properties"]
        for namespace, metric, dimensions in alarm_metrics(p):
            if not known_metric(namespace, metric, {name for name, _ in dimensions}):
                names = sorted(name for name, _ in dimensions)
                wrong.append(f"{name}: nobody emits {namespace} {metric} by {names}")
            watched |= {(metric, value) for _, value in dimensions}
        runbook = re.search(r"shared/docs/operations\.md#([\w-]+)", p.get("AlarmDescription", ""))
        if not runbook or runbook[1] not in sections:
            wrong.append(f"{name}: names no section of the operations page")
        if not p.get("AlarmActions"):
            wrong.append(f"{name}: tells nobody")
    for name, _ in resolve.resources("AWS::Lambda::Function"):
        if ("Errors", f"${{{name}}}") not in watched:
            wrong.append(f"{name}: no alarm on its errors")
    for name, dashboard in resolve.resources("AWS::CloudWatch::Dashboard"):
        body = json.loads(dashboard["Properties"]["DashboardBody"])
        shown = set()
        for widget in body["widgets"]:
            for namespace, metric, dimensions in widget_metrics(widget):
                shown.add(metric)
                if not known_metric(namespace, metric, set(dimensions)):
                    wrong.append(f"{name}: nobody emits {namespace} {metric} by {sorted(dimensions)}")
        text = json.dumps(body)
        missing = emitted() - shown - set(re.findall(r"\w+", " ".join(queries(body))))
        wrong += [f"{name}: does not show {metric}" for metric in sorted(missing)]
        wrong += [
            f"{name}: does not show {function}"
            for function, one in resolve.resources("AWS::Lambda::Function")
            # The dashboard of every stage can't name what only some stages have.
            if f"${{{function}}}" not in text and "Condition" not in one
        ]
    return wrong


def alarm_metrics(properties):
    """What an alarm looks at: one metric, or those of an expression, with dimensions as name and value."""
    stats = [query["MetricStat"]["Metric"] for query in properties.get("Metrics", []) if "MetricStat" in query]
    for metric in stats or [properties]:
        dimensions = [(dimension["Name"], dimension["Value"]) for dimension in metric.get("Dimensions", [])]
        yield metric.get("Namespace"), metric.get("MetricName"), dimensions


def queries(body):
    return [widget["properties"].get("query", "") for widget in body["widgets"]]


def widget_metrics(widget):
    """The metrics of a widget with CloudWatch's shorthand resolved: `.` repeats a field, `...` all but the last."""
    before = []
    for line in widget["properties"].get("metrics", []):
        fields = [field for field in line if isinstance(field, str)]
        if fields and fields[0] == "...":
            fields = before[: len(before) - len(fields) + 1] + fields[1:]
        fields = [before[at] if field == "." else field for at, field in enumerate(fields)]
        before = fields
        yield fields[0], fields[1], fields[2::2]


def complete(template):
    """Every function has its log with an end, a role of its own, and its place in the wiring."""
    wrong = []
    for mode in MODES:
        resolve = policy.resolver(template, mode)
        groups = {
            g["Properties"].get("LogGroupName"): g["Properties"] for _, g in resolve.resources("AWS::Logs::LogGroup")
        }
        roles = {}
        permitted = {p["Properties"]["FunctionName"] for _, p in resolve.resources("AWS::Lambda::Permission")}
        for name, function in resolve.resources("AWS::Lambda::Function"):
            p = function["Properties"]
            short = p["FunctionName"].rsplit("-", 1)[-1]
            group = groups.get(f"/aws/lambda/{p['FunctionName']}")
            if group is None or "RetentionInDays" not in group:
                wrong.append(f"{name}: its log is kept for ever")
            if p["Role"] in roles:
                wrong.append(f"{name}: shares its role with {roles[p['Role']]}")
            roles[p["Role"]] = name
            variables = p.get("Environment", {}).get("Variables", {})
            if mode == "enforce" and short not in NO_TENANT | NO_DATA and not variables.get("TENANT_ROLE"):
                wrong.append(f"{name}: no TENANT_ROLE, so its requests are not held to their tenant")
            if mode == "share" and variables.get("TENANT_ROLE"):
                wrong.append(f"{name}: a TENANT_ROLE without isolation")
            if f"${{{name}}}" not in permitted:
                wrong.append(f"{name}: nobody may invoke it")
        for name, stage in resolve.resources("AWS::ApiGatewayV2::Stage"):
            p = stage["Properties"]
            if not p.get("AccessLogSettings"):
                wrong.append(f"{name}: no access log")
            if not p.get("DefaultRouteSettings", {}).get("ThrottlingRateLimit"):
                wrong.append(f"{name}: no throttle")
    return unique(wrong)


RULES = {
    "rights": rights,
    "table": table,
    "authorizer": authorizer,
    "watching": watching,
    "complete": complete,
}
