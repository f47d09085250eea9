//! The headers of a record, kept together: three allocations, however many there are.

use std::fmt;

/// Where a header ends in the two texts; it begins where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    name_end: usize,
    value_end: usize,
    is_null: bool,
}

/// The headers of a record, in order; a name may repeat.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    names: String,
    values: Vec<u8>,
    fields: Vec<Field>,
}

impl Headers {
    /// None.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// None yet, with room for so many headers, whose names and whose values have so many bytes in all.
    pub fn with_capacity(count: usize, name_bytes: usize, value_bytes: usize) -> Headers {
        Headers {
            names: String::with_capacity(name_bytes),
            values: Vec::with_capacity(value_bytes),
            fields: Vec::with_capacity(count),
        }
    }

    /// Adds a header.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.push_field(name, Some(value.as_ref()));
    }

    /// Adds a header; without a value it is Kafka's null, which isn't the same as an empty value.
    pub fn push_field(&mut self, name: &str, value: Option<&[u8]>) {
        self.names.push_str(name);
        self.values.extend_from_slice(value.unwrap_or_default());
        self.fields.push(Field {
            name_end: self.names.len(),
            value_end: self.values.len(),
            is_null: value.is_none(),
        });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Names and values, in order; `None` is Kafka's null.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> {
        (0..self.fields.len()).map(|index| {
            let Field {
                name_end,
                value_end,
                is_null,
            } = self.fields[index];
            let (name_start, value_start) = match index.checked_sub(1) {
                Some(before) => (self.fields[before].name_end, self.fields[before].value_end),
                None => (0, 0),
            };
            let value = &self.values[value_start..value_end];
            (
                &self.names[name_start..name_end],
                (!is_null).then_some(value),
            )
        })
    }

    /// The value of the first header of this name, if it is there and not null.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(own, _)| *own == name)
            .and_then(|(_, value)| value)
    }

    /// Bytes of all names and values.
    pub fn byte_len(&self) -> usize {
        self.names.len() + self.values.len()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(name, value)| (name, value.map(String::from_utf8_lossy)));
        f.debug_map().entries(shown).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, Option<V>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, Option<V>)>>(fields: I) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.push_field(name.as_ref(), value.as_ref().map(AsRef::as_ref));
        }
        headers
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>, const COUNT: usize> From<[(N, V); COUNT]> for Headers {
    fn from(fields: [(N, V); COUNT]) -> Headers {
        fields
            .into_iter()
            .map(|(name, value)| (name, Some(value)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_read_in_order_null_and_empty_apart() {
        let mut headers = Headers::with_capacity(2, 8, 8);
        headers.push("a", b"1");
        headers.push_field("", None);
        headers.push("a", "");
        headers.push("ü", [0xff]);
        let read: Vec<(&str, Option<&[u8]>)> = headers.iter().collect();
        let expected: [(&str, Option<&[u8]>); 4] = [
            ("a", Some(b"1")),
            ("", None),
            ("a", Some(b"")),
            ("ü", Some(&[0xff])),
        ];
        assert_eq!(read, expected);
        assert_eq!((headers.len(), headers.byte_len()), (4, 6));
    }

    #[test]
    fn the_first_of_a_name_counts() {
        let headers = Headers::from([("a", "1"), ("a", "2")]);
        assert_eq!(headers.get("a"), Some(b"1".as_slice()));
        assert_eq!(headers.get("b"), None);
        let headers: Headers = [("a", None), ("a", Some("2"))].into_iter().collect();
        assert_eq!(headers.get("a"), None);
    }
}
