//! Store paths: `/nix/store/<hash part>-<name>`.
//!
//! Format: Nix manual, "Store path" and "Store path specification".

mod compute;

pub use compute::{
    downstream_placeholder, hash_placeholder, make_content_addressed_path, make_fixed_output_path,
    make_output_path, make_scratch_path, make_text_path, output_path_name,
};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{STORE_DIR, base32};

/// Characters of the hash part.
pub const HASH_PART_LEN: usize = 32;

/// The longest name, in bytes.
pub const MAX_NAME_LEN: usize = 211;

/// What a store derivation's name ends with.
pub const DRV_EXTENSION: &str = ".drv";

/// Which rule of store paths a text breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorePathError {
    /// Not below the store directory.
    #[error("path '{path}' is not in the Nix store")]
    NotInStore {
        /// The path.
        path: String,
    },
    /// No room for a hash part, a dash and a name.
    #[error(
        "'{base_name}' is too short to be a valid store path\nhint: it should be a 32-character hash, '-' and a name"
    )]
    TooShort {
        /// The path's last component.
        base_name: String,
    },
    /// The 33rd byte is not a dash.
    #[error("'{base_name}' can't name a store path because the hash part is not followed by a '-'")]
    MissingDash {
        /// The path's last component.
        base_name: String,
    },
    /// A byte of the hash part that is no base-32 digit.
    #[error("store path '{base_name}' contains illegal base-32 character '{}' at offset {offset}", .found.escape_ascii())]
    HashCharacter {
        /// The path's last component.
        base_name: String,
        /// Where in it.
        offset: usize,
        /// The byte found there.
        found: u8,
    },
    /// The name breaks a rule.
    #[error("path '{base_name}' is not a valid store path: {error}")]
    Name {
        /// The path's last component.
        base_name: String,
        /// The rule.
        error: NameError,
    },
    /// A name breaks a rule, before there is a path.
    #[error(transparent)]
    BareName(#[from] NameError),
    /// References where the kind of path allows none.
    #[error(
        "fixed output '{name}' is not allowed to refer to other store paths: only paths addressed by the SHA-256 hash of their NAR can have references"
    )]
    ReferencesNotAllowed {
        /// The path's name.
        name: String,
    },
    /// A text path hashed with something else than SHA-256.
    #[error("text path '{name}' must be hashed with sha256, not {algo}")]
    TextHash {
        /// The path's name.
        name: String,
        /// The algorithm given.
        algo: crate::HashAlgo,
    },
}

/// Which rule of store path names a text breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("name must not be empty")]
    Empty,
    /// More than [`MAX_NAME_LEN`] bytes.
    #[error("name '{name}' must be no longer than {MAX_NAME_LEN} characters")]
    TooLong {
        /// The name.
        name: String,
    },
    /// Exactly `.` or `..`.
    #[error("name '{name}' is not valid")]
    Dots {
        /// The name.
        name: String,
    },
    /// Begins with `.-` or `..-`.
    #[error("name '{name}' is not valid: first dash-separated component must not be '{component}'")]
    DotComponent {
        /// The name.
        name: String,
        /// `.` or `..`.
        component: &'static str,
    },
    /// A byte outside the allowed set.
    #[error("name '{name}' contains illegal character '{}'", .found.escape_ascii())]
    Character {
        /// The name.
        name: String,
        /// Where in it.
        offset: usize,
        /// The byte found there.
        found: u8,
    },
}

/// Checks a store path's name, the part behind the hash and its dash.
///
/// # Errors
/// Says which rule is broken.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let owned = || name.to_owned();
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_LEN {
        return Err(NameError::TooLong { name: owned() });
    }
    for component in [".", ".."] {
        match name.strip_prefix(component).map(|rest| rest.bytes().next()) {
            Some(None) => return Err(NameError::Dots { name: owned() }),
            Some(Some(b'-')) => {
                return Err(NameError::DotComponent {
                    name: owned(),
                    component,
                });
            }
            _ => {}
        }
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"+-._?=".contains(&b);
    match name.bytes().enumerate().find(|&(_, b)| !legal(b)) {
        Some((offset, found)) => Err(NameError::Character {
            name: owned(),
            offset,
            found,
        }),
        None => Ok(()),
    }
}

/// A valid store path. Cheap to clone; ordered by base name, as in Nix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath {
    base_name: Arc<str>,
}

impl StorePath {
    /// From `<hash part>-<name>`.
    ///
    /// # Errors
    /// Says which rule is broken.
    pub fn from_base_name(base_name: &str) -> Result<StorePath, StorePathError> {
        let owned = || base_name.to_owned();
        let bytes = base_name.as_bytes();
        if bytes.len() < HASH_PART_LEN + 1 {
            return Err(StorePathError::TooShort { base_name: owned() });
        }
        if bytes[HASH_PART_LEN] != b'-' {
            return Err(StorePathError::MissingDash { base_name: owned() });
        }
        let bad = |&(_, &b): &(usize, &u8)| !base32::is_digit(b);
        if let Some((offset, &found)) = bytes[..HASH_PART_LEN].iter().enumerate().find(bad) {
            return Err(StorePathError::HashCharacter {
                base_name: owned(),
                offset,
                found,
            });
        }
        // In bounds and on a character border: byte 32 is an ASCII dash.
        check_name(&base_name[HASH_PART_LEN + 1..]).map_err(|error| StorePathError::Name {
            base_name: owned(),
            error,
        })?;
        Ok(StorePath {
            base_name: base_name.into(),
        })
    }

    /// From `/nix/store/<hash part>-<name>`, exactly.
    ///
    /// # Errors
    /// When the path is not directly below the store directory or breaks a
    /// rule.
    pub fn parse(path: &str) -> Result<StorePath, StorePathError> {
        match strip_store_dir(path) {
            Some(base_name) if !base_name.contains('/') => StorePath::from_base_name(base_name),
            _ => Err(StorePathError::NotInStore {
                path: path.to_owned(),
            }),
        }
    }

    /// Splits a path at or below a store path into that store path and the
    /// rest, which is empty or begins with `/`.
    ///
    /// # Errors
    /// When the path is not below the store directory, or its component there
    /// breaks a rule.
    pub fn parse_prefix(path: &str) -> Result<(StorePath, &str), StorePathError> {
        let below = strip_store_dir(path).ok_or_else(|| StorePathError::NotInStore {
            path: path.to_owned(),
        })?;
        let end = below.find('/').unwrap_or(below.len());
        Ok((StorePath::from_base_name(&below[..end])?, &below[end..]))
    }

    /// The 32 base-32 digits.
    #[must_use]
    pub fn hash_part(&self) -> &str {
        &self.base_name[..HASH_PART_LEN]
    }

    /// What follows the hash part and its dash.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.base_name[HASH_PART_LEN + 1..]
    }

    /// `<hash part>-<name>`.
    #[must_use]
    pub fn base_name(&self) -> &str {
        &self.base_name
    }

    /// Whether the name ends in `.drv`.
    #[must_use]
    pub fn is_derivation(&self) -> bool {
        self.name().ends_with(DRV_EXTENSION)
    }

    /// The name without its `.drv`; `None` if this is no derivation.
    #[must_use]
    pub fn derivation_name(&self) -> Option<&str> {
        self.name().strip_suffix(DRV_EXTENSION)
    }
}

fn strip_store_dir(path: &str) -> Option<&str> {
    path.strip_prefix(STORE_DIR)?.strip_prefix('/')
}

/// Prints the whole logical path.
impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE_DIR)?;
        f.write_str("/")?;
        f.write_str(&self.base_name)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorePath({})", self.base_name)
    }
}

impl FromStr for StorePath {
    type Err = StorePathError;

    fn from_str(path: &str) -> Result<Self, StorePathError> {
        StorePath::parse(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const H: &str = "00bgd045z0d4icpbc2yyz4gx48ak44la";

    #[test]
    fn takes_a_path_apart() {
        let path = StorePath::parse(&format!("/nix/store/{H}-net-tools-1.60_p.drv"))
            .expect("a valid path");
        assert_eq!(path.hash_part(), H);
        assert_eq!(path.name(), "net-tools-1.60_p.drv");
        assert!(path.is_derivation());
        assert_eq!(path.derivation_name(), Some("net-tools-1.60_p"));
        assert_eq!(
            path.to_string(),
            format!("/nix/store/{H}-net-tools-1.60_p.drv")
        );
    }

    #[test]
    fn splits_off_what_is_below() {
        let text = format!("/nix/store/{H}-x/bin/ls");
        let (path, rest) = StorePath::parse_prefix(&text).expect("a valid path");
        assert_eq!((path.name(), rest), ("x", "/bin/ls"));
        let text = format!("/nix/store/{H}-x");
        let (_, rest) = StorePath::parse_prefix(&text).expect("a valid path");
        assert_eq!(rest, "");
    }

    #[test]
    fn says_which_rule_is_broken() {
        let show = |path: &str| StorePath::parse(path).expect_err("must fail").to_string();
        let below = |name: &str| show(&format!("/nix/store/{name}"));
        insta::assert_snapshot!(show("/usr/bin"), @"path '/usr/bin' is not in the Nix store");
        insta::assert_snapshot!(show("/nix/store"), @"path '/nix/store' is not in the Nix store");
        insta::assert_snapshot!(below("x"), @"
'x' is too short to be a valid store path
hint: it should be a 32-character hash, '-' and a name
");
        insta::assert_snapshot!(below(&format!("{H}_x")), @"'00bgd045z0d4icpbc2yyz4gx48ak44la_x' can't name a store path because the hash part is not followed by a '-'");
        insta::assert_snapshot!(below(&format!("{}-x", H.replace('d', "e"))), @"store path '00bge045z0e4icpbc2yyz4gx48ak44la-x' contains illegal base-32 character 'e' at offset 4");
        insta::assert_snapshot!(below(&format!("{H}-")), @"path '00bgd045z0d4icpbc2yyz4gx48ak44la-' is not a valid store path: name must not be empty");
        insta::assert_snapshot!(below(&format!("{H}-a b")), @"path '00bgd045z0d4icpbc2yyz4gx48ak44la-a b' is not a valid store path: name 'a b' contains illegal character ' '");
        insta::assert_snapshot!(below(&format!("{H}-..-x")), @"path '00bgd045z0d4icpbc2yyz4gx48ak44la-..-x' is not a valid store path: name '..-x' is not valid: first dash-separated component must not be '..'");
    }

    #[test]
    fn dots_at_the_start() {
        for bad in [".", "..", ".-x", "..-x", ".-", "..-"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        for good in [".x", "..x", "...", "...-x", ".x-", "-", "x."] {
            assert!(check_name(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn length_of_the_name() {
        assert!(check_name(&"x".repeat(MAX_NAME_LEN)).is_ok());
        assert!(check_name(&"x".repeat(MAX_NAME_LEN + 1)).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = StorePath::from_base_name(&text);
            let _ = StorePath::parse_prefix(&format!("/nix/store/{text}"));
        }

        #[test]
        fn printing_undoes_parsing(name in "[0-9a-df-np-sv-z]{32}-[a-zA-Z0-9+_?=][a-zA-Z0-9+._?=-]{0,40}") {
            let path = StorePath::from_base_name(&name).expect("a valid name");
            prop_assert_eq!(StorePath::parse(&path.to_string()), Ok(path));
        }
    }
}
