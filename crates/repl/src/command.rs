//! What a line asks for.

/// A line, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command<'l> {
    /// No command: an expression or bindings.
    Text(&'l str),
    Add(&'l str),
    Build(&'l str),
    BuildAndLink(&'l str),
    Documentation(&'l str),
    Edit(&'l str),
    Help,
    LastLoaded,
    Load(&'l str),
    LoadFlake(&'l str),
    Log(&'l str),
    Print(&'l str),
    Quit,
    Reload,
    TraceEnable(&'l str),
    Type(&'l str),
    /// One that Nix has, and why it is not here.
    NotHere(&'l str, &'static str),
    /// There is no such command.
    Unknown(&'l str),
}

/// All commands, for completion.
pub(crate) const NAMES: &[&str] = &[
    ":?",
    ":a",
    ":add",
    ":b",
    ":bl",
    ":doc",
    ":e",
    ":edit",
    ":help",
    ":l",
    ":last-loaded",
    ":lf",
    ":ll",
    ":load",
    ":load-flake",
    ":log",
    ":p",
    ":print",
    ":q",
    ":quit",
    ":r",
    ":reload",
    ":t",
    ":te",
    ":trace-enable",
];

/// What `:?` prints.
pub(crate) const HELP: &str = "\
The following commands are available:

  <expr>                       Evaluate and print an expression
  <x> = <expr>                 Bind a name; also `inherit (<expr>) <x>`
  :a, :add <expr>              Bind all attributes of a set
  :b <expr>                    Build a derivation
  :bl <expr>                   Build a derivation, and keep its outputs by links in
                               this directory
  :e, :edit <expr>             Open a file, function or package in $EDITOR
  :l, :load <path>             Evaluate a file, and bind its attributes
  :lf, :load-flake <ref>       Bind the attributes of a flake
  :ll, :last-loaded            Show the names that were bound last
  :p, :print <expr>            Evaluate and print with everything inside; a string as
                               it is
  :q, :quit                    Leave
  :r, :reload                  Load all files again
  :t <expr>                    Tell the type of a value
  :doc <expr>                  Show documentation of a function or attribute
  :log <expr>                  Show the log of a derivation's build
  :te, :trace-enable [bool]    Show all frames of errors, or not
  :?, :help                    This text

Ctrl-C stops an evaluation, Ctrl-D leaves. Tab completes names, files and commands.
";

const NO_PROFILE: &str =
    "it installs into a profile, and xbuild has none; `:bl` builds and keeps the result";
const NO_SHELL: &str = "it starts nix-shell, which xbuild does not have; `:b` builds a derivation";
const NO_DEBUGGER: &str = "it is one of the debugger, which xbuild does not have";

/// Understands a line.
pub(crate) fn parse(line: &str) -> Command<'_> {
    let line = line.trim();
    if !line.starts_with(':') {
        return Command::Text(line);
    }
    let (name, rest) = line
        .split_once(|c: char| c.is_ascii_whitespace())
        .unwrap_or((line, ""));
    let rest = rest.trim();
    match name {
        ":a" | ":add" => Command::Add(rest),
        ":b" => Command::Build(rest),
        ":bl" => Command::BuildAndLink(rest),
        ":doc" => Command::Documentation(rest),
        ":e" | ":edit" => Command::Edit(rest),
        ":?" | ":help" => Command::Help,
        ":ll" | ":last-loaded" => Command::LastLoaded,
        ":l" | ":load" => Command::Load(rest),
        ":lf" | ":load-flake" => Command::LoadFlake(rest),
        ":log" => Command::Log(rest),
        ":p" | ":print" => Command::Print(rest),
        ":q" | ":quit" => Command::Quit,
        ":r" | ":reload" => Command::Reload,
        ":te" | ":trace-enable" => Command::TraceEnable(rest),
        ":t" => Command::Type(rest),
        ":i" => Command::NotHere(name, NO_PROFILE),
        ":u" | ":sh" => Command::NotHere(name, NO_SHELL),
        ":env" | ":bt" | ":backtrace" | ":st" | ":c" | ":continue" | ":s" | ":step" => {
            Command::NotHere(name, NO_DEBUGGER)
        }
        _ => Command::Unknown(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(parse("  a = 1 "), Command::Text("a = 1"));
        assert_eq!(parse(":t  x y"), Command::Type("x y"));
        assert_eq!(parse(":load\t./f.nix"), Command::Load("./f.nix"));
        assert_eq!(parse(":q"), Command::Quit);
        assert_eq!(parse(":foo 1"), Command::Unknown(":foo"));
        assert!(matches!(parse(":st 1"), Command::NotHere(":st", _)));
    }

    #[test]
    fn every_name_is_a_command() {
        for name in NAMES {
            assert!(!matches!(parse(name), Command::Unknown(_)), "{name}");
        }
    }
}
