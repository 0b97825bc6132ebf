//! How fields of events are written in JSON: durations in microseconds, store paths and lines of logs as text.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

fn micros_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) mod micros {
    use super::{Deserialize, Deserializer, Duration, Serializer, micros_of};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(micros_of(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}

pub(crate) mod micros_option {
    use super::{Deserialize, Deserializer, Duration, Serializer, micros_of};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_some(&micros_of(*value)),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_micros))
    }
}

pub(crate) mod path {
    use serde::de::Error as _;
    use xbuild_store_model::StorePath;

    use super::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &StorePath, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<StorePath, D::Error> {
        let text = String::deserialize(from)?;
        StorePath::parse(&text).map_err(D::Error::custom)
    }
}

pub(crate) mod paths {
    use serde::de::Error as _;
    use serde::ser::SerializeSeq as _;
    use xbuild_store_model::StorePath;

    use super::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &[StorePath], to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(value.len()))?;
        for path in value {
            list.serialize_element(&path.to_string())?;
        }
        list.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<StorePath>, D::Error> {
        Vec::<String>::deserialize(from)?
            .iter()
            .map(|text| StorePath::parse(text).map_err(D::Error::custom))
            .collect()
    }
}

/// Bytes as text; what is not UTF-8 in them is replaced.
pub(crate) mod text {
    use std::borrow::Cow;

    use super::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&String::from_utf8_lossy(value))
    }

    pub(crate) fn deserialize<'de, 'a, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Cow<'a, [u8]>, D::Error> {
        Ok(Cow::Owned(String::deserialize(from)?.into_bytes()))
    }
}
