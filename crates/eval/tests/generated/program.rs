//! Typed random programs of the language: most of them have a value.

use std::fmt::Write as _;

/// A small generator of random numbers (SplitMix64), the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

/// The types of expressions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    Int,
    Float,
    Bool,
    Text,
    /// A list of integers.
    Ints,
    /// A list of strings.
    Texts,
    /// A set with any of the attributes `a`, `b`, `c`, of integers.
    Set,
}

const TYPES: [Type; 7] = [
    Type::Int,
    Type::Float,
    Type::Bool,
    Type::Text,
    Type::Ints,
    Type::Texts,
    Type::Set,
];

/// Makes one program.
pub(crate) struct Generator {
    random: Random,
    /// Variables in scope.
    variables: Vec<(String, Type)>,
    names: usize,
}

/// A program of some type from a seed.
pub(crate) fn program(seed: u64) -> String {
    let mut generator = Generator {
        random: Random::new(seed),
        variables: Vec::new(),
        names: 0,
    };
    let depth = 2 + generator.random.below(4);
    let kind = *generator.random.pick(&TYPES);
    generator.expr(kind, depth)
}

impl Generator {
    fn expr(&mut self, kind: Type, depth: usize) -> String {
        // Now and then something of another type, which fails if it is needed.
        if self.random.one_in(60) {
            let other = *self.random.pick(&TYPES);
            return self.expr_of(other, depth.saturating_sub(1));
        }
        self.expr_of(kind, depth)
    }

    fn expr_of(&mut self, kind: Type, depth: usize) -> String {
        if depth == 0 || self.random.one_in(6) {
            return self.leaf(kind);
        }
        let depth = depth - 1;
        if self.random.one_in(3) {
            return self.general(kind, depth);
        }
        match kind {
            Type::Int => self.int(depth),
            Type::Float => self.float(depth),
            Type::Bool => self.bool(depth),
            Type::Text => self.text(depth),
            Type::Ints => self.ints(depth),
            Type::Texts => self.texts(depth),
            Type::Set => self.set(depth),
        }
    }

    fn leaf(&mut self, kind: Type) -> String {
        let known: Vec<String> = self
            .variables
            .iter()
            .filter(|variable| variable.1 == kind)
            .map(|variable| variable.0.clone())
            .collect();
        if !known.is_empty() && !self.random.one_in(3) {
            return self.random.pick(&known).clone();
        }
        let leaves: &[&str] = match kind {
            Type::Int => &[
                "0",
                "1",
                "2",
                "(-1)",
                "7",
                "255",
                "4096",
                "1000000007",
                "9223372036854775807",
                "(-9223372036854775807)",
                "(throw \"int\")",
            ],
            Type::Float => &[
                "0.0",
                "1.5",
                "(-2.25)",
                "0.1",
                "1.0e10",
                "1.0e-7",
                "123456.789",
                "3.0",
            ],
            Type::Bool => &["true", "false"],
            Type::Text => &[
                "\"\"",
                "\"a\"",
                "\"b\"",
                "\"hello world\"",
                "\"1.2.3\"",
                "\"é\\n\"",
                "\"\\${x}\"",
                "''\n    two\n      lines\n  ''",
                "(builtins.toFile \"f\" \"text\")",
                "\"name-1.0\"",
                "(toString 12)",
                "(derivation { name = \"d\"; system = \"s\"; builder = \"b\"; }).outPath",
            ],
            Type::Ints => &[
                "[ ]",
                "[ 1 ]",
                "[ 3 1 2 ]",
                "[ 5 5 (-5) 0 ]",
                "[ 1 (throw \"element\") ]",
            ],
            Type::Texts => &[
                "[ ]",
                "[ \"a\" ]",
                "[ \"x\" \"y\" \"x\" ]",
                "[ \"\" \"b\" ]",
            ],
            Type::Set => &[
                "{ }",
                "{ a = 1; }",
                "{ b = 2; a = 3; }",
                "{ c = throw \"attr\"; a = 4; }",
            ],
        };
        (*self.random.pick(leaves)).to_owned()
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        // Some names shadow others.
        let names = ["x", "y", "z", "map", "a"];
        match names.get(self.random.below(8)) {
            Some(name) => (*name).to_owned(),
            None => format!("v{}", self.names),
        }
    }

    /// An expression with a variable in scope.
    fn with_variable(&mut self, name: &str, of: Type, kind: Type, depth: usize) -> String {
        let before = self.variables.clone();
        self.variables.retain(|variable| variable.0 != name);
        self.variables.push((name.to_owned(), of));
        let body = self.expr(kind, depth);
        self.variables = before;
        body
    }

    /// What gives a value of any type.
    fn general(&mut self, kind: Type, depth: usize) -> String {
        let of = *self.random.pick(&TYPES);
        match self.random.below(14) {
            0 | 1 => {
                let condition = self.expr(Type::Bool, depth);
                let (yes, no) = (self.expr(kind, depth), self.expr(kind, depth));
                format!("(if {condition} then {yes} else {no})")
            }
            2 | 3 => {
                let name = self.fresh();
                let value = self.expr(of, depth);
                let body = self.with_variable(&name, of, kind, depth);
                format!("(let {name} = {value}; in {body})")
            }
            4 => {
                let name = self.fresh();
                let value = self.expr(of, depth);
                let body = self.with_variable(&name, of, kind, depth);
                format!("(({name}: {body}) ({value}))")
            }
            5 => {
                let name = self.fresh();
                let default = self.expr(of, depth);
                let body = self.with_variable(&name, of, kind, depth);
                let rest = if self.random.one_in(2) { ", ..." } else { "" };
                let argument = if self.random.one_in(2) {
                    format!("{name} = {};", self.expr(of, depth))
                } else {
                    String::new()
                };
                format!("(({{ {name} ? {default}{rest} }}: {body}) {{ {argument} }})")
            }
            6 => {
                let (value, other) = (self.expr(kind, depth), self.expr(of, depth));
                format!("{{ q = {value}; r = {other}; }}.q")
            }
            7 => {
                let value = self.expr(kind, depth);
                format!("({{ }}.q or ({value}))")
            }
            8 => {
                let name = self.fresh();
                let value = self.expr(of, depth);
                let body = self.with_variable(&name, of, kind, depth);
                format!("(with {{ {name} = {value}; }}; {body})")
            }
            9 => {
                let name = self.fresh();
                let value = self.expr(of, depth);
                let body = self.with_variable(&name, of, kind, depth);
                format!("(rec {{ {name} = {value}; result = {body}; }}).result")
            }
            10 => {
                let (condition, value) = (self.expr(Type::Bool, depth), self.expr(kind, depth));
                format!("(assert {condition}; {value})")
            }
            11 => {
                let (first, value) = (self.expr(of, depth), self.expr(kind, depth));
                let strict = self.random.pick(&["seq", "deepSeq"]);
                format!("(builtins.{strict} ({first}) ({value}))")
            }
            12 => {
                let (value, other) = (self.expr(kind, depth), self.leaf(kind));
                format!(
                    "(let t = builtins.tryEval ({value}); in if t.success then t.value else ({other}))"
                )
            }
            _ => {
                let (value, other) = (self.expr(kind, depth), self.expr(of, depth));
                format!("(let s = {{ m = {value}; n = {other}; }}; inherit (s) m; in m)")
            }
        }
    }

    /// A template with an argument of each type in place of the `@`s.
    fn call(&mut self, template: &str, kinds: &[Type], depth: usize) -> String {
        let mut out = String::new();
        let mut kinds = kinds.iter();
        for part in template.split('@') {
            out.push_str(part);
            if let Some(&kind) = kinds.next() {
                let _ = write!(out, "({})", self.expr(kind, depth));
            }
        }
        out
    }

    fn one_of(&mut self, templates: &[(&str, &[Type])], depth: usize) -> String {
        let (template, kinds) = *self.random.pick(templates);
        format!("({})", self.call(template, kinds, depth))
    }

    fn int(&mut self, depth: usize) -> String {
        use Type::{Bool, Float, Int, Ints, Set, Text, Texts};
        self.one_of(
            &[
                ("@ + @", &[Int, Int]),
                ("@ - @", &[Int, Int]),
                ("@ * @", &[Int, Int]),
                ("@ / @", &[Int, Int]),
                ("-@", &[Int]),
                ("builtins.bitAnd @ @", &[Int, Int]),
                ("builtins.bitXor @ @", &[Int, Int]),
                ("builtins.stringLength @", &[Text]),
                ("builtins.length @", &[Ints]),
                ("builtins.length @", &[Texts]),
                ("builtins.head @", &[Ints]),
                ("builtins.elemAt @ @", &[Ints, Int]),
                ("builtins.foldl' (p: q: p + q) @ @", &[Int, Ints]),
                ("builtins.foldl' (p: q: q) @ @", &[Int, Ints]),
                ("@.a", &[Set]),
                ("@.b or @", &[Set, Int]),
                ("builtins.compareVersions @ @", &[Text, Text]),
                ("builtins.floor @", &[Float]),
                ("builtins.ceil @", &[Float]),
                ("if @ then @ else @", &[Bool, Int, Int]),
                ("builtins.getAttr \"a\" @", &[Set]),
                ("builtins.length (builtins.attrNames @)", &[Set]),
                ("builtins.fromJSON (builtins.toJSON @)", &[Int]),
            ],
            depth,
        )
    }

    fn float(&mut self, depth: usize) -> String {
        use Type::{Float, Int};
        self.one_of(
            &[
                ("@ + @", &[Float, Float]),
                ("@ + @", &[Float, Int]),
                ("@ - @", &[Int, Float]),
                ("@ * @", &[Float, Float]),
                ("@ / @", &[Float, Float]),
                ("@ / @", &[Float, Int]),
                ("-@", &[Float]),
                ("builtins.add @ @", &[Float, Int]),
                ("builtins.fromJSON (builtins.toJSON @)", &[Float]),
            ],
            depth,
        )
    }

    fn bool(&mut self, depth: usize) -> String {
        use Type::{Bool, Float, Int, Ints, Set, Text, Texts};
        self.one_of(
            &[
                ("@ && @", &[Bool, Bool]),
                ("@ || @", &[Bool, Bool]),
                ("@ -> @", &[Bool, Bool]),
                ("!@", &[Bool]),
                ("@ == @", &[Int, Int]),
                ("@ == @", &[Int, Float]),
                ("@ != @", &[Text, Text]),
                ("@ == @", &[Set, Set]),
                ("@ == @", &[Ints, Ints]),
                ("@ < @", &[Int, Int]),
                ("@ >= @", &[Int, Float]),
                ("@ <= @", &[Text, Text]),
                ("@ < @", &[Ints, Ints]),
                ("@ > @", &[Texts, Texts]),
                ("@ ? a", &[Set]),
                ("@ ? a.b", &[Set]),
                ("builtins.elem @ @", &[Int, Ints]),
                ("builtins.elem @ @", &[Text, Texts]),
                ("builtins.all (p: p < @) @", &[Int, Ints]),
                ("builtins.any (p: p == @) @", &[Text, Texts]),
                ("builtins.hasAttr @ @", &[Text, Set]),
                ("builtins.hasContext @", &[Text]),
                ("builtins.isString @", &[Text]),
                ("builtins.match \"[a-z]*\" @ != null", &[Text]),
                ("builtins.lessThan @ @", &[Int, Int]),
            ],
            depth,
        )
    }

    fn text(&mut self, depth: usize) -> String {
        use Type::{Bool, Float, Int, Ints, Set, Text, Texts};
        self.one_of(
            &[
                ("@ + @", &[Text, Text]),
                ("\"x${@}y\"", &[Text]),
                ("\"${@}-${@}\"", &[Text, Text]),
                ("''\n  p${@}\n   q\n''", &[Text]),
                ("toString @", &[Int]),
                ("toString @", &[Float]),
                ("toString @", &[Bool]),
                ("toString @", &[Ints]),
                ("builtins.toJSON @", &[Set]),
                ("builtins.toJSON @", &[Float]),
                ("builtins.toJSON @", &[Texts]),
                ("builtins.toXML @", &[Set]),
                ("builtins.substring @ @ @", &[Int, Int, Text]),
                ("builtins.substring 0 2 @", &[Text]),
                ("builtins.concatStringsSep @ @", &[Text, Texts]),
                (
                    "builtins.replaceStrings [ \"a\" \"\" ] [ @ \"-\" ] @",
                    &[Text, Text],
                ),
                ("builtins.replaceStrings @ @ @", &[Texts, Texts, Text]),
                ("builtins.hashString \"sha256\" @", &[Text]),
                ("builtins.head @", &[Texts]),
                ("builtins.baseNameOf @", &[Text]),
                ("dirOf @", &[Text]),
                ("builtins.unsafeDiscardStringContext @", &[Text]),
                ("builtins.typeOf @", &[Set]),
                ("(builtins.parseDrvName @).name", &[Text]),
                ("toString (builtins.split \"[aeiou]\" @)", &[Text]),
                (
                    "builtins.toString (builtins.attrNames (builtins.getContext @))",
                    &[Text],
                ),
                ("let s = { __toString = self: @; }; in \"${s}\"", &[Text]),
            ],
            depth,
        )
    }

    fn ints(&mut self, depth: usize) -> String {
        use Type::{Int, Ints, Set, Text};
        self.one_of(
            &[
                ("[ @ @ ]", &[Int, Int]),
                ("@ ++ @", &[Ints, Ints]),
                ("map (p: p + @) @", &[Int, Ints]),
                ("builtins.filter (p: p > @) @", &[Int, Ints]),
                ("builtins.genList (p: p * @) 4", &[Int]),
                ("builtins.sort builtins.lessThan @", &[Ints]),
                ("builtins.sort (p: q: p > q) @", &[Ints]),
                ("builtins.tail @", &[Ints]),
                ("builtins.concatLists [ @ @ ]", &[Ints, Ints]),
                ("builtins.concatMap (p: [ p @ ]) @", &[Int, Ints]),
                ("builtins.attrValues @", &[Set]),
                ("(builtins.partition (p: p > @) @).wrong", &[Int, Ints]),
                ("builtins.catAttrs \"a\" [ @ @ ]", &[Set, Set]),
                ("map builtins.stringLength [ @ @ ]", &[Text, Text]),
                (
                    "map (p: p.key) (builtins.genericClosure { startSet = map (key: { inherit key; }) @; operator = p: if p.key > 0 && p.key < 9 then [ { key = p.key + 1; } ] else [ ]; })",
                    &[Ints],
                ),
            ],
            depth,
        )
    }

    fn texts(&mut self, depth: usize) -> String {
        use Type::{Int, Ints, Set, Text, Texts};
        self.one_of(
            &[
                ("[ @ @ ]", &[Text, Text]),
                ("@ ++ @", &[Texts, Texts]),
                ("map (p: p + @) @", &[Text, Texts]),
                ("map toString @", &[Ints]),
                ("builtins.attrNames @", &[Set]),
                ("builtins.sort (p: q: p < q) @", &[Texts]),
                (
                    "builtins.filter builtins.isString (builtins.split \"b\" @)",
                    &[Text],
                ),
                ("builtins.splitVersion @", &[Text]),
                (
                    "builtins.genList (p: @ + toString p) (builtins.bitAnd 7 @)",
                    &[Text, Int],
                ),
                ("builtins.attrNames (builtins.groupBy (p: p) @)", &[Texts]),
                ("builtins.attrNames (builtins.getContext @)", &[Text]),
            ],
            depth,
        )
    }

    fn set(&mut self, depth: usize) -> String {
        use Type::{Int, Ints, Set, Text};
        self.one_of(
            &[
                ("{ a = @; b = @; }", &[Int, Int]),
                ("rec { a = @; c = a; }", &[Int]),
                ("@ // @", &[Set, Set]),
                ("builtins.mapAttrs (p: q: q + @) @", &[Int, Set]),
                ("builtins.removeAttrs @ [ \"a\" ]", &[Set]),
                ("builtins.intersectAttrs @ @", &[Set, Set]),
                (
                    "builtins.listToAttrs (map (p: { name = \"k\" + toString p; value = p; }) @)",
                    &[Ints],
                ),
                ("{ ${@} = @; }", &[Text, Int]),
                ("{ inherit (@) a; }", &[Set]),
                (
                    "builtins.zipAttrsWith (p: q: builtins.length q) [ @ @ ]",
                    &[Set, Set],
                ),
                ("builtins.fromJSON (builtins.toJSON @)", &[Set]),
            ],
            depth,
        )
    }
}
