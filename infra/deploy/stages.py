"""The stages: one file each in infra/stages/."""

import re
import tomllib
from dataclasses import dataclass, field

import template
from say import stop

FOLDER = template.ROOT / "infra" / "stages"
ARCHITECTURES = ("x86_64", "arm64")


@dataclass
class Stage:
    """A deployment, as its file describes it."""

    name: str
    region: str
    architecture: str = "x86_64"
    account: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    tenant: dict | None = None

    @property
    def stack(self):
        return f"leasehold-{self.name}"

    def values(self):
        """The parameters of its stack."""
        return {**self.parameters, "Stage": self.name, "Architecture": self.architecture}


def load(name):
    """The stage of this name; stops with a message when there is none, or its file is not right."""
    there = sorted(path.stem for path in FOLDER.glob("*.toml"))
    if not name:
        stop(f"Which stage? STAGE=…, one of {', '.join(there)} (the files in infra/stages/).")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,15}", name):
        stop(f"{name!r} can't be a stage: 1 to 16 of a-z, 0-9 and -, beginning with a letter.")
    if name not in there:
        stop(f"There is no stage {name!r}: no infra/stages/{name}.toml. There are {', '.join(there)}.")
    try:
        read = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    except tomllib.TOMLDecodeError as error:
        stop(f"infra/stages/{name}.toml does not read: {error}")
    return checked(name, read)


def checked(name, read):
    file = f"infra/stages/{name}.toml"
    if unknown := set(read) - {"region", "architecture", "account", "parameters", "tenant"}:
        stop(f"{file}: there is no setting {', '.join(sorted(unknown))}.")
    if "region" not in read:
        stop(f"{file}: region is missing.")
    if read.get("architecture", "x86_64") not in ARCHITECTURES:
        stop(f"{file}: architecture must be one of {', '.join(ARCHITECTURES)}.")
    parameters = {key: str(value) for key, value in read.get("parameters", {}).items()}
    known = template.load()["Parameters"]
    for key in parameters:
        if key not in known or key in ("Stage", "Architecture"):
            stop(f"{file}: the template has no parameter {key} to set.")
    return Stage(name, **{**read, "parameters": parameters})
