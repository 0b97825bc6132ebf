"""Reads the kernel's Kconfig files into a table of symbols: where each is defined, what it depends on, who selects it. Only what
messages need; the kernel's own program resolves the values."""
import os
import re

from expression import TRUE, both, parse, tokens

TYPES = ("bool", "tristate", "string", "hex", "int")


class Symbol:
    """A configuration symbol: all its definitions together."""

    def __init__(self, name):
        self.name = name
        self.type = None
        # [ (file:line, text or None, condition of the prompt, all it depends on) ]
        self.definitions = []
        # [ (name of the other symbol, condition under which it does so) ]
        self.selected_by = []
        self.implied_by = []
        # [ (lowest, highest, condition) ]
        self.ranges = []
        # The prompt of the choice that it is one answer of.
        self.choice = None


class _Entry:
    """A definition while its attributes are read."""

    def __init__(self, symbol, place, depends):
        self.symbol = symbol
        self.place = place
        self.depends = depends
        self.prompt = None
        self.condition = TRUE
        self.selects = []
        self.implies = []
        self.ranges = []


class Tree:
    """All symbols that `Kconfig` at `root` and the files it includes define for the architecture."""

    def __init__(self, root, architecture):
        self.root = root
        self.variables = {"SRCARCH": architecture, "HEADER_ARCH": architecture}
        self.symbols = {}
        # What encloses the current line: ("if" | "menu" | "choice", condition that holds within, prompt of the choice).
        self.scopes = []
        self._read("Kconfig")

    def symbol(self, name):
        return self.symbols.setdefault(name, Symbol(name))

    def _lines(self, path):
        """(number, text) of the logical lines, without help texts."""
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
        at = 0
        while at < len(lines):
            number, text = at + 1, lines[at]
            at += 1
            while text.endswith("\\") and at < len(lines):
                text = text[:-1] + " " + lines[at].strip()
                at += 1
            if text.strip() in ("help", "---help---"):
                indent = None
                while at < len(lines):
                    line = lines[at].expandtabs()
                    if line.strip():
                        width = len(line) - len(line.lstrip())
                        if indent is None:
                            if width == 0:
                                break
                            indent = width
                        elif width < indent:
                            break
                    at += 1
            elif text.strip() and not text.lstrip().startswith("#"):
                yield number, text

    def _condition(self, found):
        """The expression behind `if` in the tokens, and the tokens before it."""
        if ("name", "if") in found:
            at = found.index(("name", "if"))
            return parse(found[at + 1:]), found[:at]
        return TRUE, found

    def _inherited(self):
        condition = TRUE
        for _, inner, _ in self.scopes:
            condition = both(condition, inner)
        return condition

    def _finish(self, entry):
        if entry is None or entry.symbol is None:
            return
        symbol = entry.symbol
        symbol.definitions.append((entry.place, entry.prompt, entry.condition, entry.depends))
        for name, condition in entry.selects:
            self.symbol(name).selected_by.append((symbol.name, condition))
        for name, condition in entry.implies:
            self.symbol(name).implied_by.append((symbol.name, condition))
        symbol.ranges += [(low, high, both(entry.depends, condition)) for low, high, condition in entry.ranges]

    def _read(self, path):
        depth = len(self.scopes)
        entry = None
        # The scope whose own attributes are being read: a menu's or choice's `depends on` holds for all within.
        own = None
        for number, text in self._lines(path):
            found = tokens(text)
            if not found:
                continue
            place = "%s:%d" % (path, number)
            kind, word = found[0]
            try:
                if word in ("config", "menuconfig") and kind == "name" and len(found) == 2:
                    self._finish(entry)
                    entry = _Entry(self.symbol(found[1][1]), place, self._inherited())
                    for scope, _, prompt in self.scopes:
                        if scope == "choice":
                            entry.symbol.choice = prompt
                    own = None
                elif word in ("menu", "choice", "comment", "if"):
                    self._finish(entry)
                    entry, own = None, None
                    if word == "if":
                        self.scopes.append(["if", parse(found[1:]), None])
                    elif word != "comment":
                        own = [word, TRUE, found[1][1] if len(found) > 1 else None]
                        self.scopes.append(own)
                    else:
                        entry = _Entry(None, place, TRUE)
                elif word in ("endif", "endmenu", "endchoice"):
                    self._finish(entry)
                    entry, own = None, None
                    self.scopes.pop()
                elif word in ("source", "osource", "rsource", "orsource"):
                    self._finish(entry)
                    entry, own = None, None
                    self._read(self._expand(found[1][1]))
                elif own is not None:
                    if word == "depends":
                        own[1] = both(own[1], parse(found[2:]))
                    elif word in ("prompt", "bool", "tristate") and own[0] == "choice" and len(found) > 1:
                        own[2] = found[1][1]
                elif entry is not None:
                    self._attribute(entry, word, found)
            except (ValueError, IndexError) as problem:
                raise SystemExit("%s: cannot read `%s': %s" % (place, text.strip(), problem))
        self._finish(entry)
        if len(self.scopes) != depth:
            raise SystemExit("%s: ends within `%s'" % (path, self.scopes[-1][0]))

    def _attribute(self, entry, word, found):
        if word == "depends":
            # Later lines of the same entry add to it.
            entry.depends = both(entry.depends, parse(found[2:]))
        elif word in TYPES or word == "prompt":
            if word != "prompt" and entry.symbol is not None:
                entry.symbol.type = word
            if len(found) > 1:
                entry.condition, rest = self._condition(found)
                entry.prompt = rest[1][1]
        elif word in ("def_bool", "def_tristate") and entry.symbol is not None:
            entry.symbol.type = word[4:]
        elif word in ("select", "imply"):
            condition, rest = self._condition(found)
            # The lines of an entry may come in any order, so its dependencies are added when it ends.
            (entry.selects if word == "select" else entry.implies).append((rest[1][1], condition))
        elif word == "range":
            condition, rest = self._condition(found)
            entry.ranges.append((rest[1][1], rest[2][1], condition))

    def _expand(self, path):
        return re.sub(r"\$\(?(\w+)\)?", lambda match: self.variables.get(match.group(1), match.group(0)), path)


def names(root, architecture):
    """The names of all symbols, found without understanding the files: quick."""
    pattern = re.compile(r"^[ \t]*(?:menu)?config[ \t]+(\w+)", re.MULTILINE)
    result = set()
    for directory, inner, files in os.walk(root):
        if os.path.relpath(directory, root) == "arch":
            inner[:] = [architecture]
        for file in files:
            if file.startswith("Kconfig"):
                with open(os.path.join(directory, file), encoding="utf-8", errors="replace") as opened:
                    result.update(pattern.findall(opened.read()))
    return result
