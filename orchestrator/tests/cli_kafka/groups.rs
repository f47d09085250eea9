//! `groups list`, `show`, `reset`, `delete`.

use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};

use backstitch_broker::{
    Consumer, ConsumerError, ConsumerHandler, ConsumerOptions, IncomingRecord, StartAt,
    TopicPartition,
};
use serde_json::{Value, json};

use super::world::{Broker, PATIENCE};

/// A member that reads nothing on, and tells when it has its partitions.
struct Member(Sender<()>);

impl ConsumerHandler for Member {
    fn assigned(&mut self, _: &[TopicPartition]) -> Vec<StartAt> {
        self.0.send(()).unwrap();
        Vec::new()
    }
    fn revoked(&mut self, _: &[TopicPartition], _: bool) {}
    fn records(&mut self, _: Vec<IncomingRecord>) {}
    fn failed(&mut self, error: ConsumerError) {
        panic!("{error}")
    }
}

/// A broker with `orders` of two partitions, five records in the first, of which `billing` has read two.
fn world(folder: &tempfile::TempDir) -> Broker {
    let broker = Broker::ephemeral(folder.path());
    broker.topic("orders", 2);
    broker.fill("orders", 0, &["a", "b", "c", "d", "e"]);
    let committed = BTreeMap::from([(TopicPartition::new("orders", 0), 2)]);
    broker.admin().reset_offsets("billing", &committed).unwrap();
    broker
}

/// Where a group stands in each partition of `orders`.
fn committed(broker: &Broker, group: &str) -> Vec<Value> {
    let shown = broker.json(&["groups", "show", group]);
    let partitions = shown["partitions"].as_array().unwrap();
    partitions
        .iter()
        .map(|line| line["committed"].clone())
        .collect()
}

#[test]
fn groups_are_listed_and_shown_with_their_lag() {
    let folder = tempfile::tempdir().unwrap();
    let broker = world(&folder);
    let listed = broker.json(&["groups", "list"]);
    let expected = json!([{
        "group": "billing", "state": "empty", "members": 0, "topics": ["orders"], "lag": 3,
    }]);
    assert_eq!(listed["groups"], expected);
    let quick = broker.json(&["groups", "list", "--quick"]);
    assert_eq!(quick["groups"][0]["lag"], Value::Null);
    assert_eq!(quick["groups"][0]["group"], "billing");

    let shown = broker.json(&["groups", "show", "billing"]);
    assert_eq!(shown["lag"], 3);
    let expected = json!([{
        "topic": "orders", "partition": 0, "committed": 2, "first_offset": 0, "next_offset": 5, "lag": 3, "member": null,
    }]);
    assert_eq!(shown["partitions"], expected);
    let text = broker.text(&["groups", "show", "billing"]);
    for part in [
        "group    billing\nstate    empty",
        "lag      3",
        "COMMITTED",
    ] {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    let said = broker.refused(3, &["groups", "show", "biling"]);
    assert!(said.contains("did you mean `billing`?"), "{said}");
}

#[test]
fn a_group_without_members_is_put_where_one_says_and_only_with_yes() {
    let folder = tempfile::tempdir().unwrap();
    let broker = world(&folder);
    let reset = |more: &[&str]| {
        let arguments = [&["groups", "reset", "billing", "--topic", "orders"], more].concat();
        let answer = broker.json(&arguments);
        let goals = answer["partitions"].as_array().unwrap().iter();
        goals
            .map(|line| line["goal"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(reset(&["--to", "earliest"]), [0, 0]);
    assert_eq!(committed(&broker, "billing"), [json!(2)]);
    let said = broker.text(&[
        "groups", "reset", "billing", "--topic", "orders", "--to", "latest",
    ]);
    assert!(
        said.contains("nothing is changed yet: --yes does it"),
        "{said}"
    );

    assert_eq!(reset(&["--to", "2026-03-01T00:00:03Z", "--yes"]), [3, 0]);
    assert_eq!(committed(&broker, "billing"), [json!(3), json!(0)]);
    assert_eq!(reset(&["--partition", "0", "--by=-1", "--yes"]), [2]);
    assert_eq!(reset(&["--partition", "0", "--by", "-99", "--yes"]), [0]);
    assert_eq!(reset(&["--to", "4", "--yes"]), [4, 0]);
    assert_eq!(committed(&broker, "billing"), [json!(4), json!(0)]);
    assert_eq!(reset(&["--to", "99", "--yes"]), [5, 0]);
    let arguments = [
        "groups", "reset", "new-one", "--topic", "orders", "--to", "latest", "--yes",
    ];
    assert!(broker.text(&arguments).contains("group new-one is new"));
    assert_eq!(committed(&broker, "new-one"), [json!(5), json!(0)]);
}

#[test]
fn a_reset_that_makes_no_sense_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = world(&folder);
    let refused = |code, more: &[&str]| {
        broker.refused(
            code,
            &[&["groups", "reset", "billing", "--yes"], more].concat(),
        )
    };
    let said = refused(2, &["--topic", "orders", "--by", "1"]);
    assert!(said.contains("has committed nothing in orders/1"), "{said}");
    let said = refused(
        3,
        &["--topic", "orders", "--partition", "7", "--to", "latest"],
    );
    assert!(said.contains("no partition 7"), "{said}");
    let said = refused(3, &["--topic", "order", "--to", "latest"]);
    assert!(said.contains("did you mean `orders`?"), "{said}");
    refused(2, &["--topic", "orders"]);
    refused(2, &["--topic", "orders", "--to", "latest", "--by", "1"]);
    refused(2, &["--to", "latest"]);
    assert_eq!(committed(&broker, "billing"), [json!(2)]);
}

#[test]
fn a_group_with_members_is_left_alone_and_its_members_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let broker = world(&folder);
    let (tell, assigned) = channel();
    let options = ConsumerOptions::new("billing", ["orders"]);
    let member = Consumer::start(&broker.kafka(), options, Member(tell)).unwrap();
    assigned.recv_timeout(PATIENCE).unwrap();
    let shown = loop {
        // The coordinator knows a moment later that the member has taken its partitions.
        let shown = broker.json(&["groups", "show", "billing"]);
        if shown["state"] == "stable" {
            break shown;
        }
    };
    assert_eq!(shown["members"][0]["client_id"], "backstitch");
    assert_eq!(
        shown["members"][0]["partitions"].as_array().unwrap().len(),
        2
    );
    assert_eq!(shown["partitions"][1]["committed"], Value::Null);
    assert_eq!(shown["partitions"][1]["member"], shown["members"][0]["id"]);
    for command in [
        &[
            "groups", "reset", "billing", "--topic", "orders", "--to", "earliest",
        ][..],
        &[
            "groups", "reset", "billing", "--topic", "orders", "--to", "earliest", "--yes",
        ],
        &["groups", "delete", "billing", "--yes"],
    ] {
        let said = broker.refused(1, command);
        assert!(
            said.contains("while it has a member: backstitch on "),
            "{said}"
        );
        assert!(said.contains("stop its consumers"), "{said}");
    }
    member.stop();
    assert_eq!(committed(&broker, "billing"), [json!(2)]);
}

#[test]
fn a_group_is_deleted_with_its_offsets_and_only_with_yes() {
    let folder = tempfile::tempdir().unwrap();
    let broker = world(&folder);
    let said = broker.text(&["groups", "delete", "billing"]);
    assert!(
        said.contains("would delete group billing with its offsets of 1 partition(s)"),
        "{said}"
    );
    assert_eq!(committed(&broker, "billing"), [json!(2)]);
    assert_eq!(
        broker.json(&["groups", "delete", "billing", "--yes"])["outcome"],
        "deleted"
    );
    assert_eq!(broker.text(&["groups", "list"]), "no consumer groups\n");
    broker.refused(3, &["groups", "delete", "billing", "--yes"]);
}

#[test]
fn what_a_reset_means_for_groups_of_our_own_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let broker = world(&folder);
    for (group, note) in [
        ("backstitch.orchestrator", "by the offsets in their store"),
        ("backstitch.intake", "the same key is the same saga"),
        ("backstitch.worker.charge-payment", "from memory"),
    ] {
        let said = broker.text(&[
            "groups", "reset", group, "--topic", "orders", "--to", "earliest",
        ]);
        assert!(said.contains(note), "{said}");
    }
}
