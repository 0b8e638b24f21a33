//! Paths as text: a file's name may be any bytes.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path for rows and people: bytes that are no UTF-8 as `\xff`, so that two names are not the same text because both have
/// some.
pub(crate) fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // A string takes whatever is written to it.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A path in a file that a program reads again: a text, or where it is none, its bytes as numbers.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<'p> {
    Text(Cow<'p, str>),
    Bytes(Cow<'p, [u8]>),
}

impl<'p> Written<'p> {
    fn of(path: &'p Path) -> Self {
        path.to_str().map_or_else(|| Self::Bytes(path.as_os_str().as_bytes().into()), |text| Self::Text(text.into()))
    }

    fn path(self) -> PathBuf {
        match self {
            Self::Text(text) => text.into_owned().into(),
            Self::Bytes(bytes) => OsString::from_vec(bytes.into_owned()).into(),
        }
    }
}

/// For `#[serde(with)]`: one path, or several (an optional one is none or one).
pub(crate) mod one {
    use super::{Deserialize, Deserializer, Path, PathBuf, Serialize, Serializer, Written};

    pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        Written::of(path).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Written::deserialize(deserializer).map(Written::path)
    }
}

/// The same of several.
pub(crate) mod several {
    use super::{Deserialize, Deserializer, PathBuf, Serializer, Written};

    pub(crate) fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| Written::of(path)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<Written<'_>>::deserialize(deserializer)?.into_iter().map(Written::path).collect())
    }
}

/// The same of one that may not be there.
pub(crate) mod maybe {
    use super::{Deserialize, Deserializer, PathBuf, Serialize, Serializer, Written};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(Written::of).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Written<'_>>::deserialize(deserializer)?.map(Written::path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: &[u8]) -> PathBuf {
        OsString::from_vec(bytes.to_vec()).into()
    }

    #[test]
    fn names_that_are_no_text_stay_apart() {
        assert_eq!(shown(&path(b"a/vmcore")), "a/vmcore");
        assert_eq!(shown(&path(b"a\xff\xfeb\xc3\xa9")), "a\\xff\\xfeb\u{e9}");
        assert_ne!(shown(&path(b"\xff")), shown(&path(b"\xfe")));
    }

    #[test]
    fn every_path_is_read_again_as_it_was() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Paths {
            #[serde(with = "one")]
            one: PathBuf,
            #[serde(with = "several")]
            several: Vec<PathBuf>,
            #[serde(with = "maybe")]
            maybe: Option<PathBuf>,
        }
        for bytes in [b"a \n\"b".as_slice(), b"\xff/\xfe", b""] {
            let paths = Paths { one: path(bytes), several: vec![path(b"x"), path(bytes)], maybe: Some(path(bytes)) };
            let text = serde_json::to_string(&paths).unwrap();
            assert_eq!(serde_json::from_str::<Paths>(&text).unwrap(), paths, "{text}");
        }
    }
}
