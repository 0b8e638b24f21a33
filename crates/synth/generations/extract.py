#!/usr/bin/env python3
"""Prints the types of a real kernel in the form of the *.types files here.

    extract.py VMCORE VMLINUX

Needs drgn. Of each type only the members in `members.txt` are printed, in the order of their offsets: those that
readers of a dump look at. Members of anonymous structs and unions are printed as members of what is around them.
"""

import sys
from pathlib import Path

import drgn

HERE = Path(__file__).parent
ENUMS = {"pageflags", "mod_mem_type"}


def wanted():
    for line in (HERE / "members.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            name, members = line.split(":")
            yield name.strip(), members.split()


def plain(type_):
    """The type without typedefs and qualifiers; the name of a typedef of an anonymous struct with it."""
    name = None
    while type_.kind == drgn.TypeKind.TYPEDEF:
        name = type_.name
        type_ = type_.type
    return type_, name


def spell(type_):
    inner, alias = plain(type_)
    kind = inner.kind
    if kind == drgn.TypeKind.ARRAY:
        return f"{spell(inner.type)}[{inner.length or 0}]"
    if kind == drgn.TypeKind.POINTER:
        target, alias = plain(inner.type)
        if target.kind == drgn.TypeKind.STRUCT and (target.tag or alias):
            return f"struct {target.tag or alias} *"
        return "void *"
    if kind in (drgn.TypeKind.STRUCT, drgn.TypeKind.UNION):
        return f"struct {inner.tag or alias or 'anonymous'}"
    if kind == drgn.TypeKind.ENUM:
        return "unsigned int"
    if kind == drgn.TypeKind.BOOL:
        return "unsigned char"
    return inner.name.replace("long long", "long")


def members(type_, base=0):
    for member in type_.members:
        at = base * 8 + member.bit_offset
        inner, _ = plain(member.type)
        if member.name is None:
            yield from members(inner, at // 8)
        else:
            yield member.name, at, member


def find(program, name):
    for prefix in ("struct ", "union ", ""):
        try:
            return plain(program.type(prefix + name))[0]
        except LookupError:
            pass
    return None


def main():
    program = drgn.Program()
    program.set_core_dump(sys.argv[1])
    program.load_debug_info([sys.argv[2]])
    for name, names in wanted():
        if name in ENUMS:
            try:
                type_ = program.type(f"enum {name}")
            except LookupError:
                continue
            values = " ".join(f"{e.name}={e.value}" for e in type_.enumerators if e.name in names)
            print(f"enum {name} {values}\n")
            continue
        type_ = find(program, name)
        if type_ is None:
            continue
        print(f"struct {name} {type_.size}")
        for member, at, info in sorted(members(type_), key=lambda found: found[1]):
            if member in names:
                # A bit-field: its first bit in the byte, and how many.
                bits = f" : {at % 8} {info.bit_field_size}" if info.bit_field_size else ""
                kind = "unsigned char" if bits else spell(info.type)
                print(f"    {at // 8:<6}{member:<24}{kind}{bits}")
        print()


main()
