//! What a word may become: the names of variables, attributes, files and commands.

use std::fs;
use std::path::Path;

use xbuild_eval::scope::Input;
use xbuild_eval::{Pos, print};

use crate::command;
use crate::repl::Repl;

/// What ends a word.
const BREAKS: &[char] = &[
    ' ', '\t', '\n', '\r', '(', ')', '{', '}', '[', ']', ';', '=',
];

impl Repl {
    /// The words that the text before the cursor may end in, and where in it they begin.
    pub fn complete(&mut self, before: &str) -> (usize, Vec<String>) {
        let start = before.rfind(BREAKS).map_or(0, |at| at + 1);
        let word = &before[start..];
        if start == 0 && word.starts_with(':') {
            let names = command::NAMES.iter().filter(|name| name.starts_with(word));
            return (0, names.map(|name| (*name).to_owned()).collect());
        }
        let mut found = if word.contains('/') {
            files(word)
        } else if let Some((subject, name)) = word.rsplit_once('.') {
            self.attributes(subject, name)
        } else {
            self.variables(word)
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
        let Some(attrs) = value.ok().and_then(|value| value.as_attrs()) else {
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

/// The files whose paths begin like `word`, without hidden ones.
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
        if !name.starts_with('.') && name.starts_with(begin) {
            found.push(format!("{directory}/{name}"));
        }
    }
    found
}
