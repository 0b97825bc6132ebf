"""Why an option did not get the value that was asked for."""
from expression import LETTERS, TRUE, both, evaluate, show, symbols, unmet

# How many steps of "which depends on" are followed.
DEPTH = 4


class Reporter:
    def __init__(self, tree, values, missing, version):
        self.tree = tree
        self.values = values
        self.missing = missing
        self.version = version

    def value(self, name):
        value = self.values.get(name)
        if value is None:
            symbol = self.tree.symbols.get(name)
            return "n" if symbol is None or symbol.type in ("bool", "tristate") else "not set"
        return value

    def report(self, name, wanted):
        """The lines about one option; `wanted` as text."""
        symbol = self.tree.symbols.get(name)
        if symbol is None or not symbol.definitions:
            return ["%s: there is no such option in Linux %s" % (name, self.version)] + self._unknown(name)
        places = ", ".join(place for place, _, _, _ in symbol.definitions)
        if name in self.missing and wanted != "n":
            return ["%s: its driver is not in the source (pkgs/linux/source.nix leaves it out)" % name]
        lines = ["%s: asked for %s, got %s (%s)" % (name, wanted, self.value(name), places)]
        switch = symbol.type in ("bool", "tristate")
        if switch and wanted not in ("y", "n"):
            return lines + ["  it is a switch: its value is \"y\" or \"n\""]
        if not switch and wanted in ("y", "n"):
            return lines + ["  it is no switch: its value is %s" % ("a text" if symbol.type == "string" else "a number (%s)" % symbol.type)]
        if symbol.type in ("int", "hex") and not _is_number(wanted, symbol.type):
            return lines + ["  its value is %s" % ('a number' if symbol.type == "int" else 'a hexadecimal number, written "0x…"')]
        dependencies = [depends for _, _, _, depends in symbol.definitions]
        if wanted == "n":
            selectors = self._selectors(symbol)
            if selectors:
                return lines + ["  it is switched on by %s; that must be switched off first" % _list(selectors)]
        elif not any(evaluate(depends, self.values) for depends in dependencies):
            for depends in dependencies:
                lines += self._explain(depends, 1, {name})
            return lines
        prompts = [both(depends, condition) for _, prompt, condition, depends in symbol.definitions if prompt is not None]
        if not prompts:
            by = sorted({other for other, _ in symbol.selected_by})
            lines.append("  it cannot be set: it has no prompt" + (", and is switched on by %s" % _list(by) if by else ""))
        elif not any(evaluate(prompt, self.values) for prompt in prompts):
            lines.append("  it cannot be set here: its prompt is there only with")
            for prompt in prompts:
                lines += self._explain(prompt, 2, {name})
        elif symbol.choice is not None and wanted == "y":
            others = [
                other.name for other in self.tree.symbols.values()
                if other.choice == symbol.choice and other is not symbol and self.value(other.name) == "y"]
            lines.append("  it is one answer of the choice `%s', which is %s" % (symbol.choice, _list(others) or "not made"))
        else:
            for low, high, condition in symbol.ranges:
                if evaluate(condition, self.values):
                    lines.append("  it must be from %s to %s" % (low, high))
        return lines

    def _explain(self, depends, level, seen):
        """The parts of a dependency that are not met, each with what keeps it."""
        indent = "  " * level
        lines = []
        for part in unmet(depends, self.values):
            if part[0] == "symbol":
                name = part[1]
                if name in seen:
                    continue
                lines.append("%sit depends on %s, which is %s" % (indent, name, self.value(name)))
                lines += self._reason(name, level + 1, seen)
            elif part[0] == "not":
                named = symbols(part)
                lines.append("%sit depends on %s, but %s" % (indent, show(part), self._state(named)))
                for name in named:
                    selectors = self._selectors(self.tree.symbol(name))
                    if selectors:
                        lines.append("%s  %s is switched on by %s" % (indent, name, _list(selectors)))
            else:
                named = symbols(part)
                lines.append("%sit depends on %s" % (indent, show(part)))
                lines.append("%s  where %s" % (indent, self._state(named)))
                for name in named:
                    if part[0] == "or" and self.value(name) == "n" and name not in ("COMPILE_TEST", "EXPERT"):
                        lines += self._reason(name, level + 1, seen, name + " ")
        return lines

    def _state(self, named):
        return _list(["%s is %s" % (name, self.value(name)) for name in dict.fromkeys(named) if name in self.tree.symbols or not name.isdigit()])

    def _reason(self, name, level, seen, prefix=""):
        """Why a symbol that something depends on is off."""
        indent = "  " * level
        symbol = self.tree.symbols.get(name)
        if name in seen or level > DEPTH:
            return []
        seen.add(name)
        if symbol is None or not symbol.definitions:
            return ["%s%sdoes not exist for this architecture" % (indent, prefix)]
        if all(not evaluate(depends, self.values) for _, _, _, depends in symbol.definitions):
            lines = []
            for _, _, _, depends in symbol.definitions:
                lines += self._explain(depends, level, seen)
            return lines
        if any(prompt is not None and evaluate(condition, self.values) for _, prompt, condition, _ in symbol.definitions):
            return ["%s%scan be switched on: %s = \"y\"" % (indent, prefix, name)]
        by = sorted({other for other, _ in symbol.selected_by})
        return ["%s%scannot be set; it is switched on by %s" % (indent, prefix, _list(by))] if by else []

    def _selectors(self, symbol):
        return sorted({
            other for other, condition in symbol.selected_by
            if self.value(other) in ("y", "m") and evaluate(condition, self.values)})

    def _unknown(self, name):
        near = sorted((_distance(name, other), other) for other, symbol in self.tree.symbols.items() if symbol.definitions)
        close = [other for distance, other in near if distance <= max(1, len(name) // 4)][:3]
        close = close or [other for _, other in near if name in other][:3]
        return ["  did you mean %s?" % " or ".join(close)] if close else []


def _is_number(text, kind):
    try:
        int(text, 16 if kind == "hex" else 10)
        return True
    except ValueError:
        return False


def _list(names, most=6):
    names = list(names)
    if len(names) > most:
        names = names[:most] + ["%d more" % (len(names) - most)]
    return ", ".join(names)


def _distance(left, right, give_up=8):
    """How many letters must be added, removed or replaced (Levenshtein); `give_up` if clearly more."""
    if abs(len(left) - len(right)) >= give_up or len(left) < 3:
        return give_up
    previous = list(range(len(right) + 1))
    for row, letter in enumerate(left, 1):
        current = [row]
        for column, other in enumerate(right, 1):
            current.append(min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (letter != other)))
        if min(current) >= give_up:
            return give_up
        previous = current
    return previous[-1]
