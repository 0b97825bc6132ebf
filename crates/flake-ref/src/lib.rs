//! Flake references, and the inputs of fetchers that they name: URLs and attribute sets, parsed, checked and printed as
//! stock Nix 2.34 does (manual, "Flake references").
//!
//! - [`Url`] is a URL, taken apart and put together again.
//! - [`Input`] is something to fetch, of one of the [`Scheme`]s: an [`Attrs`] whose attributes were checked.
//! - [`FlakeRef`] is an input and a directory in it; [`FlakeRef::parse`] reads what users type.
//!
//! It is not a fetcher, and knows no store, no registry and no lock file. It looks at the file system only to find the
//! `flake.nix` and the `.git` that belong to a path, and only where a base directory is given.
//!
//! # Invariants
//!
//! - What is printed can be parsed again, and is the same then.
//! - An [`Input`] has only attributes that its scheme knows, except one of an unknown scheme, with which nothing can be
//!   done but to print it.

mod attrs;
mod date;
mod error;
mod flake_ref;
mod input;
mod names;
mod schemes;
mod url;

pub use attrs::{AttrValue, Attrs, attrs_from_json, attrs_to_json};
pub use date::civil_date;
pub use error::{RefError, Result};
pub use flake_ref::{FlakeRef, ParseOptions};
pub use input::{FINAL, Input, Scheme};
pub use names::{is_flake_id, is_legal_ref_name, is_rev};
pub use schemes::fix_git_url;
pub use url::{Authority, Url, percent_decode, percent_encode};
