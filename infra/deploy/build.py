"""Release binaries for Lambda: built, checked, packed. The same sources give the same archives, so that a deploy
without a change uploads nothing.
"""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import zipfile

import elf
import template
from say import say, step, stop

# Amazon Linux 2023, which `provided.al2023` is, has glibc 2.34.
GLIBC = (2, 34)
# A start reads the whole binary; half of what they are now would be more welcome than twice.
MAX_BYTES = 16_000_000
TARGETS = {"x86_64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}


def target_folder():
    return template.ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


def native(architecture):
    """Whether plain cargo builds for this architecture here."""
    here = {"aarch64": "arm64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    return platform.system() == "Linux" and here == architecture


def check_tools(architecture):
    """Stops when something is missing, before anything is built or asked of AWS."""
    if not shutil.which("cargo"):
        stop("cargo is needed to build the functions; there is none on the PATH. Rust: https://rustup.rs")
    if native(architecture):
        return
    target = TARGETS[architecture]
    if not shutil.which("cargo-zigbuild"):
        stop(f"Building for {architecture} on this machine needs cargo-zigbuild: pip install cargo-zigbuild ziglang")
    there = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=False)
    if there.returncode or not os.path.isdir(f"{there.stdout.strip()}/lib/rustlib/{target}"):
        stop(f"Building for {architecture} on this machine needs its standard library: rustup target add {target}")


def build(architecture):
    """Builds all functions and returns where each binary lies."""
    shorts = sorted(template.functions(template.load()).values())
    step(f"Building {', '.join(shorts)} for {architecture} (the first build takes several minutes)")
    packages = [part for short in shorts for part in ("--package", f"leasehold-{short}")]
    if native(architecture):
        command, folder = ["cargo", "build"], target_folder() / "release"
    else:
        target = TARGETS[architecture]
        command = ["cargo", "zigbuild", "--target", f"{target}.{'.'.join(map(str, GLIBC))}"]
        folder = target_folder() / target / "release"
    ran = subprocess.run([*command, "--release", "--locked", *packages], cwd=template.ROOT, check=False)
    if ran.returncode:
        stop("The build failed; nothing was deployed.")
    return {short: folder / short for short in shorts}


def problems(short, data, architecture):
    """What keeps a binary from running on Lambda, in words."""
    found = []
    if elf.machine(data) != architecture:
        return [f"{short} is built for {elf.machine(data)}, not {architecture}"]
    if (needs := elf.glibc(data)) > GLIBC:
        found.append(f"{short} needs glibc {'.'.join(map(str, needs))}; Amazon Linux 2023 has 2.34")
    if len(data) > MAX_BYTES:
        found.append(f"{short} has {len(data) / 1e6:.1f} MB, over the limit of {MAX_BYTES / 1e6:.0f} MB")
    return found


def archive(data):
    """The zip file that Lambda wants: one program of a fixed name, without times."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        entry = zipfile.ZipInfo("bootstrap", (1980, 1, 1, 0, 0, 0))
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        file.writestr(entry, data)
    return packed.getvalue()


def pack(binaries, architecture):
    """The archives by function, after the limits have been checked: short name to (digest, bytes)."""
    archives, wrong = {}, []
    for short, path in sorted(binaries.items()):
        data = path.read_bytes()
        wrong += problems(short, data, architecture)
        packed = archive(data)
        archives[short] = (hashlib.sha256(packed).hexdigest()[:20], packed)
        needs = ".".join(map(str, elf.glibc(data)))
        say(f"  {short:<12} {len(data) / 1e6:5.1f} MB, zipped {len(packed) / 1e6:4.1f} MB, glibc {needs}")
    if wrong:
        stop("\n".join([*wrong, "Nothing was deployed."]))
    return archives
