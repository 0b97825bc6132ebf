//! What people see when a text is wrong.
#![allow(missing_docs)]

use std::path::Path;

use bumpalo::Bump;
use insta::assert_snapshot;
use xbuild_syntax::symbol::Symbols;
use xbuild_syntax::{Features, Sources, SyntaxErrorKind, parse};

fn message(text: &str) -> String {
    let mut sources = Sources::new();
    let id = sources.add("/project/default.nix", text.as_bytes());
    let source = sources.text(id).clone();
    let arena = Bump::new();
    match parse(
        &arena,
        &mut Symbols::new(),
        &source,
        id,
        Path::new("/work"),
        Features::default(),
    ) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.render(&sources),
    }
}

#[test]
fn missing_semicolon() {
    assert_snapshot!(message("{\n  a = 1;\n  b = 2\n}\n"), @r#"
error: syntax error, unexpected '}', expecting ';'
       at /project/default.nix:4:1:
            3|   b = 2
            4| }
             | ^
            5|
note: expected ';' after the value of 'b'
note: the value of 'b' ends here
       at /project/default.nix:3:7:
            3|   b = 2
             |       ^
"#);
    assert_snapshot!(message("{\n  a = 1\n  b = 2;\n}\n"), @r#"
error: syntax error, unexpected '=', expecting ';'
       at /project/default.nix:3:5:
            2|   a = 1
            3|   b = 2;
             |     ^
            4| }
note: expected ';' after the value of 'a'
note: the ';' is missing before 'b'
       at /project/default.nix:3:3:
            3|   b = 2;
             |   ^
hint: each binding ends with ';' (and equality is '==')
"#);
    assert_snapshot!(message("let a = 1 in a"), @r#"
error: syntax error, unexpected 'in', expecting ';'
       at /project/default.nix:1:11:
            1| let a = 1 in a
             |           ^
note: expected ';' after the value of 'a'
note: the value of 'a' ends here
       at /project/default.nix:1:9:
            1| let a = 1 in a
             |         ^
"#);
    assert_snapshot!(message("with a b"), @r#"
error: syntax error, unexpected end of file, expecting ';'
       at /project/default.nix:1:9:
            1| with a b
             |         ^
note: expected ';' after the scope of 'with'
note: the 'with' is here
       at /project/default.nix:1:1:
            1| with a b
             | ^^^^
"#);
    assert_snapshot!(message("assert a == b c"), @r#"
error: syntax error, unexpected end of file, expecting ';'
       at /project/default.nix:1:16:
            1| assert a == b c
             |                ^
note: expected ';' after the condition of 'assert'
note: the 'assert' is here
       at /project/default.nix:1:1:
            1| assert a == b c
             | ^^^^^^
"#);
}

#[test]
fn equality_and_assignment() {
    assert_snapshot!(message("{ a == 1; }"), @r#"
error: syntax error, unexpected '==', expecting '.' or '='
       at /project/default.nix:1:5:
            1| { a == 1; }
             |     ^
note: expected '=' or '.' after the name of an attribute
hint: a binding has one '='; '==' compares
"#);
    assert_snapshot!(message("if a = 1 then b else c"), @r#"
error: syntax error, unexpected '=', expecting 'then'
       at /project/default.nix:1:6:
            1| if a = 1 then b else c
             |      ^
note: the 'if' is here
       at /project/default.nix:1:1:
            1| if a = 1 then b else c
             | ^^
hint: equality is '=='
"#);
    assert_snapshot!(message("{ a : 1; }"), @r#"
error: syntax error, unexpected ':', expecting '.' or '='
       at /project/default.nix:1:5:
            1| { a : 1; }
             |     ^
note: expected '=' or '.' after the name of an attribute
hint: a binding is written 'name = value;'
"#);
}

#[test]
fn unclosed() {
    assert_snapshot!(message("{ a = \"b;\n}\n"), @r#"
error: syntax error, unexpected end of file, expecting '"'
       at /project/default.nix:3:1:
            2| }
            3|
             | ^
note: the string is not closed
note: it is opened here
       at /project/default.nix:1:7:
            1| { a = "b;
             |       ^
hint: close it with '"'
"#);
    assert_snapshot!(message("{\n  a = ''\n    b\n}\n"), @r#"
error: syntax error, unexpected end of file, expecting indented string or '${' or end of an indented string
       at /project/default.nix:5:1:
            4| }
            5|
             | ^
note: the indented string is not closed
note: it is opened here
       at /project/default.nix:2:7:
            2|   a = ''
             |       ^^
hint: close it with "''"
"#);
    assert_snapshot!(message("{\n  a = [ 1 2;\n}\n"), @r#"
error: syntax error, unexpected ';'
       at /project/default.nix:2:12:
            1| {
            2|   a = [ 1 2;
             |            ^
            3| }
note: expected an element of the list or ']'
note: the list is opened here
       at /project/default.nix:2:7:
            2|   a = [ 1 2;
             |       ^
"#);
    assert_snapshot!(message("{\n  a = (f b;\n}\n"), @r#"
error: syntax error, unexpected ';', expecting ')'
       at /project/default.nix:2:11:
            1| {
            2|   a = (f b;
             |           ^
            3| }
note: the parenthesis is opened here
       at /project/default.nix:2:7:
            2|   a = (f b;
             |       ^
"#);
    assert_snapshot!(message("{\n  a = { b = 1; ;\n}\n"), @r#"
error: syntax error, unexpected ';', expecting 'inherit'
       at /project/default.nix:2:16:
            1| {
            2|   a = { b = 1; ;
             |                ^
            3| }
note: expected the name of an attribute or '}'
note: the set is opened here
       at /project/default.nix:2:7:
            2|   a = { b = 1; ;
             |       ^
hint: there is one ';' too many
"#);
    assert_snapshot!(message("{\n  a = { b = 1;\n"), @r#"
error: syntax error, unexpected end of file, expecting 'inherit'
       at /project/default.nix:3:1:
            2|   a = { b = 1;
            3|
             | ^
note: expected the name of an attribute or '}'
note: the set is opened here
       at /project/default.nix:2:7:
            2|   a = { b = 1;
             |       ^
"#);
    assert_snapshot!(message("\"a ${b c\""), @r#"
error: syntax error, unexpected end of file, expecting '"'
       at /project/default.nix:1:10:
            1| "a ${b c"
             |          ^
note: the string is not closed
note: it is opened here
       at /project/default.nix:1:9:
            1| "a ${b c"
             |         ^
hint: close it with '"'
"#);
    assert_snapshot!(message("1 /* a"), @r#"
error: syntax error, unexpected '*'
       at /project/default.nix:1:3:
            1| 1 /* a
             |   ^
note: the comment is not closed
hint: close it with '*/'
"#);
}

#[test]
fn conditions() {
    assert_snapshot!(message("if a then b"), @r#"
error: syntax error, unexpected end of file, expecting 'else'
       at /project/default.nix:1:12:
            1| if a then b
             |            ^
note: the 'if' is here
       at /project/default.nix:1:1:
            1| if a then b
             | ^^
hint: every 'if' needs an 'else': it is an expression and must have a value
"#);
    assert_snapshot!(message("{ x = if a; }"), @r#"
error: syntax error, unexpected ';', expecting 'then'
       at /project/default.nix:1:11:
            1| { x = if a; }
             |           ^
note: the 'if' is here
       at /project/default.nix:1:7:
            1| { x = if a; }
             |       ^^
"#);
    assert_snapshot!(message("1 + if a then b else c"), @r#"
error: syntax error, unexpected 'if'
       at /project/default.nix:1:5:
            1| 1 + if a then b else c
             |     ^
note: expected an expression
hint: an operand or argument that begins with 'if' needs parentheses: '(if …)'
"#);
    assert_snapshot!(message("f let a = 1; in a"), @r#"
error: syntax error, unexpected identifier, expecting '{'
       at /project/default.nix:1:7:
            1| f let a = 1; in a
             |       ^
note: expected '{' after a 'let' that is an operand or argument
note: the 'let' is here
       at /project/default.nix:1:3:
            1| f let a = 1; in a
             |   ^^^
hint: an operand or argument that begins with 'let' needs parentheses: '(let …)'
"#);
}

#[test]
fn functions() {
    assert_snapshot!(message("{ a, b, a }: a"), @r#"
error: duplicate formal function argument 'a'
       at /project/default.nix:1:9:
            1| { a, b, a }: a
             |         ^
note: the first one is here
       at /project/default.nix:1:3:
            1| { a, b, a }: a
             |   ^
"#);
    assert_snapshot!(message("{ a }@a: a"), @r#"
error: duplicate formal function argument 'a'
       at /project/default.nix:1:7:
            1| { a }@a: a
             |       ^
note: the first one is here
       at /project/default.nix:1:3:
            1| { a }@a: a
             |   ^
"#);
    assert_snapshot!(message("{ a = 1 }: a"), @r#"
error: syntax error, unexpected '}', expecting ';'
       at /project/default.nix:1:9:
            1| { a = 1 }: a
             |         ^
note: expected ';' after the value of 'a'
note: the value of 'a' ends here
       at /project/default.nix:1:7:
            1| { a = 1 }: a
             |       ^
hint: the default of a formal is written with '?': '{ name ? value }: …'
"#);
    assert_snapshot!(message("{ a, ..., b }: a"), @r#"
error: syntax error, unexpected ',', expecting '}'
       at /project/default.nix:1:9:
            1| { a, ..., b }: a
             |         ^
note: the list of formals is opened here
       at /project/default.nix:1:1:
            1| { a, ..., b }: a
             | ^
hint: '...' must be the last formal
"#);
    assert_snapshot!(message("{ a, b }"), @r#"
error: syntax error, unexpected end of file, expecting ':' or '@'
       at /project/default.nix:1:9:
            1| { a, b }
             |         ^
note: expected ':' or '@' after the formals of a function
note: the formals are opened here
       at /project/default.nix:1:1:
            1| { a, b }
             | ^
"#);
    assert_snapshot!(message("f x: x"), @r#"
error: syntax error, unexpected ':', expecting end of file
       at /project/default.nix:1:4:
            1| f x: x
             |    ^
hint: a function that is an operand or argument needs parentheses: '(x: …)'
"#);
}

#[test]
fn duplicates() {
    assert_snapshot!(message("{\n  a.b = 1;\n  a = { b = 2; };\n}"), @r#"
error: attribute 'a.b' already defined at /project/default.nix:2:3
       at /project/default.nix:3:9:
            2|   a.b = 1;
            3|   a = { b = 2; };
             |         ^
            4| }
note: the first definition is here
       at /project/default.nix:2:3:
            2|   a.b = 1;
             |   ^^^
"#);
    assert_snapshot!(message("{ inherit a; a = 1; }"), @r#"
error: attribute 'a' already defined at /project/default.nix:1:11
       at /project/default.nix:1:14:
            1| { inherit a; a = 1; }
             |              ^
note: the first definition is here
       at /project/default.nix:1:11:
            1| { inherit a; a = 1; }
             |           ^
"#);
    assert_snapshot!(message("let a = 1; a.b = 2; in a"), @r#"
error: attribute 'a' already defined at /project/default.nix:1:5
       at /project/default.nix:1:12:
            1| let a = 1; a.b = 2; in a
             |            ^
note: the first definition is here
       at /project/default.nix:1:5:
            1| let a = 1; a.b = 2; in a
             |     ^
"#);
}

#[test]
fn lists_and_inherit() {
    assert_snapshot!(message("[ 1, 2 ]"), @r#"
error: syntax error, unexpected ','
       at /project/default.nix:1:4:
            1| [ 1, 2 ]
             |    ^
note: expected an element of the list or ']'
note: the list is opened here
       at /project/default.nix:1:1:
            1| [ 1, 2 ]
             | ^
hint: the elements of a list are separated by blanks, not by commas
"#);
    assert_snapshot!(message("[ a + b ]"), @r#"
error: syntax error, unexpected '+'
       at /project/default.nix:1:5:
            1| [ a + b ]
             |     ^
note: expected an element of the list or ']'
note: the list is opened here
       at /project/default.nix:1:1:
            1| [ a + b ]
             | ^
hint: an element that is an operation needs parentheses: '[ (a + b) ]'
"#);
    assert_snapshot!(message("{ inherit a, b; }"), @r#"
error: syntax error, unexpected ','
       at /project/default.nix:1:12:
            1| { inherit a, b; }
             |            ^
note: expected a name or ';' after 'inherit'
hint: inherited names are separated by blanks, not by commas
"#);
    assert_snapshot!(message("{ inherit a.b; }"), @r#"
error: syntax error, unexpected '.'
       at /project/default.nix:1:12:
            1| { inherit a.b; }
             |            ^
note: expected a name or ';' after 'inherit'
hint: to inherit from a set, put it in parentheses: 'inherit (set) name;'
"#);
    assert_snapshot!(message("{ inherit ${a}; }"), @r#"
error: dynamic attributes not allowed in inherit
       at /project/default.nix:1:11:
            1| { inherit ${a}; }
             |           ^
hint: write a binding: '${name} = set.${name};'
"#);
    assert_snapshot!(message("let ${a} = 1; in a"), @r#"
error: dynamic attributes not allowed in let
       at /project/default.nix:1:1:
            1| let ${a} = 1; in a
             | ^
note: this name is computed
       at /project/default.nix:1:5:
            1| let ${a} = 1; in a
             |     ^^^^
hint: bind a set instead, and select from it: 'let s = { ${name} = …; }; in s.${name}'
"#);
    assert_snapshot!(message("{ if = 1; }"), @r#"
error: syntax error, unexpected 'if', expecting 'inherit'
       at /project/default.nix:1:3:
            1| { if = 1; }
             |   ^
note: expected the name of an attribute or '}'
note: the set is opened here
       at /project/default.nix:1:1:
            1| { if = 1; }
             | ^
hint: a keyword as a name needs quotes: '"if" = …;'
"#);
}

#[test]
fn operators() {
    assert_snapshot!(message("a == b == c"), @r#"
error: syntax error, unexpected '=='
       at /project/default.nix:1:8:
            1| a == b == c
             |        ^
note: comparison operators cannot be chained
hint: use parentheses, or '&&' between two comparisons
"#);
    assert_snapshot!(message("a & b"), @r#"
error: syntax error, unexpected invalid token, expecting end of file
       at /project/default.nix:1:3:
            1| a & b
             |   ^
hint: the logical 'and' is '&&'
"#);
    assert_snapshot!(message("a |> b"), @r#"
error: experimental Nix feature 'pipe-operators' is disabled; add '--extra-experimental-features pipe-operators' to enable it
       at /project/default.nix:1:3:
            1| a |> b
             |   ^
"#);
    assert_snapshot!(message("a ="), @r#"
error: syntax error, unexpected '=', expecting end of file
       at /project/default.nix:1:3:
            1| a =
             |   ^
hint: bindings stand in '{ … }' or 'let … in'; equality is '=='
"#);
}

#[test]
fn paths_and_numbers() {
    assert_snapshot!(message("./a/ + b"), @r#"
error: path has a trailing slash
       at /project/default.nix:1:5:
            1| ./a/ + b
             |     ^
hint: remove the '/' at its end
"#);
    assert_snapshot!(message("a//b/c//d"), @r#"
error: path has an empty component
       at /project/default.nix:1:7:
            1| a//b/c//d
             |       ^
hint: a path has single slashes; the operator '//' needs a blank before it
"#);
    assert_snapshot!(message("~/a"), @r#"
error: the path '~/a' can not be resolved in pure mode
       at /project/default.nix:1:1:
            1| ~/a
             | ^
"#);
    assert_snapshot!(message("9223372036854775808"), @r#"
error: invalid integer '9223372036854775808'
       at /project/default.nix:1:1:
            1| 9223372036854775808
             | ^
hint: integers have 64 bits, with a sign: the largest is 9223372036854775807
"#);
    assert_snapshot!(message("1.0e999"), @r#"
error: invalid float '1.0e999'
       at /project/default.nix:1:1:
            1| 1.0e999
             | ^
hint: it is outside the range of double-precision numbers
"#);
}

#[test]
fn odd_characters() {
    assert_snapshot!(message("a + \u{201c}b\u{201d}"), @r#"
error: syntax error, unexpected invalid token
       at /project/default.nix:1:5:
            1| a + “b”
             |     ^
note: expected an expression
hint: '“': beyond ASCII, characters may stand only in strings and comments
"#);
    assert_snapshot!(message("\u{fc}\u{df} = 'a'"), @r#"
error: syntax error, unexpected invalid token
       at /project/default.nix:1:1:
            1| üß = 'a'
             | ^
note: expected an expression
hint: 'ü': beyond ASCII, characters may stand only in strings and comments
"#);
    assert_snapshot!(message("\"\u{4f60}\u{597d}\" + \"\t\" )"), @r#"
error: syntax error, unexpected ')', expecting end of file
       at /project/default.nix:1:16:
            1| "你好" + " " )
             |            ^
"#);
    assert_snapshot!(message("\"a\0\""), @r#"
error: input string 'a␀' cannot be represented as Nix string because it contains null bytes
       at /project/default.nix:1:3:
            1| "a "
             |   ^
"#);
    assert_snapshot!(message("a \u{1} b"), @r#"
error: syntax error, unexpected invalid token, expecting end of file
       at /project/default.nix:1:3:
            1| a   b
             |   ^
hint: a control character, 0x01, begins no token
"#);
    assert_snapshot!(message("a\r\n\r\nb )"), @r#"
error: syntax error, unexpected ')', expecting end of file
       at /project/default.nix:3:3:
            2|
            3| b )
             |   ^
"#);
}

#[test]
fn long_lines_are_cut() {
    let text = format!("[ {} ) {} ]", "a ".repeat(100), "b ".repeat(100));
    assert_snapshot!(message(&text), @r#"
error: syntax error, unexpected ')'
       at /project/default.nix:1:204:
            1| … a a a a a a a a a a a a a a a a a a a a a a a a a a a a a  ) b b b b b b b b b b b b b b b b b b b b b b b b b b b b b…
             |                                                              ^
note: expected an element of the list or ']'
note: the list is opened here
       at /project/default.nix:1:1:
            1| [ a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a …
             | ^
"#);
}

#[test]
fn errors_can_be_taken_apart() {
    let mut sources = Sources::new();
    let id = sources.add("a.nix", b"{ a = 1;\n a = 2; }".as_slice());
    let source = sources.text(id).clone();
    let arena = Bump::new();
    let error = parse(
        &arena,
        &mut Symbols::new(),
        &source,
        id,
        Path::new("/"),
        Features::default(),
    )
    .expect_err("the attribute is defined twice");
    assert_eq!(
        error.kind(),
        &SyntaxErrorKind::DuplicateAttribute("a".into())
    );
    assert_eq!(sources.position(error.span()).to_string(), "a.nix:2:2");
    assert_eq!(
        sources.position(error.notes()[0].span).to_string(),
        "a.nix:1:3"
    );
    assert_eq!(error.to_string(), "attribute 'a' already defined");
}
