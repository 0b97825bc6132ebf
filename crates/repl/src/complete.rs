//! What a word may become: the names of variables, attributes, files and commands.

use std::fs;
use std::path::Path;

use xbuild_eval::scope::Input;
use xbuild_eval::{Pos, print};

use crate::command;
use crate::repl::Repl;

/// What the name of a file does not have.
const BREAKS: &[char] = &[
    ' ', '\t', '\n', '\r', '(', ')', '{', '}', '[', ']', ';', '=',
];

/// In front of a path these make the reference of a flake of it.
const SCHEMES: &[&str] = &["path:", "git+file:"];

impl Repl {
    /// The words that the text before the cursor may end in, and where in it they begin.
    pub fn complete(&mut self, before: &str) -> (usize, Vec<String>) {
        if before.starts_with(':') && !before.contains(BREAKS) {
            let names = command::NAMES
                .iter()
                .filter(|name| name.starts_with(before));
            return (0, names.map(|name| (*name).to_owned()).collect());
        }
        let mut start = before.rfind(BREAKS).map_or(0, |at| at + 1);
        let mut found = if before[start..].contains('/') {
            let word = &before[start..];
            start += SCHEMES
                .iter()
                .find(|scheme| word.starts_with(**scheme))
                .map_or(0, |scheme| scheme.len());
            files(&before[start..])
        } else {
            let selection = Selection::at_end(before);
            start = selection.start;
            match selection.subject {
                Some(subject) => self.attributes(subject, selection.name),
                None => self.variables(selection.name),
            }
        };
        found.sort();
        found.dedup();
        (start, found)
    }

    fn variables(&self, word: &str) -> Vec<String> {
        let ev = &self.evaluator;
        let names = ev.global_names().into_iter().chain(self.scope.names());
        names
            .map(|name| ev.name(name).into_owned())
            .filter(|name| name.starts_with(word))
            .collect()
    }

    /// The attributes of a value; nothing where that cannot be evaluated.
    fn attributes(&mut self, subject: &str, begin: &str) -> Vec<String> {
        if !matches!(
            self.evaluator.classify(subject, &self.directory),
            Input::Expression
        ) {
            return Vec::new();
        }
        let value = self
            .evaluator
            .eval_in_scope(subject, &self.directory, &self.scope)
            .and_then(|value| self.evaluator.force(value, Pos::NONE));
        let Some(attrs) = value.ok().and_then(xbuild_eval::Value::as_attrs) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for attr in self.evaluator.sorted_by_name(attrs) {
            let name = self.evaluator.name(attr.name);
            if name.starts_with(begin) {
                let mut shown = Vec::new();
                print::print_name(name.as_bytes(), &mut shown);
                found.push(format!("{subject}.{}", String::from_utf8_lossy(&shown)));
            }
        }
        found
    }
}

/// The files whose paths begin like `word`; hidden ones only if it says so.
fn files(word: &str) -> Vec<String> {
    let (directory, begin) = word.rsplit_once('/').unwrap_or(("", word));
    let home = std::env::var("HOME").unwrap_or_default();
    let place = match directory {
        "" => "/".to_owned(),
        other => match other.strip_prefix('~') {
            Some(rest) => format!("{home}{rest}"),
            None => other.to_owned(),
        },
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(&place))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_wanted = begin.starts_with('.') || !name.starts_with('.');
        if is_wanted && name.starts_with(begin) {
            // Of what a link leads to, too.
            let slash = if entry.path().is_dir() { "/" } else { "" };
            found.push(format!("{directory}/{name}{slash}"));
        }
    }
    found
}

/// What a text ends in: the begin of a name, after what it is to be selected from, if that is a selection.
#[derive(Debug, PartialEq, Eq)]
struct Selection<'t> {
    /// Where all of it begins.
    start: usize,
    subject: Option<&'t str>,
    name: &'t str,
}

impl<'t> Selection<'t> {
    fn at_end(text: &'t str) -> Self {
        let end = match text.rfind('"') {
            // `set."begin of a name`
            Some(quote) if text[..quote].ends_with('.') => quote + 1,
            _ => name_start(text),
        };
        let name = &text[end..];
        let subject = text[..end].trim_end_matches('"').strip_suffix('.');
        let start = subject.and_then(chain_start);
        match (subject, start) {
            (Some(subject), Some(start)) => Self {
                start,
                subject: Some(&subject[start..]),
                name,
            },
            _ => Self {
                start: end,
                subject: None,
                name,
            },
        }
    }
}

/// Where the identifier begins that a text ends in; its end if there is none.
fn name_start(text: &str) -> usize {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_'-".contains(c);
    let rest = text.trim_end_matches(is_part);
    let word = &text[rest.len()..];
    // What a name does not begin with belongs to what is before it: `1-x`.
    text.len()
        - word
            .trim_start_matches(|c: char| !c.is_ascii_alphabetic() && c != '_')
            .len()
}

/// Where the operand begins that a text ends in: names, strings and parentheses with dots between.
fn chain_start(text: &str) -> Option<usize> {
    let mut start = text.len();
    loop {
        let before = &text[..start];
        start = match before.chars().next_back()? {
            '"' => before[..start - 1].rfind('"')?,
            ')' => opening(before)?,
            _ => match name_start(before) {
                begin if begin < start => begin,
                _ => return None,
            },
        };
        match text[..start].strip_suffix('.') {
            Some(more) => start = more.len(),
            None => return Some(start),
        }
    }
}

/// Where the parenthesis opens that is closed at the end of a text.
fn opening(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices().rev() {
        match c {
            ')' => depth += 1,
            '(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections() {
        let of = |text| {
            let found = Selection::at_end(text);
            (found.subject, found.name)
        };
        assert_eq!(of("a.b"), (Some("a"), "b"));
        assert_eq!(of("1 + f a.b.c"), (Some("a.b"), "c"));
        assert_eq!(of("!a."), (Some("a"), ""));
        assert_eq!(of("x:1-a.b-c'"), (Some("a"), "b-c'"));
        assert_eq!(of("{ b ? a.b"), (Some("a"), "b"));
        assert_eq!(of("\"${a.b"), (Some("a"), "b"));
        assert_eq!(of("a.\"b c\".d"), (Some("a.\"b c\""), "d"));
        assert_eq!(of("a.\"b c"), (Some("a"), "b c"));
        assert_eq!(of("f (g (x)).a.b"), (Some("(g (x)).a"), "b"));
        assert_eq!(of("map"), (None, "map"));
        assert_eq!(of("1+ma"), (None, "ma"));
        for text in ["", ".", "..", ").a", "1.a", "\".", "é.a", "a.\"", "é"] {
            let found = Selection::at_end(text);
            assert!(text.is_char_boundary(found.start), "{text}");
        }
    }
}
