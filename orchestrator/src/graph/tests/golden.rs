//! Pictures as they are known to look. `BACKSTITCH_GOLDEN=write cargo test -p backstitch-orchestrator graph::` writes
//! them anew; look at them before they are committed.

use std::path::Path;

use super::super::metrics::columns;
use super::super::{Glyphs, Metrics, Overlay, State, lay_out, mermaid, svg, text};
use super::definition;

const KNOWN: [(&str, &str); 3] = [
    ("order", "definitions/order.yaml"),
    ("travel", "src/graph/golden/travel.yaml"),
    ("every-verb", "src/graph/golden/every-verb.yaml"),
];

#[test]
fn pictures_look_as_they_are_known_to() {
    for (name, path) in KNOWN {
        let definition = definition(path);
        let in_pixels = lay_out(&definition, &Metrics::pixels(), None);
        let in_characters = lay_out(&definition, &Metrics::characters(100), None);
        assert_golden(&format!("{name}.svg"), &svg(&in_pixels));
        assert_golden(&format!("{name}.mmd"), &mermaid(&in_pixels));
        assert_golden(
            &format!("{name}.txt"),
            &text(&in_characters, Glyphs::Unicode),
        );
        assert_golden(
            &format!("{name}.ascii.txt"),
            &text(&in_characters, Glyphs::Ascii),
        );
    }
}

#[test]
fn a_saga_on_its_way_looks_as_it_is_known_to() {
    let definition = definition(KNOWN[0].1);
    let mut overlay = Overlay::default();
    overlay.mark("check_fraud", "check_fraud", State::Done);
    overlay.mark("reserve_stock", "reserve_stock", State::Undoing);
    overlay.mark("charge_payment", "charge_payment", State::Stuck);
    overlay.mark("ship_order", "ship_order", State::Refused);
    let drawing = lay_out(&definition, &Metrics::pixels(), Some(&overlay));
    assert_golden("order-live.svg", &svg(&drawing));
}

#[test]
fn known_pictures_fit_a_terminal_of_100_columns() {
    for (name, path) in KNOWN {
        let drawing = lay_out(&definition(path), &Metrics::characters(100), None);
        for line in text(&drawing, Glyphs::Unicode).lines() {
            assert!(columns(line) <= 100, "{name}: {line}");
        }
    }
}

fn assert_golden(file: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/graph/golden")
        .join(file);
    let mut seen = seen.trim_end().to_owned();
    seen.push('\n');
    if std::env::var_os("BACKSTITCH_GOLDEN").is_some_and(|how| how == "write") {
        std::fs::write(&path, &seen).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = known.lines().zip(seen.lines()).position(|(a, b)| a != b);
    assert!(
        known == seen,
        "{file} looks otherwise, first in line {differs:?}; BACKSTITCH_GOLDEN=write writes it anew"
    );
}
