//! Topics are made, found, grown and deleted; the start-up check.

use std::time::{Duration, Instant};

use backstitch_broker::{
    BrokerError, KafkaConfig, NewTopicSpec, TopicOutcome, TopicPartition, self_check,
};

use crate::world::{admin, config, eventually, fill, topic, unique};

#[test]
fn a_topic_is_created_once() {
    let (new, old) = (unique("new"), topic("old", 2));
    let outcomes = admin()
        .create_topics(&[NewTopicSpec::new(&old, 5), NewTopicSpec::new(&new, 3)])
        .unwrap();
    assert_eq!(
        outcomes,
        [TopicOutcome::AlreadyExists, TopicOutcome::Created]
    );
    assert_eq!(admin().partition_count(&new).unwrap(), Some(3));
    assert_eq!(
        admin().partition_count(&old).unwrap(),
        Some(2),
        "what was there stays as it was"
    );
    let all = admin().list_topics().unwrap();
    assert_eq!((all.get(&new), all.get(&old)), (Some(&3), Some(&2)));
}

#[test]
fn a_topic_with_settings_is_created() {
    let name = unique("settings");
    let mut spec = NewTopicSpec::new(&name, 1);
    spec.config = vec![
        ("retention.ms".into(), "-1".into()),
        ("cleanup.policy".into(), "delete".into()),
    ];
    assert_eq!(
        admin().create_topics(&[spec]).unwrap(),
        [TopicOutcome::Created]
    );
}

#[test]
fn a_name_that_kafka_forbids_is_refused() {
    let error = admin()
        .create_topics(&[NewTopicSpec::new("no spaces / slashes", 1)])
        .unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("no spaces"), "{error}");
}

#[test]
fn a_topic_grows_and_never_shrinks() {
    let name = topic("grows", 2);
    fill(&name, 1, ["kept".to_owned()]);
    admin().add_partitions(&name, 5).unwrap();
    assert_eq!(admin().partition_count(&name).unwrap(), Some(5));
    fill(&name, 4, ["new".to_owned()]);
    assert_eq!(admin().watermarks(&name, 1).unwrap(), (0, 1));
    let error = admin().add_partitions(&name, 3).unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
}

#[test]
fn a_deleted_topic_is_gone_and_can_be_made_anew() {
    let name = topic("deleted", 1);
    fill(&name, 0, ["old".to_owned()]);
    admin()
        .delete_topics(&[&name, &unique("never-was")])
        .unwrap();
    eventually("the topic is gone", || {
        admin().partition_count(&name).unwrap().is_none()
    });
    eventually("it can be made anew", || {
        admin()
            .create_topics(&[NewTopicSpec::new(&name, 2)])
            .is_ok_and(|outcomes| outcomes == [TopicOutcome::Created])
    });
    eventually("it is empty", || {
        admin()
            .watermarks(&name, 0)
            .is_ok_and(|marks| marks == (0, 0))
    });
}

#[test]
fn watermarks_tell_the_first_and_the_next_offset() {
    let name = topic("watermarks", 2);
    assert_eq!(admin().watermarks(&name, 1).unwrap(), (0, 0));
    fill(&name, 1, (0..3).map(|n| n.to_string()));
    assert_eq!(admin().watermarks(&name, 1).unwrap(), (0, 3));
    assert_eq!(admin().watermarks(&name, 0).unwrap(), (0, 0));
}

#[test]
fn the_self_check_shows_what_is_in_force() {
    let check = self_check(
        &config()
            .with("linger.ms", "3")
            .with("sasl.password", "hunter2"),
    )
    .unwrap();
    assert!(check.library_version.starts_with('2'), "{check:?}");
    assert!(check.broker_count >= 1);
    assert!(check.features.iter().any(|feature| feature == "lz4"));
    let producer = |key: &str| check.producer_settings.get(key).map(String::as_str);
    assert_eq!(producer("enable.idempotence"), Some("true"));
    assert_eq!(producer("linger.ms"), Some("3"));
    assert_eq!(producer("message.timeout.ms"), Some("0"));
    assert_eq!(producer("partitioner"), Some("murmur2_random"));
    let consumer = |key: &str| check.consumer_settings.get(key).map(String::as_str);
    assert_eq!(consumer("check.crcs"), Some("true"));
    assert_eq!(
        consumer("partition.assignment.strategy"),
        Some("cooperative-sticky")
    );
    assert!(!format!("{check:?}").contains("hunter2"));
}

#[test]
fn the_self_check_says_that_no_broker_answers() {
    let begun = Instant::now();
    let error = self_check(&KafkaConfig::new(crate::away::closed_port())).unwrap_err();
    assert!(
        matches!(error, BrokerError::Unavailable { .. }),
        "{error:?}"
    );
    assert!(error.is_transient());
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn asking_for_a_partition_that_is_not_there_is_refused() {
    let name = topic("few", 1);
    let error = admin().watermarks(&name, 9).unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
    let none = admin()
        .committed_offsets(&unique("group"), &[TopicPartition::new(name, 0)])
        .unwrap();
    assert_eq!(none[0].1, None);
}
