import sys

from drgn import FaultError, Object, offsetof


def member(what, address):
    """The member `TYPE.PATH` that lies at an address, by drgn's types; None where `what` is no such name."""
    name, _, path = what.partition(".")
    path = path.split(" ")[0]
    for kind in ("struct", "union"):
        try:
            start = address - offsetof(prog.type(f"{kind} {name}"), path)
        except (LookupError, SyntaxError, TypeError, ValueError):
            continue
        found = Object(prog, f"{kind} {name}", address=start)
        for step in path.split("."):
            found = found.member_(step)
        return found
    return None


def number(what, address):
    """The value of a member by its type; None where it is no number, or `what` names no member."""
    found = member(what, address)
    if found is None:
        return None
    try:
        # A struct of one number, such as atomic_t.
        while found.type_.kind.name in ("STRUCT", "TYPEDEF") and hasattr(found, "counter"):
            found = found.counter
        return int(found.read_())
    except (FaultError, TypeError, ValueError):
        return None


def read_again(what, physical, address, value):
    """How the value was found there, or None with what is there instead."""
    if not physical:
        found = number(what, address)
        if found is not None and found % 2**64 == value % 2**64:
            return "by its type", None
    there = None
    for width in (8, 4, 2, 1):
        try:
            found = int.from_bytes(prog.read(address, width, physical), "little")
        except FaultError as fault:
            there = there or fault
            continue
        there = there or f"{found:#x} in {width} bytes"
        if found == value % 2 ** (8 * width) and (value >= 0 or width > 1) and abs(value) < 2 ** (8 * width):
            return f"in {width} bytes", None
    return None, there


def plain(text):
    """Text of the dump, without what a terminal would act on."""
    return "".join(c if " " <= c <= "~" else f"\\u{{{ord(c):x}}}" for c in text)


def main():
    release = prog["init_uts_ns"].name.release.string_().decode("ascii", "replace")
    if RELEASE is not None and release != RELEASE:
        sys.exit(f"this is a dump of {release}, the verdict is of {RELEASE}")
    print(plain(VERDICT))
    print(f"  {plain(SUMMARY)}")
    about, wrong = None, 0
    for group, what, physical, address, value, meaning in CHECKS:
        if group != about:
            about = group
            print(f"\n{plain(group)}")
        how, there = read_again(what, physical, address, value)
        space = "physical " if physical else ""
        shown = f"{value:#x}" if value > 9 else value
        if how is None:
            wrong += 1
            print(f"  DIFFERS {plain(what)} at {space}{address:#x}: {there}, not {shown}")
        else:
            print(f"  agrees  {plain(what)} at {space}{address:#x} = {shown}, {how}")
    print(f"\n{len(CHECKS)} values read again by drgn, {wrong} differ")
    sys.exit(1 if wrong or not CHECKS else 0)


main()
