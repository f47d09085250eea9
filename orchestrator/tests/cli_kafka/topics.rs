//! `topics list`, `show`, `create`, `delete`.

use super::world::Broker;

#[test]
fn topics_are_made_listed_shown_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    assert!(broker.text(&["topics", "list"]).starts_with("no topics\n"));

    let created = broker.json(&[
        "topics",
        "create",
        "orders",
        "--partitions",
        "3",
        "--setting",
        "max.message.bytes=60000",
    ]);
    assert_eq!(created["outcome"], "created");
    broker.fill("orders", 1, &["a", "b"]);
    let listed = broker.json(&["topics", "list"]);
    assert_eq!(listed["topics"][0]["topic"], "orders");
    assert_eq!(listed["topics"][0]["partitions"], 3);
    assert_eq!(listed["topics"][0]["records"], 2);
    let text = broker.text(&["topics", "list"]);
    assert!(text.contains("orders  3           2"), "{text}");

    let shown = broker.json(&["topics", "show", "orders"]);
    assert_eq!(shown["partitions"][1]["first_offset"], 0);
    assert_eq!(shown["partitions"][1]["next_offset"], 2);
    let settings = shown["settings"].as_array().unwrap().iter();
    let mut settings: Vec<(&str, &str)> = settings
        .map(|setting| {
            (
                setting["name"].as_str().unwrap(),
                setting["origin"].as_str().unwrap(),
            )
        })
        .collect();
    settings.sort_unstable();
    assert_eq!(
        settings,
        [
            ("cleanup.policy", "default"),
            ("max.message.bytes", "topic"),
            ("retention.bytes", "default"),
            ("retention.ms", "default"),
        ],
        "how long records stay, and what differs from the default"
    );
    let text = broker.text(&["topics", "show", "orders", "--all"]);
    assert!(
        text.contains("max.message.bytes") && text.contains("60000"),
        "{text}"
    );
    assert!(text.contains("cleanup.policy"), "{text}");

    let said = broker.text(&["topics", "delete", "orders"]);
    assert!(
        said.contains("would delete orders: 3 partition(s) with 2 record(s)"),
        "{said}"
    );
    assert!(said.contains("--yes"), "{said}");
    assert_eq!(
        broker.json(&["topics", "list"])["topics"][0]["topic"],
        "orders"
    );
    assert_eq!(
        broker.json(&["topics", "delete", "orders", "--yes"])["outcome"],
        "deleted"
    );
    assert_eq!(
        broker.json(&["topics", "list"])["topics"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn what_the_loss_of_a_topic_of_our_own_means_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    for (topic, note) in [
        ("backstitch.inbox", "another one needs a new store too"),
        ("backstitch.commands.charge-payment", "their steps time out"),
    ] {
        broker.topic(topic, 1);
        let said = broker.text(&["topics", "delete", topic]);
        assert!(said.contains(note), "{said}");
    }
}

#[test]
fn what_cannot_be_is_told_with_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    broker.topic("orders", 1);
    let said = broker.refused(3, &["topics", "show", "order"]);
    assert!(said.contains("there is no topic order\n"), "{said}");
    assert!(said.contains("did you mean `orders`?"), "{said}");
    let said = broker.refused(3, &["topics", "delete", "customers", "--yes"]);
    assert!(
        said.contains("`backstitch topics list` lists those that are there"),
        "{said}"
    );
    let said = broker.refused(1, &["topics", "create", "orders"]);
    assert!(said.contains("there is a topic orders already"), "{said}");
    let said = broker.refused(1, &["topics", "create", "no spaces"]);
    assert!(said.contains("letters, digits, dots, hyphens"), "{said}");
    let said = broker.refused(
        1,
        &[
            "topics",
            "create",
            "other",
            "--setting",
            "retention.hours=1",
        ],
    );
    assert!(said.contains("retention.hours"), "{said}");
    let replication = ["--set", "topics.replication=3"];
    let said = broker.refused(
        1,
        &[&["topics", "create", "other"][..], &replication].concat(),
    );
    assert!(said.contains("topics.replication is 3"), "{said}");
    broker.refused(2, &["topics", "create", "other", "--partitions", "0"]);
}

#[test]
fn a_broker_that_is_away_is_told_as_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::ephemeral(folder.path());
    let bootstrap = broker.bootstrap.clone();
    assert_eq!(broker.end().0.code(), Some(0));
    let port = bootstrap.rsplit(':').next().unwrap();
    let output = super::world::backstitch(folder.path())
        .args(["topics", "list", "--set", &format!("embedded.port={port}")])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("nothing listens on {bootstrap}")),
        "{said}"
    );
}
