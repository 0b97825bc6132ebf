//! From bytes to tokens.
//!
//! The lexer is a function of a position: it keeps no mode. Strings and the parts of interpolated paths are scanned by
//! the parser, which knows that it is inside one. Like the generated lexer of Nix it takes the longest match, so
//! `a/b` is a path, `a:b` a URI and `-1/2` a path, whatever the surroundings.

use memchr::{memchr, memchr2};

const ID_START: u8 = 1;
const ID: u8 = 2;
const PATH: u8 = 4;
const SCHEME: u8 = 8;
const URI: u8 = 16;
const DIGIT: u8 = 32;

const CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut i = 0usize;
    while i < 256 {
        #[allow(clippy::cast_possible_truncation)]
        let c = i as u8;
        let mut class = 0;
        if c.is_ascii_alphabetic() {
            class |= ID_START | ID | PATH | SCHEME | URI;
        }
        if c.is_ascii_digit() {
            class |= ID | PATH | SCHEME | URI | DIGIT;
        }
        match c {
            b'_' => class |= ID_START | ID | PATH | URI,
            b'-' => class |= ID | PATH | SCHEME | URI,
            b'\'' => class |= ID | URI,
            b'.' | b'+' => class |= PATH | SCHEME | URI,
            b'%' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'$' | b',' | b'!' | b'~' | b'*' => {
                class |= URI;
            }
            _ => {}
        }
        table[i] = class;
        i += 1;
    }
    table
};

fn is(c: u8, class: u8) -> bool {
    CLASS[c as usize] & class != 0
}

/// Whether `c` may stand in an identifier after its first character.
pub(crate) fn is_identifier_char(c: u8) -> bool {
    is(c, ID)
}

/// Whether `name` reads as an identifier (keywords do too).
pub(crate) fn is_identifier(name: &[u8]) -> bool {
    matches!(name.split_first(), Some((&first, rest)) if is(first, ID_START) && rest.iter().all(|&c| is(c, ID)))
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tok {
    /// The end of the text, or a null byte, at which Nix stops reading too.
    Eof,
    Id,
    Int,
    Float,
    /// The literal part of a path up to the first `${`.
    Path,
    HomePath,
    SearchPath,
    Uri,
    If,
    Then,
    Else,
    Assert,
    With,
    Let,
    In,
    Rec,
    Inherit,
    OrKw,
    Ellipsis,
    Eq,
    NotEq,
    LessEq,
    GreaterEq,
    And,
    Or,
    Implies,
    Update,
    Concat,
    PipeFrom,
    PipeInto,
    DollarCurly,
    LBrace,
    RBrace,
    LParen,
    RParen,
    LBracket,
    RBracket,
    Semicolon,
    Comma,
    Colon,
    At,
    Dot,
    Assign,
    Question,
    Not,
    Minus,
    Plus,
    Star,
    Slash,
    Less,
    Greater,
    /// `"`
    Quote,
    /// `''`, with the blanks and the line end that follow it.
    IndentedQuote,
    /// `/*` without `*/`.
    OpenComment,
    /// A byte that begins no token.
    Unknown,
}

impl Tok {
    /// What messages call it, as Nix's parser does.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Eof => "end of file",
            Self::Id => "identifier",
            Self::Int => "integer",
            Self::Float => "floating-point literal",
            Self::Path => "path",
            Self::HomePath => "'~/…' path",
            Self::SearchPath => "'<…>' path",
            Self::Uri => "URI",
            Self::If => "'if'",
            Self::Then => "'then'",
            Self::Else => "'else'",
            Self::Assert => "'assert'",
            Self::With => "'with'",
            Self::Let => "'let'",
            Self::In => "'in'",
            Self::Rec => "'rec'",
            Self::Inherit => "'inherit'",
            Self::OrKw => "'or'",
            Self::Ellipsis => "'...'",
            Self::Eq => "'=='",
            Self::NotEq => "'!='",
            Self::LessEq => "'<='",
            Self::GreaterEq => "'>='",
            Self::And => "'&&'",
            Self::Or => "'||'",
            Self::Implies => "'->'",
            Self::Update => "'//'",
            Self::Concat => "'++'",
            Self::PipeFrom => "'<|'",
            Self::PipeInto => "'|>'",
            Self::DollarCurly => "'${'",
            Self::LBrace => "'{'",
            Self::RBrace => "'}'",
            Self::LParen => "'('",
            Self::RParen => "')'",
            Self::LBracket => "'['",
            Self::RBracket => "']'",
            Self::Semicolon => "';'",
            Self::Comma => "','",
            Self::Colon => "':'",
            Self::At => "'@'",
            Self::Dot => "'.'",
            Self::Assign => "'='",
            Self::Question => "'?'",
            Self::Not => "'!'",
            Self::Minus => "'-'",
            Self::Plus => "'+'",
            Self::Star => "'*'",
            Self::Slash | Self::OpenComment => "'/'",
            Self::Less => "'<'",
            Self::Greater => "'>'",
            Self::Quote => "'\"'",
            Self::IndentedQuote => "start of an indented string",
            Self::Unknown => "invalid token",
        }
    }
}

/// A token and where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) kind: Tok,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// The text being read.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    src: &'a [u8],
    // The last run of path characters and of URI scheme characters that was measured. Every position inside a run
    // has its end, so `a.a.a.…` is measured once and not once per component.
    path_run: (usize, usize),
    scheme_run: (usize, usize),
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(src: &'a [u8]) -> Self {
        Self {
            src,
            path_run: (0, 0),
            scheme_run: (0, 0),
        }
    }

    /// The byte at `pos`, 0 beyond the end.
    pub(crate) fn byte(&self, pos: usize) -> u8 {
        self.src.get(pos).copied().unwrap_or(0)
    }

    fn scan(&self, mut pos: usize, class: u8) -> usize {
        while let Some(&c) = self.src.get(pos)
            && is(c, class)
        {
            pos += 1;
        }
        pos
    }

    /// The end of the path characters at `pos`.
    pub(crate) fn path_run(&mut self, pos: usize) -> usize {
        if pos < self.path_run.0 || pos >= self.path_run.1 {
            self.path_run = (pos, self.scan(pos, PATH));
        }
        self.path_run.1
    }

    fn scheme_run(&mut self, pos: usize) -> usize {
        if pos < self.scheme_run.0 || pos >= self.scheme_run.1 {
            self.scheme_run = (pos, self.scan(pos, SCHEME));
        }
        self.scheme_run.1
    }

    /// The end of `(/component)*` at `pos`.
    fn components(&self, mut pos: usize) -> usize {
        while self.byte(pos) == b'/' && is(self.byte(pos + 1), PATH) {
            pos = self.scan(pos + 1, PATH);
        }
        pos
    }

    /// The end of the path literal that begins at `pos`, if one does.
    fn path_at(&mut self, pos: usize) -> Option<usize> {
        let slash = self.path_run(pos);
        self.path_tail(slash)
    }

    fn path_tail(&self, slash: usize) -> Option<usize> {
        if self.byte(slash) != b'/' {
            return None;
        }
        let next = self.byte(slash + 1);
        if is(next, PATH) {
            let end = self.components(slash);
            Some(if self.byte(end) == b'/' { end + 1 } else { end })
        } else if next == b'$' && self.byte(slash + 2) == b'{' {
            Some(slash + 1)
        } else {
            None
        }
    }

    /// The end of the piece of path that continues at `pos`, inside an interpolated path.
    pub(crate) fn path_piece(&mut self, pos: usize) -> Option<usize> {
        let end = self.path_run(pos);
        if self.byte(end) == b'/' {
            let rest = self.components(end);
            Some(if self.byte(rest) == b'/' {
                rest + 1
            } else {
                rest
            })
        } else {
            (end > pos).then_some(end)
        }
    }

    fn uri_at(&mut self, pos: usize) -> Option<usize> {
        if !self.byte(pos).is_ascii_alphabetic() {
            return None;
        }
        let colon = self.scheme_run(pos);
        (self.byte(colon) == b':' && is(self.byte(colon + 1), URI))
            .then(|| self.scan(colon + 1, URI))
    }

    /// Skips blanks and comments; an unclosed comment is not skipped.
    pub(crate) fn skip_trivia(&self, mut pos: usize) -> usize {
        loop {
            match self.byte(pos) {
                b' ' | b'\t' | b'\r' | b'\n' => pos += 1,
                b'#' => match memchr2(b'\n', b'\r', &self.src[pos..]) {
                    Some(n) => pos += n,
                    None => return self.src.len(),
                },
                b'/' if self.byte(pos + 1) == b'*' => match self.comment_end(pos + 2) {
                    Some(end) => pos = end,
                    None => return pos,
                },
                _ => return pos,
            }
        }
    }

    fn comment_end(&self, mut pos: usize) -> Option<usize> {
        loop {
            pos += memchr(b'*', self.src.get(pos..)?)? + 1;
            if self.byte(pos) == b'/' {
                return Some(pos + 1);
            }
        }
    }

    /// The token at or after `pos`.
    pub(crate) fn lex(&mut self, pos: usize) -> Token {
        let start = self.skip_trivia(pos);
        let Some(&c) = self.src.get(start) else {
            return token(Tok::Eof, self.src.len(), self.src.len());
        };
        let (kind, end) = match c {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(start),
            b'0'..=b'9' => self.number(start),
            b'.' | b'-' | b'+' | b'/' => self.path_or_operator(start, c),
            b'~' => self.home_path(start),
            b'<' => self.less(start),
            _ => {
                let two = |second: u8, long: Tok, short: Tok| {
                    if self.byte(start + 1) == second {
                        (long, start + 2)
                    } else {
                        (short, start + 1)
                    }
                };
                match c {
                    b'{' => (Tok::LBrace, start + 1),
                    b'}' => (Tok::RBrace, start + 1),
                    b'(' => (Tok::LParen, start + 1),
                    b')' => (Tok::RParen, start + 1),
                    b'[' => (Tok::LBracket, start + 1),
                    b']' => (Tok::RBracket, start + 1),
                    b';' => (Tok::Semicolon, start + 1),
                    b',' => (Tok::Comma, start + 1),
                    b':' => (Tok::Colon, start + 1),
                    b'@' => (Tok::At, start + 1),
                    b'?' => (Tok::Question, start + 1),
                    b'*' => (Tok::Star, start + 1),
                    b'"' => (Tok::Quote, start + 1),
                    b'=' => two(b'=', Tok::Eq, Tok::Assign),
                    b'!' => two(b'=', Tok::NotEq, Tok::Not),
                    b'>' => two(b'=', Tok::GreaterEq, Tok::Greater),
                    b'&' => two(b'&', Tok::And, Tok::Unknown),
                    b'$' => two(b'{', Tok::DollarCurly, Tok::Unknown),
                    b'|' => match self.byte(start + 1) {
                        b'|' => (Tok::Or, start + 2),
                        b'>' => (Tok::PipeInto, start + 2),
                        _ => (Tok::Unknown, start + 1),
                    },
                    b'\'' if self.byte(start + 1) == b'\'' => {
                        // The rest of the first line belongs to the quote when it is blank.
                        let mut end = start + 2;
                        while self.byte(end) == b' ' {
                            end += 1;
                        }
                        let end = if self.byte(end) == b'\n' {
                            end + 1
                        } else {
                            start + 2
                        };
                        (Tok::IndentedQuote, end)
                    }
                    0 => (Tok::Eof, start + 1),
                    _ => (Tok::Unknown, start + 1),
                }
            }
        };
        token(kind, start, end)
    }

    fn word(&mut self, start: usize) -> (Tok, usize) {
        let end = self.scan(start + 1, ID);
        // A longer match as path or URI is possible only before these.
        if matches!(self.byte(end), b'/' | b'.' | b'+' | b':') {
            if let Some(end) = self.path_at(start) {
                return (Tok::Path, end);
            }
            if let Some(end) = self.uri_at(start) {
                return (Tok::Uri, end);
            }
        }
        let kind = match &self.src[start..end] {
            b"if" => Tok::If,
            b"in" => Tok::In,
            b"or" => Tok::OrKw,
            b"let" => Tok::Let,
            b"rec" => Tok::Rec,
            b"then" => Tok::Then,
            b"else" => Tok::Else,
            b"with" => Tok::With,
            b"assert" => Tok::Assert,
            b"inherit" => Tok::Inherit,
            _ => Tok::Id,
        };
        (kind, end)
    }

    fn number(&mut self, start: usize) -> (Tok, usize) {
        let end = self.scan(start, DIGIT);
        let next = self.byte(end);
        if (next == b'/' || is(next, PATH))
            && let Some(end) = self.path_at(start)
        {
            return (Tok::Path, end);
        }
        if next == b'.' {
            let fraction = self.scan(end + 1, DIGIT);
            let leading_zero = self.byte(start) == b'0';
            if !leading_zero || (end == start + 1 && fraction > end + 1) {
                return (Tok::Float, self.exponent(fraction));
            }
        }
        (Tok::Int, end)
    }

    fn exponent(&self, pos: usize) -> usize {
        if !matches!(self.byte(pos), b'e' | b'E') {
            return pos;
        }
        let digits = match self.byte(pos + 1) {
            b'+' | b'-' => pos + 2,
            _ => pos + 1,
        };
        let end = self.scan(digits, DIGIT);
        if end > digits { end } else { pos }
    }

    fn path_or_operator(&mut self, start: usize, c: u8) -> (Tok, usize) {
        let path = if c == b'/' {
            self.path_tail(start)
        } else {
            self.path_at(start)
        };
        if let Some(end) = path {
            return (Tok::Path, end);
        }
        let next = self.byte(start + 1);
        match (c, next) {
            (b'.', b'0'..=b'9') => (Tok::Float, self.exponent(self.scan(start + 1, DIGIT))),
            (b'.', b'.') if self.byte(start + 2) == b'.' => (Tok::Ellipsis, start + 3),
            (b'.', _) => (Tok::Dot, start + 1),
            (b'-', b'>') => (Tok::Implies, start + 2),
            (b'-', _) => (Tok::Minus, start + 1),
            (b'+', b'+') => (Tok::Concat, start + 2),
            (b'+', _) => (Tok::Plus, start + 1),
            (_, b'/') => (Tok::Update, start + 2),
            (_, b'*') => (Tok::OpenComment, start + 2),
            _ => (Tok::Slash, start + 1),
        }
    }

    fn home_path(&self, start: usize) -> (Tok, usize) {
        match self.path_tail(start + 1) {
            Some(end) => (Tok::HomePath, end),
            None => (Tok::Unknown, start + 1),
        }
    }

    fn less(&mut self, start: usize) -> (Tok, usize) {
        match self.byte(start + 1) {
            b'=' => return (Tok::LessEq, start + 2),
            b'|' => return (Tok::PipeFrom, start + 2),
            c if is(c, PATH) => {
                let first = self.path_run(start + 1);
                let end = self.components(first);
                if self.byte(end) == b'>' {
                    return (Tok::SearchPath, end + 1);
                }
            }
            _ => {}
        }
        (Tok::Less, start + 1)
    }
}

// The parser refuses texts beyond 4 GiB before it makes a lexer.
#[allow(clippy::cast_possible_truncation)]
fn token(kind: Tok, start: usize, end: usize) -> Token {
    Token {
        kind,
        start: start as u32,
        end: end as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::{Lexer, Tok};

    fn lex(text: &str) -> Vec<(Tok, &str)> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut tokens = Vec::new();
        let mut pos = 0;
        loop {
            let token = lexer.lex(pos);
            if token.kind == Tok::Eof {
                return tokens;
            }
            pos = token.end as usize;
            tokens.push((token.kind, &text[token.start as usize..pos]));
        }
    }

    #[test]
    fn the_longest_match_wins() {
        assert_eq!(lex("a/b"), [(Tok::Path, "a/b")]);
        assert_eq!(lex("a /b"), [(Tok::Id, "a"), (Tok::Path, "/b")]);
        assert_eq!(
            lex("a/ b"),
            [(Tok::Id, "a"), (Tok::Slash, "/"), (Tok::Id, "b")]
        );
        assert_eq!(
            lex("a//b"),
            [(Tok::Id, "a"), (Tok::Update, "//"), (Tok::Id, "b")]
        );
        assert_eq!(lex("-1/2"), [(Tok::Path, "-1/2")]);
        assert_eq!(lex("a:b"), [(Tok::Uri, "a:b")]);
        assert_eq!(
            lex("a_b:c"),
            [(Tok::Id, "a_b"), (Tok::Colon, ":"), (Tok::Id, "c")]
        );
        assert_eq!(lex("a'b/c"), [(Tok::Id, "a'b"), (Tok::Path, "/c")]);
        assert_eq!(lex("<a/b>"), [(Tok::SearchPath, "<a/b>")]);
        assert_eq!(
            lex("a<b"),
            [(Tok::Id, "a"), (Tok::Less, "<"), (Tok::Id, "b")]
        );
        assert_eq!(lex("...a"), [(Tok::Ellipsis, "..."), (Tok::Id, "a")]);
        assert_eq!(lex(".../a"), [(Tok::Path, ".../a")]);
        assert_eq!(lex("./${"), [(Tok::Path, "./"), (Tok::DollarCurly, "${")]);
    }

    #[test]
    fn numbers() {
        assert_eq!(lex("1.5e3"), [(Tok::Float, "1.5e3")]);
        assert_eq!(lex("1e3"), [(Tok::Int, "1"), (Tok::Id, "e3")]);
        assert_eq!(lex("00.5"), [(Tok::Int, "00"), (Tok::Float, ".5")]);
        assert_eq!(lex("1.5.6"), [(Tok::Float, "1.5"), (Tok::Float, ".6")]);
        assert_eq!(lex("1.e"), [(Tok::Float, "1."), (Tok::Id, "e")]);
        assert_eq!(
            lex("0.a"),
            [(Tok::Int, "0"), (Tok::Dot, "."), (Tok::Id, "a")]
        );
    }

    #[test]
    fn comments() {
        assert_eq!(lex("# a\rb"), [(Tok::Id, "b")]);
        assert_eq!(lex("/**/ a /* * / */"), [(Tok::Id, "a")]);
        assert_eq!(lex("a /* b")[1], (Tok::OpenComment, "/*"));
    }
}
