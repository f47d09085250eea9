//! Whether a text is well-formed XML, as far as our pictures use XML.

/// Fails unless tags are closed in order, attributes are quoted and named once, and nothing is left unescaped.
pub(super) fn assert_well_formed(text: &str, name: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    let mut roots = 0;
    while let Some(at) = rest.find('<') {
        assert_text(&rest[..at], name);
        rest = &rest[at + 1..];
        let end = rest
            .find('>')
            .unwrap_or_else(|| panic!("{name}: a tag does not end"));
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{name}: closes another tag");
            continue;
        }
        let (tag, is_closed) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let (element, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(
            element.chars().all(|c| c.is_ascii_alphanumeric()),
            "{name}: <{element}>"
        );
        assert_attributes(attributes, name);
        roots += usize::from(open.is_empty());
        if !is_closed {
            open.push(element);
        }
    }
    assert!(rest.trim().is_empty(), "{name}: words after the end");
    assert!(open.is_empty(), "{name}: {open:?} not closed");
    assert_eq!(roots, 1, "{name}: one root");
}

fn assert_attributes(text: &str, name: &str) {
    let mut seen = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (attribute, more) = rest
            .split_once("=\"")
            .unwrap_or_else(|| panic!("{name}: attributes {text:?}"));
        assert!(
            attribute
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "{name}: attribute {attribute:?}"
        );
        assert!(!seen.contains(&attribute), "{name}: {attribute} twice");
        seen.push(attribute);
        let (value, more) = more
            .split_once('"')
            .unwrap_or_else(|| panic!("{name}: {text:?}"));
        assert_text(value, name);
        rest = more.trim_start();
    }
}

fn assert_text(text: &str, name: &str) {
    for c in text.chars() {
        assert!(!c.is_control() || c == '\n', "{name}: {c:?} in {text:?}");
        assert!(!matches!(c, '\u{fffe}' | '\u{ffff}'), "{name}: {c:?}");
    }
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        assert!(
            known.iter().any(|entity| text[at..].starts_with(entity)),
            "{name}: {text:?}"
        );
    }
}
