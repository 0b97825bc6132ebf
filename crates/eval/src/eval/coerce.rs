//! Coercions: to strings, to paths.

use super::Evaluator;
use crate::builtins::float_text;
use crate::derivation::INTERNAL_FILES;
use crate::error::{EvalError, Result};
use crate::heap::Part;
use crate::position::Pos;
use crate::string::{ContextElem, ContextSet, Str};
use crate::value::{List, PathBytes, Value, ValueKind};

/// How liberal a coercion to a string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coercion {
    /// Also numbers, Booleans, null and lists (as `toString` and derivation attributes do).
    pub more: bool,
    /// Paths are copied into the store, and the result is the store path (as interpolation does); otherwise it is the
    /// path's own text (as `toString` does).
    pub copy_to_store: bool,
}

impl Coercion {
    /// `"${x}"`
    pub const INTERPOLATE: Self = Self {
        more: false,
        copy_to_store: true,
    };
    /// `toString x`
    pub const TO_STRING: Self = Self {
        more: true,
        copy_to_store: false,
    };
    /// An attribute of a derivation.
    pub const DERIVATION: Self = Self {
        more: true,
        copy_to_store: true,
    };
    /// What must be a string already, or a set that stands for one, or a path as it is.
    pub const PLAIN: Self = Self {
        more: false,
        copy_to_store: false,
    };
}

impl Evaluator {
    /// Coerces a value to a string; its context is added to `context`.
    ///
    /// # Errors
    ///
    /// If the evaluation fails, the value cannot be coerced, or a path cannot be copied.
    pub fn coerce_to_string(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut ContextSet,
        how: Coercion,
        what: &str,
    ) -> Result<Text> {
        let value = self.force(value, pos)?;
        match value.kind() {
            ValueKind::String(string) => {
                context.add(string.context());
                return Ok(Text::Heap(string));
            }
            ValueKind::Path(path) => {
                if !how.copy_to_store {
                    return Ok(
                        match path.as_slice().strip_prefix(INTERNAL_FILES.as_bytes()) {
                            Some(file) => Text::Owned(file.to_vec()),
                            None => Text::Path(path),
                        },
                    );
                }
                let store_path = self.copy_path_to_store(path.as_slice(), pos)?;
                context.insert(ContextElem::Opaque(store_path));
                return Ok(Text::Static(self.symbols.name(store_path)));
            }
            ValueKind::Attrs(attrs) => {
                if let Some(to_string) = attrs.get(self.known.to_string) {
                    return self.descend(pos, |this| {
                        let result = this.call(to_string.value, &[value], pos)?;
                        this.coerce_to_string(
                            result,
                            pos,
                            context,
                            how,
                            "while evaluating the result of the `__toString` attribute",
                        )
                    });
                }
                if let Some(out_path) = attrs.get(self.known.out_path) {
                    return self.descend(pos, |this| {
                        this.coerce_to_string(out_path.value, pos, context, how, what)
                    });
                }
            }
            _ if !how.more => {}
            ValueKind::Bool(true) => return Ok(Text::Static(b"1")),
            ValueKind::Bool(false) | ValueKind::Null => return Ok(Text::Static(b"")),
            ValueKind::Int(int) => return Ok(Text::Owned(int.to_string().into_bytes())),
            ValueKind::Float(float) => {
                return Ok(Text::Owned(float_text::fixed(float).into_bytes()));
            }
            ValueKind::List(list) => {
                return self.descend(pos, |this| {
                    this.joined_elements(list, pos, context, how, what)
                });
            }
            _ => {}
        }
        let shown = self.show_for_error(value);
        let message = format!(
            "cannot coerce {} to a string: {shown}",
            value.kind().type_name()
        );
        Err(if what.is_empty() {
            EvalError::new(pos, message)
        } else {
            EvalError::new(Pos::NONE, message).around(pos, what)
        })
    }

    /// The elements of a list as strings, with spaces between them.
    fn joined_elements(
        &mut self,
        list: List,
        pos: Pos,
        context: &mut ContextSet,
        how: Coercion,
        what: &str,
    ) -> Result<Text> {
        let elements = list.as_slice();
        let mut text = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let of_element = "while evaluating one element of the list";
            let part = match self.coerce_to_string(*element, pos, context, how, of_element) {
                Ok(part) => part,
                Err(error) if what.is_empty() => return Err(error),
                Err(error) => return Err(error.around(pos, what)),
            };
            text.extend_from_slice(part.bytes());
            // An empty list leaves no gap, as in Nix.
            let forced = self.force(*element, pos)?;
            let empty_list = forced.as_list().is_some_and(List::is_empty);
            if index + 1 < elements.len() && !empty_list {
                text.push(b' ');
            }
        }
        Ok(Text::Owned(text))
    }

    /// Coerces a value to an absolute path: a path, or a string with one. The context of a string is added to `context`.
    ///
    /// # Errors
    ///
    /// If the evaluation fails or the text is not an absolute path.
    pub fn coerce_to_path(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut ContextSet,
        what: &str,
    ) -> Result<Vec<u8>> {
        let value = match self.force(value, pos) {
            Ok(value) => value,
            Err(error) => return Err(error.around(pos, what)),
        };
        if let ValueKind::Path(path) = value.kind() {
            return Ok(path.as_slice().to_vec());
        }
        if let ValueKind::Attrs(attrs) = value.kind()
            && attrs.get(self.known.to_string).is_none()
            && let Some(out_path) = attrs.get(self.known.out_path)
        {
            return self.coerce_to_path(out_path.value, pos, context, what);
        }
        let text = self.coerce_to_string(value, pos, context, Coercion::PLAIN, what)?;
        let bytes = text.bytes();
        if bytes.first() != Some(&b'/') {
            let text = String::from_utf8_lossy(bytes);
            return Err(EvalError::new(
                pos,
                format!("string '{text}' doesn't represent an absolute path"),
            )
            .context(pos, what));
        }
        Ok(canonical_path(bytes))
    }
}

/// The text of a coerced value, without a copy where there is one already.
#[derive(Debug, Clone)]
pub enum Text {
    /// A string value's.
    Heap(Str),
    /// A path value's.
    Path(PathBytes),
    /// A constant.
    Static(&'static [u8]),
    /// Made for the purpose.
    Owned(Vec<u8>),
}

impl Text {
    /// The bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(string) => string.bytes(),
            Self::Path(path) => path.as_slice(),
            Self::Static(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    /// The bytes, to be put together with others.
    pub(super) fn part(&self) -> Part<'_, u8> {
        match self {
            Self::Heap(string) => Part::from(*string),
            _ => Part::from(self.bytes()),
        }
    }

    /// The bytes, for messages and names.
    #[must_use]
    pub fn to_str_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.bytes())
    }
}

/// The path without `.`, `..`, doubled and trailing slashes; symlinks are not looked at.
#[must_use]
pub fn canonical_path(path: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(path.len());
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => canonical.truncate(
                canonical
                    .iter()
                    .rposition(|&byte| byte == b'/')
                    .unwrap_or(0),
            ),
            _ => {
                canonical.push(b'/');
                canonical.extend_from_slice(component);
            }
        }
    }
    if canonical.is_empty() {
        canonical.push(b'/');
    }
    canonical
}
