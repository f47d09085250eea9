//! Contracts and schemas, and definitions as one text.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_saga::definition::{Definition, Diagnostic, Undo, Verb};

use super::examples::{ORDER_AVSC, STOCK_AVSC};

const SHOP: &str = "saga: s
input: order.avsc
activities: shop/contracts.yaml
defaults: { timeout: 9s, retry: { attempts: 2, jitter: 1 } }
steps:
  - { do: reserve-stock, with: { order: =key }, undo: { do: release-stock } }
  - { do: tell, timeout: 1s, undo: nothing }
";

const CONTRACTS: &str = "reserve-stock:
  input: stock.avsc
  output: ../order.avsc
  timeout: { reply: 5s, total: 1h }
  retry: { attempts: 7 }
  errors: [sold_out]
release-stock:
  timeout: 6s
tell: { timeout: { reply: 3s, heartbeat: 2s } }
";

fn shop() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (path, text) in [
        ("order.avsc", ORDER_AVSC),
        ("shop/contracts.yaml", CONTRACTS),
        ("shop/stock.avsc", STOCK_AVSC),
    ] {
        files.insert(path.to_owned(), text.to_owned());
    }
    files
}

fn read(source: &str, files: &BTreeMap<String, String>) -> Result<Definition, Vec<Diagnostic>> {
    Definition::from_yaml_with("order.yaml", source, files)
}

/// The code, the file and the line of each error.
fn refused(source: &str, files: &BTreeMap<String, String>) -> Vec<(&'static str, String, usize)> {
    let found = read(source, files).unwrap_err();
    found
        .into_iter()
        .map(|d| (d.code, d.file.unwrap_or_default(), d.line))
        .collect()
}

#[test]
fn a_contract_stands_over_the_defaults_and_a_step_over_its_contract() {
    let definition = read(SHOP, &shop()).unwrap();
    let Verb::Do(reserve) = &definition.steps[0].verb else {
        panic!("it asks no worker")
    };
    assert_eq!(reserve.timeout.reply_ms, 5_000);
    assert_eq!(reserve.timeout.total_ms, Some(3_600_000));
    assert_eq!(reserve.retry.attempts_max, 7);
    assert_eq!(reserve.retry.jitter_percent, 1);
    let Undo::Other(release) = &reserve.undo else {
        panic!("it is undone by another")
    };
    assert_eq!(release.timeout.reply_ms, 6_000);
    assert_eq!(release.retry.attempts_max, 2);
    let Verb::Do(tell) = &definition.steps[1].verb else {
        panic!("it asks no worker")
    };
    assert_eq!(tell.timeout.reply_ms, 1_000);
    assert_eq!(tell.timeout.heartbeat_ms, Some(2_000));
}

#[test]
fn schemas_are_read_by_their_path_from_the_file_that_names_them() {
    let definition = read(SHOP, &shop()).unwrap();
    assert_eq!(definition.files, shop());
    let contract = &definition.activities["reserve-stock"];
    let input = contract.input.as_ref().unwrap();
    assert_eq!(input.path, "shop/stock.avsc");
    assert_eq!(
        input.schema.as_ref().unwrap().source()["name"].as_str(),
        Some("Stock")
    );
    assert_eq!(contract.output.as_ref().unwrap().path, "order.avsc");
    assert_eq!(contract.errors, BTreeSet::from(["sold_out".to_owned()]));
}

#[test]
fn without_files_schemas_stay_unread_and_contracts_elsewhere_are_refused() {
    let found = Definition::from_yaml(SHOP).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code, found[0].line), ("BS0112", 3));

    let inline = SHOP.replace("shop/contracts.yaml", "{ tell: { input: tell.avsc } }");
    let definition = Definition::from_yaml(&inline).unwrap();
    assert_eq!(definition.input.as_ref().unwrap().schema, None);
    let tell = definition.activities["tell"].input.as_ref().unwrap();
    assert_eq!((tell.path.as_str(), &tell.schema), ("tell.avsc", &None));
    assert!(definition.files.is_empty());
}

#[test]
fn what_is_wrong_in_a_file_is_told_where_it_stands() {
    let but = |path: &str, text: &str| {
        let mut files = shop();
        files.insert(path.to_owned(), text.to_owned());
        files
    };
    let own = |line| ("order.yaml".to_owned(), line);
    let other = |line| ("shop/contracts.yaml".to_owned(), line);
    for (files, code, (file, line)) in [
        (but("order.avsc", "{"), "BS0112", own(2)),
        (but("shop/stock.avsc", "{}"), "BS0112", other(2)),
        (but("shop/contracts.yaml", "- a"), "BS0105", other(1)),
        (but("shop/contracts.yaml", "a: ["), "BS0101", other(1)),
        (
            but("shop/contracts.yaml", "a:\n  inptu: x.avsc\n"),
            "BS0103",
            other(2),
        ),
        (
            but("shop/contracts.yaml", "a:\n  timeout: 5\n"),
            "BS0109",
            other(2),
        ),
        (
            but("shop/contracts.yaml", "a: { output: none.avsc }"),
            "BS0112",
            other(1),
        ),
    ] {
        assert_eq!(refused(SHOP, &files), [(code, file, line)]);
    }
    // What only the check finds in them stands where the definition names the file.
    let zero = but("shop/contracts.yaml", "tell: { retry: { attempts: 0 } }");
    assert_eq!(
        refused(SHOP, &zero),
        [("BS0110", "order.yaml".to_owned(), 3)]
    );
    assert_eq!(
        refused(SHOP, &BTreeMap::new()),
        [
            ("BS0112", "order.yaml".to_owned(), 2),
            ("BS0112", "order.yaml".to_owned(), 3)
        ]
    );
}

#[test]
fn the_files_of_a_definition_have_a_limit_together() {
    let padded = |pads: usize| {
        let mut files = shop();
        let pad = "# a comment that fills\n".repeat(1_000);
        files.insert(
            "shop/contracts.yaml".to_owned(),
            format!("{CONTRACTS}{}", pad.repeat(pads)),
        );
        files
    };
    assert!(read(SHOP, &padded(45)).is_ok());
    assert_eq!(
        refused(SHOP, &padded(46)),
        [("BS0102", "order.yaml".to_owned(), 3)]
    );
}

#[test]
fn a_definition_is_stored_with_its_files() {
    let bare = Definition::from_yaml("saga: s\nsteps: [{ do: a, undo: yes }]").unwrap();
    assert_eq!(bare.stored(), bare.source);
    assert_eq!(Definition::from_stored(&bare.stored()).unwrap(), bare);

    let shop = read(SHOP, &shop()).unwrap();
    assert_ne!(shop.stored(), shop.source);
    assert_eq!(Definition::from_stored(&shop.stored()).unwrap(), shop);
    // A definition that is itself written as JSON is not taken for such a bundle.
    let json = r#"{ "saga": "s", "steps": [{ "do": "a", "undo": "yes" }] }"#;
    assert_eq!(Definition::from_stored(json).unwrap().hash, bare.hash);
}

#[test]
fn what_is_stored_is_read_even_where_a_check_would_refuse_it_today() {
    let unchecked = "saga: s\nsteps: [{ do: a }]";
    assert!(Definition::from_yaml(unchecked).is_err());
    assert_eq!(Definition::from_stored(unchecked).unwrap().steps.len(), 1);
    for broken in [
        "",
        "saga: [",
        "saga: s\nsteps: [{ }]",
        "{\"definition\": \"\", \"files\": {}}",
    ] {
        let found = Definition::from_stored(broken).unwrap_err();
        assert!(!found.is_empty(), "{broken}");
    }
}

#[test]
fn the_hash_is_of_what_schemas_say_and_not_of_where_they_stand() {
    let definition = read(SHOP, &shop()).unwrap();
    let canonical = Definition::from_yaml_with("s.yaml", &definition.to_yaml(), &shop()).unwrap();
    assert_eq!(canonical.hash, definition.hash);

    let mut moved = shop();
    let text = moved.remove("order.avsc").unwrap();
    moved.insert("elsewhere.avsc".to_owned(), format!(" {text} "));
    let contracts = CONTRACTS.replace("../order.avsc", "../elsewhere.avsc");
    moved.insert("shop/contracts.yaml".to_owned(), contracts);
    let source = SHOP.replace("order.avsc", "elsewhere.avsc");
    assert_eq!(read(&source, &moved).unwrap().hash, definition.hash);

    let mut seen = BTreeSet::from([definition.hash]);
    for (path, from, to) in [
        ("order.avsc", "\"id\"", "\"order_id\""),
        ("shop/stock.avsc", "Stock", "Goods"),
        ("shop/contracts.yaml", "sold_out", "gone"),
        ("shop/contracts.yaml", "reply: 5s", "reply: 4s"),
        ("shop/contracts.yaml", "  input: stock.avsc\n", ""),
    ] {
        let mut files = shop();
        let text = files[path].replace(from, to);
        assert_ne!(text, files[path], "{from}");
        files.insert(path.to_owned(), text);
        assert!(
            seen.insert(read(SHOP, &files).unwrap().hash),
            "{from} → {to}"
        );
    }
}
