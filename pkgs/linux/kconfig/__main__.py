"""The two steps around Kconfig's own resolution of a configuration:

    python3 kconfig fragment WANTED            prints the wanted options for KCONFIG_ALLCONFIG
    python3 kconfig check WANTED SOURCE CONFIG VERSION [MISSING...]
                                               compares the resolved CONFIG with them, and explains each difference;
                                               MISSING are options without code in SOURCE

WANTED has a line an option: its name, a tab, `number` or `text`, a tab, the value.
"""
import re
import sys

from expression import Values
from report import Reporter
from tree import Tree, names

ARCHITECTURE = "arm64"


def read_wanted(path):
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t", 2) for line in file]


def read_config(path):
    """NAME → value, as text; what is n is not there."""
    values = Values()
    with open(path, encoding="utf-8") as file:
        for line in file:
            match = re.match(r"CONFIG_(\w+)=(.*)", line)
            if match:
                value = match.group(2)
                values[match.group(1)] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    return values


def fragment(wanted):
    for name, kind, value in wanted:
        # Numbers and switches stand as they are; other texts in quotes.
        if kind == "text" and not re.fullmatch(r"[yn]|0x[0-9a-fA-F]+", value):
            value = '"%s"' % re.sub(r'(["\\])', r"\\\1", value)
        print("CONFIG_%s=%s" % (name, value))


def check(wanted, source, config, version, missing):
    values = read_config(config)
    known = names(source, ARCHITECTURE)
    # A text may be empty, and then is not there.
    wrong = [
        (name, value) for name, _, value in wanted
        if name not in known or name in missing and value != "n" or values.get(name, "" if value == "" else "n") != value]
    if not wrong:
        return
    tree = Tree(source, ARCHITECTURE)
    Values.known = {name: symbol.type in ("bool", "tristate") for name, symbol in tree.symbols.items()}
    reporter = Reporter(tree, values, missing, version)
    print("%d kernel option%s did not get the value that was asked for:\n" % (len(wrong), "" if len(wrong) == 1 else "s"), file=sys.stderr)
    for name, value in wrong:
        print("\n".join(reporter.report(name, value)), file=sys.stderr)
    print("\n`xbuild eval . -A linux.options.NAME --strict` says where an option is asked for, and why", file=sys.stderr)
    sys.exit(1)


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "fragment":
        fragment(read_wanted(arguments[1]))
    elif len(arguments) >= 5 and arguments[0] == "check":
        check(read_wanted(arguments[1]), *arguments[2:5], arguments[5:])
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
