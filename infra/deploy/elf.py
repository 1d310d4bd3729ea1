"""What a binary asks of the system that runs it: machine, and the newest version of each library symbol."""

import struct

MACHINES = {62: "x86_64", 183: "arm64"}
VERNEED = 0x6FFFFFFE


def machine(data):
    """The architecture of an ELF file."""
    if data[:4] != b"\x7fELF":
        return "no Linux binary"
    return MACHINES.get(struct.unpack_from("<H", data, 18)[0], "another machine")


def glibc(data):
    """The newest version of glibc that a 64-bit little-endian ELF file asks for, as a tuple; (0,) for none."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + index * size) for index in range(count)]
    newest = (0,)
    for _, kind, _, _, start, _, link, entries, _, _ in sections:
        if kind != VERNEED:
            continue
        strings = sections[link][4]
        at = start
        for _ in range(entries):
            _, needs, _, first, following = struct.unpack_from("<HHIII", data, at)
            need = at + first
            for _ in range(needs):
                _, _, _, name, step = struct.unpack_from("<IHHII", data, need)
                text = data[strings + name : data.index(b"\0", strings + name)].decode()
                if text.startswith("GLIBC_"):
                    newest = max(newest, tuple(int(part) for part in text.removeprefix("GLIBC_").split(".")))
                need += step
            at += following
    return newest
