"""Checks infra/template.yaml: main.py [all | defects | policy [--write] | CHECK…]

Prints a line per check and ends with 1 when one fails. `defects` plants each known mistake in a copy of the template
and ends with 1 when the check that should catch it does not.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

import linters
import policy
import rules
import template
from defects import DEFECTS, planted

POLICY = template.ROOT / "infra" / "policy.txt"


def policy_table(expanded):
    """infra/policy.txt shows every right there is."""
    wanted, found = policy.table(expanded), POLICY.read_text() if POLICY.exists() else ""
    if wanted == found:
        return []
    new, old = wanted.splitlines(), found.splitlines()
    changes = [f"+ {line}" for line in new if line not in old] + [f"- {line}" for line in old if line not in new]
    return [*changes, "infra/policy.txt shows other rights; look at each, then `make policy`"]


CHECKS = {"policy": policy_table, **rules.RULES, **linters.LINTERS}


def run(names):
    expanded = template.expand(template.load())
    failed = 0
    for name in names:
        began = time.monotonic()
        findings = CHECKS[name](expanded)
        took = time.monotonic() - began
        print(
            f"{'FAIL' if findings else 'ok  '}  {name} ({took:.1f} s): {(CHECKS[name].__doc__ or '').splitlines()[0]}"
        )
        for finding in findings:
            print(f"        {finding}")
        failed += bool(findings)
    return failed


def run_defects():
    missed = 0
    clean = template.expand(template.load())
    known = {name: set(CHECKS[name](clean)) for name in dict.fromkeys(defect.check for defect in DEFECTS)}
    for defect in DEFECTS:
        found = CHECKS[defect.check](template.expand(planted(defect)))
        findings = [finding for finding in found if finding not in known[defect.check]]
        missed += not findings
        shown = findings[0][:100] if findings else f"NOT CAUGHT by {defect.check}"
        print(f"{'ok  ' if findings else 'FAIL'}  {defect.name}: {defect.check}: {shown}", flush=True)
    return missed


def main(arguments):
    if arguments == ["policy", "--write"]:
        POLICY.write_text(policy.table(template.expand(template.load())))
        return 0
    if arguments == ["defects"]:
        missed = run_defects()
        print(f"{len(DEFECTS) - missed} passed, {missed} failed")
        return missed
    names = list(CHECKS) if arguments in ([], ["all"]) else arguments
    if unknown := set(names) - set(CHECKS):
        print(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}, defects", file=sys.stderr)
        return 2
    failed = run(names)
    print(f"{len(names) - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 100))
