//! The attributes of an input.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{RefError, Result};

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttrValue {
    /// A string.
    Str(String),
    /// A number.
    Int(u64),
    /// A truth value.
    Bool(bool),
}

impl From<&str> for AttrValue {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for AttrValue {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<u64> for AttrValue {
    fn from(number: u64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for AttrValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl AttrValue {
    /// As in the query of a URL.
    pub(crate) fn to_query(&self) -> String {
        match self {
            Self::Str(text) => text.clone(),
            Self::Int(number) => number.to_string(),
            Self::Bool(value) => u8::from(*value).to_string(),
        }
    }
}

/// Attributes, in the order of their names.
pub type Attrs = BTreeMap<String, AttrValue>;

/// As JSON, the form of lock files and registries.
#[must_use]
pub fn attrs_to_json(attrs: &Attrs) -> Value {
    // An empty set is `null` in stock Nix, too.
    if attrs.is_empty() {
        return Value::Null;
    }
    Value::Object(
        attrs
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    AttrValue::Str(text) => Value::from(text.as_str()),
                    AttrValue::Int(number) => Value::from(*number),
                    AttrValue::Bool(value) => Value::from(*value),
                };
                (name.clone(), value)
            })
            .collect(),
    )
}

/// From JSON.
///
/// # Errors
/// If it is no object of strings, natural numbers and Booleans.
pub fn attrs_from_json(json: &Value) -> Result<Attrs> {
    let object = json
        .as_object()
        .ok_or_else(|| RefError::invalid(format!("an object was expected, not {json}")))?;
    object
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) => AttrValue::Str(text.clone()),
                Value::Bool(value) => AttrValue::Bool(*value),
                Value::Number(number) if number.is_u64() => {
                    AttrValue::Int(number.as_u64().unwrap_or_default())
                }
                _ => {
                    return Err(RefError::invalid(
                        "unsupported input attribute type in lock file",
                    ));
                }
            };
            Ok((name.clone(), value))
        })
        .collect()
}

/// A string attribute.
pub(crate) fn string<'a>(attrs: &'a Attrs, name: &str) -> Result<Option<&'a str>> {
    match attrs.get(name) {
        None => Ok(None),
        Some(AttrValue::Str(text)) => Ok(Some(text)),
        Some(_) => Err(RefError::invalid(format!(
            "input attribute '{name}' is not a string {}",
            attrs_to_json(attrs)
        ))),
    }
}

/// A string attribute that must be there.
pub(crate) fn needed<'a>(attrs: &'a Attrs, name: &str) -> Result<&'a str> {
    string(attrs, name)?
        .ok_or_else(|| RefError::invalid(format!("input attribute '{name}' is missing")))
}

/// A number.
pub(crate) fn int(attrs: &Attrs, name: &str) -> Result<Option<u64>> {
    match attrs.get(name) {
        None => Ok(None),
        Some(AttrValue::Int(number)) => Ok(Some(*number)),
        Some(_) => Err(RefError::invalid(format!(
            "input attribute '{name}' is not an integer"
        ))),
    }
}

/// A truth value.
pub(crate) fn boolean(attrs: &Attrs, name: &str) -> Result<Option<bool>> {
    match attrs.get(name) {
        None => Ok(None),
        Some(AttrValue::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(RefError::invalid(format!(
            "input attribute '{name}' is not a Boolean"
        ))),
    }
}
