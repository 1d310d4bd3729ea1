"""infra/template.yaml, expanded as AWS would expand it, and its values for given parameters.

What is checked is what is deployed: SAM's transform runs here, pinned, and CloudFormation gets its result.
"""

import copy
import json
import logging
import os
from pathlib import Path

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "infra" / "template.yaml"

# It reports metrics of its own to nobody, and says so each time.
logging.getLogger("samtranslator").setLevel(logging.ERROR)
# The transform asks for a region when it writes ARNs of managed policies, of which the template has none.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")


def load(path=SOURCE):
    """The template as it is written, with short tags in their long form."""
    return yaml_parse(path.read_text())


def functions(source):
    """The Lambda functions of a template that is not expanded: short name by logical id."""
    return {
        name: resource["Properties"]["CodeUri"].rstrip("/").rsplit("/", 1)[-1]
        for name, resource in source["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def expand(source, code=None):
    """The plain CloudFormation of a SAM template. `code` gives the place of each function's archive, by short name."""
    source = copy.deepcopy(source)
    for name, short in functions(source).items():
        uri = code[short] if code else {"Bucket": "bucket", "Key": short}
        source["Resources"][name]["Properties"]["CodeUri"] = uri
    return Translator({}, Parser()).translate(source, {})


class Resolver:
    """Carries out the intrinsic functions of an expanded template, as far as parameters go.

    What only AWS knows stays readable: `!GetAtt Table.Arn` becomes `${Table.Arn}`, unless `known` has a value for it.
    """

    def __init__(self, template, parameters, known=None):
        self.template = template
        self.known = known or {}
        defaults = {name: p.get("Default", f"${{{name}}}") for name, p in template.get("Parameters", {}).items()}
        self.parameters = {**defaults, **parameters}

    def condition(self, name):
        return self._condition(self.template["Conditions"][name])

    def _condition(self, value):
        ((kind, args),) = value.items()
        match kind:
            case "Condition":
                return self.condition(args)
            case "Fn::Equals":
                first, second = (self.value(arg) for arg in args)
                return str(first) == str(second)
            case "Fn::Not":
                return not self._condition(args[0])
            case "Fn::And":
                return all(self._condition(arg) for arg in args)
            case "Fn::Or":
                return any(self._condition(arg) for arg in args)
        raise ValueError(f"unknown condition {kind}")

    def resources(self, kind=None):
        """The resources that exist with these parameters, their properties resolved."""
        for name, resource in self.template["Resources"].items():
            if kind and resource["Type"] != kind:
                continue
            if "Condition" in resource and not self.condition(resource["Condition"]):
                continue
            yield name, {**resource, "Properties": self.value(resource.get("Properties", {}))}

    def value(self, value):
        if isinstance(value, list):
            return [item for item in (self.value(item) for item in value) if item is not ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((kind, args),) = value.items()
            match kind:
                case "Ref":
                    return self._ref(args)
                case "Fn::GetAtt":
                    name = args if isinstance(args, str) else ".".join(args)
                    return self.known.get(name, f"${{{name}}}")
                case "Fn::Sub":
                    return self._sub(args)
                case "Fn::If":
                    return self.value(args[1] if self.condition(args[0]) else args[2])
                case "Fn::Join":
                    return args[0].join(str(self.value(arg)) for arg in args[1])
        members = ((key, self.value(member)) for key, member in value.items())
        return {key: member for key, member in members if member is not ABSENT}

    def _ref(self, name):
        if name == "AWS::NoValue":
            return ABSENT
        if name in self.parameters:
            return self.parameters[name]
        return self.known.get(name, f"${{{name}}}")

    def _sub(self, args):
        text, own = args if isinstance(args, list) else (args, {})
        names = {part.split("}", 1)[0] for part in text.split("${")[1:]}
        for name in names:
            if name.startswith("!"):
                continue
            value = self.value(own[name]) if name in own else self._ref(name)
            text = text.replace(f"${{{name}}}", str(value))
        return text


def json_text(value):
    return json.dumps(value, sort_keys=True)


ABSENT = object()
