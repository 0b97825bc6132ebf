//! Settings as options: as with Nix's commands, `--max-call-depth 50` is `--option max-call-depth 50`, and a setting that
//! is on or off is `--trace-verbose` or `--no-trace-verbose`.

use std::ffi::OsString;

use xbuild_realise::settings::{KeyKind, kind_of};

/// The arguments of the program, which is `cli`, with settings written as `--option KEY VALUE`. Options that the command itself has stay.
///
/// Settings before the command are moved behind it: clap takes either those before a command or those behind it.
pub(crate) fn expand(
    cli: &clap::Command,
    arguments: impl Iterator<Item = OsString>,
) -> Vec<OsString> {
    let mut arguments = arguments.peekable();
    let mut expanded: Vec<OsString> = arguments.next().into_iter().collect();
    let mut command: Option<&clap::Command> = None;
    let mut is_first = true;
    let mut before = Vec::new();
    while let Some(argument) = arguments.next() {
        let text = argument.to_str().unwrap_or_default();
        if text == "--" {
            expanded.push(argument);
            expanded.extend(arguments);
            return expanded;
        }
        if is_first && !text.starts_with('-') {
            let found = command.unwrap_or(cli).get_subcommands().find(|command| {
                command.get_name() == text || command.get_all_aliases().any(|alias| alias == text)
            });
            if let Some(found) = found {
                command = Some(found);
                is_first = found.has_subcommands();
                expanded.push(argument);
                if !is_first {
                    expanded.append(&mut before);
                }
                continue;
            }
            is_first = command.is_none();
        }
        let is_before = command.is_none_or(clap::Command::has_subcommands);
        let Some(flag) = text.strip_prefix("--") else {
            expanded.push(argument);
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (flag, None),
        };
        let of_command = |long: &str| {
            cli.get_arguments()
                .chain(command.into_iter().flat_map(clap::Command::get_arguments))
                .find(|known| known.get_long() == Some(long))
        };
        if let Some(known) = of_command(name) {
            // Its values are no options, whatever they look like.
            let values = known.get_num_args().map_or(0, |range| range.max_values());
            let values = match known.get_action() {
                clap::ArgAction::Set | clap::ArgAction::Append => values.max(1),
                _ => 0,
            };
            let given = value.is_some();
            let place = match name {
                "option" if is_before => &mut before,
                _ => &mut expanded,
            };
            place.push(argument);
            if !given && values <= 2 {
                place.extend(arguments.by_ref().take(values));
            }
            continue;
        }
        let place = match is_before {
            true => &mut before,
            false => &mut expanded,
        };
        let option = |key: &str, value: OsString| [OsString::from("--option"), key.into(), value];
        if let (Some(settings), None) = (short_for(name), &value) {
            for (key, set) in settings {
                place.extend(option(key, (*set).into()));
            }
            continue;
        }
        match (
            kind_of(name),
            name.strip_prefix("no-").map(|key| (key, kind_of(key))),
        ) {
            (Some(KeyKind::Switch), _) if value.is_none() => {
                place.extend(option(name, "true".into()));
            }
            (_, Some((key, Some(KeyKind::Switch)))) if value.is_none() => {
                place.extend(option(key, "false".into()));
            }
            (Some(_), _) => match value.or_else(|| arguments.next()) {
                Some(value) => place.extend(option(name, value)),
                None => expanded.push(argument),
            },
            _ => expanded.push(argument),
        }
    }
    expanded.append(&mut before);
    expanded
}

/// What Nix's options `--refresh` and `--offline` set.
fn short_for(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    match name {
        "refresh" => Some(&[("tarball-ttl", "0")]),
        "offline" => Some(&[("substitute", "false"), ("tarball-ttl", "4294967295")]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Cli;

    fn expanded(line: &str) -> String {
        let words = line.split(' ').map(OsString::from);
        let words: Vec<String> = expand(&Cli::command(), words)
            .into_iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        words.join(" ")
    }

    #[test]
    fn options_of_nested_commands_stay() {
        assert_eq!(
            expanded("xbuild bench scheduler --max-jobs 3 --cores 2"),
            "xbuild bench scheduler --max-jobs 3 --option cores 2"
        );
        assert_eq!(
            expanded("xbuild --cores 1 store --cores 2 add --name --cores x"),
            "xbuild store add --option cores 1 --option cores 2 --name --cores x"
        );
    }

    #[test]
    fn settings_become_options() {
        assert_eq!(
            expanded("xbuild eval --refresh --no-eval-cache f"),
            "xbuild eval --option tarball-ttl 0 --option eval-cache false f"
        );
        assert_eq!(
            expanded("xbuild doctor --offline"),
            "xbuild doctor --offline"
        );
        assert_eq!(
            expanded("xbuild eval --max-call-depth 50 -E 1"),
            "xbuild eval --option max-call-depth 50 -E 1"
        );
        assert_eq!(
            expanded(
                "xbuild eval --extra-experimental-features=flakes --no-allow-import-from-derivation f"
            ),
            "xbuild eval --option extra-experimental-features flakes --option allow-import-from-derivation false f"
        );
        assert_eq!(
            expanded("xbuild eval --trace-verbose --lint-url-literals fatal f"),
            "xbuild eval --option trace-verbose true --option lint-url-literals fatal f"
        );
    }

    #[test]
    fn settings_before_the_command_go_behind_it() {
        assert_eq!(
            expanded(
                "xbuild --option max-jobs 2 --trace-verbose --store s eval --max-call-depth 50 f"
            ),
            "xbuild --store s eval --option max-jobs 2 --option trace-verbose true --option max-call-depth 50 f"
        );
        assert_eq!(
            expanded("xbuild --pure-eval --version"),
            "xbuild --version --option pure-eval true"
        );
    }

    #[test]
    fn options_of_the_command_stay() {
        for line in [
            "xbuild realise --cores 3 x",
            "xbuild eval --expr --pure-eval",
            "xbuild eval --argstr cores --pure-eval",
            "xbuild --store s eval --show-trace f",
            "xbuild eval --nonsense",
            "xbuild eval -- --pure-eval",
        ] {
            assert_eq!(expanded(line), line);
        }
    }
}
