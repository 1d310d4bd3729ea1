"""Other people's checks over the expanded template: cfn-lint, parliament, checkov."""

import json
import subprocess
import tempfile
import warnings
from pathlib import Path

from cfnlint.api import ManualArgs, lint

import policy
from template import ROOT

with warnings.catch_warnings():
    # It still asks setuptools for its data, of which the pinned version warns.
    warnings.simplefilter("ignore")
    from parliament import analyze_policy_string

HERE = Path(__file__).resolve().parent
# The expansion is JSON without places; W1030 takes a parameter's empty default for the value that will be deployed.
CFN_LINT_EXCEPTIONS = ["W1030"]

# A tag set at creation needs a right that names no key (AWS KMS Developer Guide, "Controlling access to tags").
PARLIAMENT_EXCEPTIONS = {("RESOURCE_STAR", "['kms:TagResource']")}

# Values as they would be on AWS: parliament reads ARNs.
PLACES = {"Stage": "dev"}
KNOWN = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
}


def cfn_lint(template):
    """References, types, values. It passes broken SAM sources, so it gets the expansion."""
    found = lint(json.dumps(template), config=ManualArgs(regions=["eu-central-1"], ignore_checks=CFN_LINT_EXCEPTIONS))
    return [f"{match.rule.id} {'/'.join(str(part) for part in match.path or [])}: {match.message}" for match in found]


def arn(reference):
    """A resource of the template as the ARN that it will have."""
    kinds = {
        "Table": "dynamodb:{}:{}:table/leasehold-dev",
        "WrapKey": "kms:{}:{}:key/00000000-0000-4000-8000-000000000000",
    }
    if not reference.startswith("${"):
        return reference
    name = policy.plain(reference)
    if name.endswith("Log"):
        return f"arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/{name}:*"
    return "arn:aws:" + kinds.get(name, "iam:{}:{}:role/" + name).format("eu-central-1", "123456789012")


def parliament(template):
    """Actions and condition keys that AWS knows, on resources that they fit."""
    wrong = []
    for mode in policy.MODES:
        resolve = policy.resolver(template, mode, PLACES, KNOWN)
        for role, document in policy.documents(resolve):
            concrete = {
                **document,
                "Statement": [
                    {**statement, "Resource": [arn(on) for on in policy.listed(statement["Resource"])]}
                    for statement in policy.statements(document)
                ],
            }
            analysed = analyze_policy_string(json.dumps(concrete))
            for finding in analysed.findings:
                if (finding.issue, str(finding.detail)) not in PARLIAMENT_EXCEPTIONS:
                    wrong.append(f"{policy.plain(role)}: {finding.issue} {finding.detail}")
    return list(dict.fromkeys(wrong))


def exceptions():
    """checkov's checks that are not for this template, each with its reason."""
    lines = (HERE / "checkov-exceptions.txt").read_text().splitlines()
    return {line.split()[0] for line in lines if line[:1] not in ("", "#", " ")}


def checkov(template):
    """A thousand common mistakes, less those that a written exception calls none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "template.json"
        file.write_text(json.dumps(template))
        command = [ROOT / "infra/python", "checkov", "checkov", "-f", file, "--framework", "cloudformation"]
        ran = subprocess.run(
            [*command, "--skip-download", "--compact", "--quiet", "-o", "json"],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        report = json.loads(ran.stdout)
        failed = report["results"]["failed_checks"]
        assert report["summary"]["passed"] > 0
    except (ValueError, KeyError, AssertionError):
        return [f"checkov did not run: {ran.stdout[-500:]}{ran.stderr[-500:]}"]
    excused = exceptions()
    wrong = [f"{c['check_id']} {c['resource']}: {c['check_name']}" for c in failed if c["check_id"] not in excused]
    unused = excused - {check["check_id"] for check in failed}
    return wrong + [f"{check}: an exception that nothing needs" for check in sorted(unused)]


LINTERS = {"cfn-lint": cfn_lint, "parliament": parliament, "checkov": checkov}
