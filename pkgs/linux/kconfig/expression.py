"""Expressions of Kconfig (Documentation/kbuild/kconfig-language.rst, "Menu dependencies"): reading, evaluating, and which
parts of one keep it from being true.

An expression is a tuple: ("symbol", NAME), ("text", TEXT), ("macro", TEXT), ("not", E), ("and", E, E), ("or", E, E) or
("compare", OPERATOR, E, E). A value is 0 (n), 1 (m) or 2 (y).
"""
import re

TRUE = ("symbol", "y")
LETTERS = {0: "n", 1: "m", 2: "y"}

_TOKEN = re.compile(r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<operator>&&|\|\||!=|<=|>=|[!=<>()])|(?P<name>[A-Za-z0-9_./-]+))""")


def tokens(line):
    """The tokens of a line, as (kind, text), up to a comment."""
    found = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at == len(line) or line[at] == "#":
            return found
        if line.startswith("$(", at):
            depth, end = 0, at
            while end < len(line):
                depth += (line[end] == "(") - (line[end] == ")")
                end += 1
                if depth == 0 and line[end - 1] == ")":
                    break
            found.append(("macro", line[at:end]))
            at = end
            continue
        match = _TOKEN.match(line, at)
        if match is None:
            found.append(("other", line[at]))
            at += 1
            continue
        kind = match.lastgroup
        text = match.group(kind)
        found.append((kind, re.sub(r"\\(.)", r"\1", text[1:-1]) if kind == "text" else text))
        at = match.end()


def parse(found):
    """The expression that tokens spell."""
    expression, rest = _or(found)
    if rest:
        raise ValueError("expected the end of the expression, found " + rest[0][1])
    return expression


def _or(found):
    left, found = _and(found)
    while found and found[0] == ("operator", "||"):
        right, found = _and(found[1:])
        left = ("or", left, right)
    return left, found


def _and(found):
    left, found = _not(found)
    while found and found[0] == ("operator", "&&"):
        right, found = _not(found[1:])
        left = ("and", left, right)
    return left, found


def _not(found):
    if found and found[0] == ("operator", "!"):
        inner, found = _not(found[1:])
        return ("not", inner), found
    if found and found[0] == ("operator", "("):
        inner, found = _or(found[1:])
        if not found or found[0] != ("operator", ")"):
            raise ValueError("expected )")
        return inner, found[1:]
    left, found = _term(found)
    if found and found[0][0] == "operator" and found[0][1] in ("=", "!=", "<", "<=", ">", ">="):
        operator = found[0][1]
        right, found = _term(found[1:])
        return ("compare", operator, left, right), found
    return left, found


def _term(found):
    if not found or found[0][0] not in ("name", "text", "macro"):
        raise ValueError("expected a name" + (", found " + found[0][1] if found else ""))
    kind, text = found[0]
    return ("symbol" if kind == "name" else kind, text), found[1:]


def both(left, right):
    """left && right, without what is always true."""
    if left == TRUE:
        return right
    return left if right == TRUE else ("and", left, right)


def show(expression, outer=None):
    """The expression as Kconfig writes it."""
    kind = expression[0]
    if kind in ("symbol", "macro"):
        return expression[1]
    if kind == "text":
        return '"%s"' % expression[1]
    if kind == "not":
        return "!" + show(expression[1], "not")
    if kind == "compare":
        return "%s %s %s" % (show(expression[2]), expression[1], show(expression[3]))
    text = "%s %s %s" % (show(expression[1], kind), "&&" if kind == "and" else "||", show(expression[2], kind))
    return text if outer in (None, kind) else "(%s)" % text


def _words(expression, values):
    if expression[0] == "symbol":
        return values.get(expression[1], expression[1] if expression[1] not in values.known else "n" if values.known[expression[1]] else "")
    return expression[1]


def evaluate(expression, values):
    """0, 1 or 2. `values` is a `Values`. A macro, which would run a command, counts as true."""
    kind = expression[0]
    if kind == "symbol":
        value = expression[1] if expression[1] in ("y", "m", "n") else values.get(expression[1], "n")
        return {"y": 2, "m": 1}.get(value, 0)
    if kind == "macro":
        return 0 if expression[1] == "n" else 2
    if kind == "text":
        return {"y": 2, "m": 1}.get(expression[1], 0)
    if kind == "not":
        return 2 - evaluate(expression[1], values)
    if kind == "and":
        return min(evaluate(expression[1], values), evaluate(expression[2], values))
    if kind == "or":
        return max(evaluate(expression[1], values), evaluate(expression[2], values))
    left, right = _words(expression[2], values), _words(expression[3], values)
    try:
        left, right = int(left, 0), int(right, 0)
    except ValueError:
        pass
    operator = expression[1]
    holds = (
        left == right if operator == "=" else
        left != right if operator == "!=" else
        type(left) is type(right) and (
            left < right if operator == "<" else
            left <= right if operator == "<=" else
            left > right if operator == ">" else
            left >= right))
    return 2 if holds else 0


def unmet(expression, values):
    """The smallest parts that must change for the expression to be true, as a list; empty if it is true."""
    if evaluate(expression, values) == 2:
        return []
    if expression[0] == "and":
        return unmet(expression[1], values) + [part for part in unmet(expression[2], values) if part not in unmet(expression[1], values)]
    if expression[0] == "not" and expression[1][0] == "or":
        return unmet(("and", ("not", expression[1][1]), ("not", expression[1][2])), values)
    return [expression]


def symbols(expression):
    """The names in it, in order."""
    if expression[0] == "symbol":
        return [expression[1]]
    return [name for part in expression[1:] if isinstance(part, tuple) for name in symbols(part)]


class Values(dict):
    """NAME → value of a .config, as text; what is not set is not there. `known` is NAME → whether it is a switch."""

    known = {}
