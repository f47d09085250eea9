//! The group's rules, told by members.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;

use super::group::Group;
use super::group_call::{Answer, Caller, JoinCall, Joined, Phase, Protocol, Refused, Ticket};

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

/// A group, its clock, and what it has answered.
struct Story {
    group: Group,
    now: Instant,
    tickets: Ticket,
    answers: Vec<Answer>,
}

fn subscription(topic: &str, owned: u8) -> Bytes {
    let mut metadata = BytesMut::new();
    metadata.put_i16(1);
    metadata.put_i32(1);
    metadata.put_i16(i16::try_from(topic.len()).unwrap());
    metadata.extend_from_slice(topic.as_bytes());
    metadata.put_u8(owned);
    metadata.freeze()
}

fn call(id: &str, instance: Option<&str>, topic: &str) -> JoinCall {
    JoinCall {
        ticket: 0,
        member_id: id.to_owned(),
        new_member_id: String::new(),
        instance: instance.map(str::to_owned),
        client_id: "test".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol {
            name: "range".to_owned(),
            metadata: subscription(topic, 0),
        }],
        session: SESSION,
        rebalance: REBALANCE,
        id_first: false,
        can_skip_assignment: false,
    }
}

impl Story {
    fn new() -> Story {
        let now = Instant::now();
        Story {
            group: Group::new(Duration::ZERO, now),
            now,
            tickets: 0,
            answers: Vec::new(),
        }
    }

    fn join(&mut self, mut call: JoinCall) -> Ticket {
        self.tickets += 1;
        call.ticket = self.tickets;
        if call.new_member_id.is_empty() {
            call.new_member_id = format!("new-{}", self.tickets);
        }
        self.group.join(call, self.now, &mut self.answers);
        self.tickets
    }

    fn joins_as(&mut self, id: &str, instance: Option<&str>) -> Ticket {
        self.join(JoinCall {
            new_member_id: id.to_owned(),
            ..call("", instance, "orders")
        })
    }

    fn sync(&mut self, id: &str, assignments: &[(&str, &'static str)]) -> Ticket {
        self.tickets += 1;
        let assignments = assignments
            .iter()
            .map(|(id, bytes)| ((*id).to_owned(), Bytes::from_static(bytes.as_bytes())))
            .collect();
        let caller = Caller {
            group: "g",
            member_id: id,
            instance: None,
            generation: self.group.generation,
        };
        self.group.sync(
            self.tickets,
            caller,
            assignments,
            self.now,
            &mut self.answers,
        );
        self.tickets
    }

    fn heartbeat(&mut self, id: &str, instance: Option<&str>) -> Result<(), ResponseError> {
        let caller = Caller {
            group: "g",
            member_id: id,
            instance,
            generation: self.group.generation,
        };
        self.group.heartbeat(caller, self.now)
    }

    fn commit(&mut self, id: &str, generation: i32) -> Result<(), ResponseError> {
        self.group.may_commit(
            Caller {
                group: "g",
                member_id: id,
                instance: None,
                generation,
            },
            self.now,
        )
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
        self.group.tick(self.now, &mut self.answers);
    }

    fn joined(&self, ticket: Ticket) -> Option<Result<Joined, Refused>> {
        self.answers.iter().find_map(|answer| match answer {
            Answer::Join(answered, result) if *answered == ticket => Some(result.clone()),
            Answer::Join(..) | Answer::Sync(..) => None,
        })
    }

    fn assignment(&self, ticket: Ticket) -> Option<Result<Bytes, ResponseError>> {
        self.answers.iter().find_map(|answer| match answer {
            Answer::Sync(answered, result) if *answered == ticket => {
                Some(result.clone().map(|synced| synced.assignment))
            }
            Answer::Join(..) | Answer::Sync(..) => None,
        })
    }

    /// Two members `a` (who leads) and `b`, with their partitions.
    fn of_two(static_ids: bool) -> Story {
        let mut story = Story::new();
        let instance = |id| static_ids.then_some(id);
        story.joins_as("a", instance("A"));
        story.joins_as("b", instance("B"));
        story.join(call("a", instance("A"), "orders"));
        story.sync("b", &[]);
        story.sync("a", &[("a", "left"), ("b", "right")]);
        assert_eq!(
            (story.group.phase, story.group.leader.as_str()),
            (Phase::Stable, "a")
        );
        story
    }
}

#[test]
fn members_that_join_together_get_one_generation_and_the_leader_assigns() {
    let mut story = Story::new();
    let alone = story.joins_as("a", None);
    assert_eq!(story.joined(alone).unwrap().unwrap().candidates.len(), 1);
    let second = story.joins_as("b", None);
    assert_eq!(story.joined(second), None, "b waits for a");
    let again = story.join(call("a", None, "orders"));
    let (first, second) = (
        story.joined(again).unwrap().unwrap(),
        story.joined(second).unwrap().unwrap(),
    );
    assert_eq!((first.generation, second.generation), (2, 2));
    assert_eq!(
        (
            first.leader.as_str(),
            first.candidates.len(),
            second.candidates.len()
        ),
        ("a", 2, 0)
    );
    let waits = story.sync("b", &[]);
    assert_eq!(story.assignment(waits), None);
    let leads = story.sync("a", &[("a", "left"), ("b", "right")]);
    assert_eq!(story.assignment(leads).unwrap().unwrap(), "left");
    assert_eq!(story.assignment(waits).unwrap().unwrap(), "right");
}

#[test]
fn a_static_member_that_comes_back_gets_its_assignment_and_nobody_rebalances() {
    let mut story = Story::of_two(true);
    let generation = story.group.generation;
    let back = story.joins_as("b2", Some("B"));
    let joined = story.joined(back).unwrap().unwrap();
    assert_eq!(
        (joined.generation, joined.member_id.as_str()),
        (generation, "b2")
    );
    let synced = story.sync("b2", &[]);
    assert_eq!(story.assignment(synced).unwrap().unwrap(), "right");
    assert_eq!(story.heartbeat("a", Some("A")), Ok(()));
}

#[test]
fn the_old_holder_of_an_instance_is_fenced() {
    let mut story = Story::of_two(true);
    story.joins_as("b2", Some("B"));
    assert_eq!(
        story.heartbeat("b", Some("B")),
        Err(ResponseError::FencedInstanceId)
    );
    let late = story.join(call("b", Some("B"), "orders"));
    assert_eq!(
        story.joined(late).unwrap().unwrap_err().error,
        ResponseError::FencedInstanceId
    );
}

#[test]
fn a_static_leader_that_comes_back_does_not_assign_again() {
    let mut story = Story::of_two(true);
    let back = story.joins_as("a2", Some("A"));
    let joined = story.joined(back).unwrap().unwrap();
    assert_eq!(
        (
            joined.leader.as_str(),
            joined.candidates.len(),
            joined.skip_assignment
        ),
        ("a", 0, false)
    );
    let back = story.join(JoinCall {
        can_skip_assignment: true,
        new_member_id: "a3".to_owned(),
        ..call("", Some("A"), "orders")
    });
    let joined = story.joined(back).unwrap().unwrap();
    assert_eq!(
        (
            joined.leader.as_str(),
            joined.candidates.len(),
            joined.skip_assignment
        ),
        ("a3", 2, true)
    );
    assert_eq!(story.heartbeat("b", Some("B")), Ok(()));
}

#[test]
fn a_static_member_that_comes_back_for_other_topics_starts_a_round() {
    let mut story = Story::of_two(true);
    story.join(call("", Some("B"), "payments"));
    assert_eq!(
        story.heartbeat("a", Some("A")),
        Err(ResponseError::RebalanceInProgress)
    );
}

#[test]
fn what_a_member_owned_before_does_not_make_its_return_a_change() {
    let mut story = Story::of_two(true);
    let mut back = call("", Some("B"), "orders");
    back.protocols[0].metadata = subscription("orders", 7);
    let back = story.join(back);
    assert!(story.joined(back).unwrap().is_ok());
    assert_eq!(story.group.phase, Phase::Stable);
}

#[test]
fn a_silent_member_loses_its_place_after_its_session() {
    let mut story = Story::of_two(false);
    story.wait(SESSION / 2);
    assert_eq!(story.heartbeat("a", None), Ok(()));
    story.wait(SESSION / 2);
    assert_eq!(
        story.heartbeat("a", None),
        Err(ResponseError::RebalanceInProgress)
    );
    assert_eq!(
        story.heartbeat("b", None),
        Err(ResponseError::UnknownMemberId)
    );
    let again = story.join(call("a", None, "orders"));
    assert_eq!(story.joined(again).unwrap().unwrap().candidates.len(), 1);
}

#[test]
fn a_round_ends_without_the_late_and_keeps_the_static() {
    for (static_ids, stays) in [(false, 2), (true, 3)] {
        let mut story = Story::of_two(static_ids);
        let third = story.joins_as("c", None);
        story.join(call("a", static_ids.then_some("A"), "orders"));
        for _ in 0..8 {
            // It lives but does not join.
            let _ = story.heartbeat("b", static_ids.then_some("B"));
            story.wait(REBALANCE / 8);
        }
        assert!(story.joined(third).unwrap().is_ok());
        assert_eq!(story.group.members.len(), stays, "static: {static_ids}");
    }
}

#[test]
fn a_leader_that_never_assigns_is_replaced() {
    let mut story = Story::new();
    story.joins_as("a", None);
    let second = story.joins_as("b", None);
    story.join(call("a", None, "orders"));
    assert!(story.joined(second).unwrap().is_ok());
    let waits = story.sync("b", &[]);
    for _ in 0..8 {
        let _ = story.heartbeat("a", None);
        story.wait(REBALANCE / 8);
    }
    assert_eq!(
        story.assignment(waits),
        Some(Err(ResponseError::RebalanceInProgress))
    );
    assert_eq!(story.group.leader, "b");
}

#[test]
fn an_id_is_given_first_and_forgotten_when_it_is_not_used() {
    let mut story = Story::new();
    let asks = story.join(JoinCall {
        id_first: true,
        new_member_id: "a".to_owned(),
        ..call("", None, "orders")
    });
    let refused = story.joined(asks).unwrap().unwrap_err();
    assert_eq!(
        (refused.error, refused.member_id.as_str()),
        (ResponseError::MemberIdRequired, "a")
    );
    assert!(!story.group.is_forgettable());
    story.wait(SESSION);
    assert!(story.group.is_forgettable());
    let late = story.join(call("a", None, "orders"));
    assert_eq!(
        story.joined(late).unwrap().unwrap_err().error,
        ResponseError::UnknownMemberId
    );
}

#[test]
fn only_a_member_of_this_generation_commits() {
    let mut story = Story::of_two(false);
    let generation = story.group.generation;
    assert_eq!(story.commit("a", generation), Ok(()));
    assert_eq!(
        story.commit("a", generation - 1),
        Err(ResponseError::IllegalGeneration)
    );
    assert_eq!(
        story.commit("z", generation),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(story.commit("", -1), Err(ResponseError::UnknownMemberId));
    assert_eq!(
        Story::new().commit("", -1),
        Ok(()),
        "a tool may commit for a group without members"
    );
}

#[test]
fn members_without_a_protocol_in_common_are_kept_apart() {
    let mut story = Story::of_two(false);
    let mut other = call("", None, "orders");
    other.protocols[0].name = "sticky".to_owned();
    let other = story.join(other);
    assert_eq!(
        story.joined(other).unwrap().unwrap_err().error,
        ResponseError::InconsistentGroupProtocol
    );
    assert_eq!(story.heartbeat("a", None), Ok(()));
}

#[test]
fn the_last_to_leave_empties_the_group() {
    let mut story = Story::of_two(true);
    let now = story.now;
    story
        .group
        .leave("a", None, now, &mut story.answers)
        .unwrap();
    story
        .group
        .leave("", Some("B"), now, &mut story.answers)
        .unwrap();
    assert_eq!(story.group.phase, Phase::Empty);
    assert!(story.group.is_forgettable());
}

/// Whatever members do, time moves the group on: after a tick nothing is due, and no call is answered twice or never.
#[test]
fn no_order_of_calls_leaves_a_call_unanswered_or_the_clock_spinning() {
    for seed in 1..300_u64 {
        let mut random = seed;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut story = Story::new();
        let names = ["a", "b", "c"];
        for _ in 0..150 {
            let who = names[usize::try_from(next(3)).unwrap()];
            let instance = (who == "c").then_some("C");
            match next(8) {
                0 => drop(story.joins_as(&format!("{who}-{}", story.tickets), instance)),
                1 | 2 => {
                    let known = story
                        .group
                        .members
                        .keys()
                        .find(|id| id.starts_with(who))
                        .cloned()
                        .unwrap_or_default();
                    let new_member_id = format!("{who}-{}", story.tickets);
                    story.join(JoinCall {
                        new_member_id,
                        id_first: next(2) == 0,
                        ..call(&known, instance, "orders")
                    });
                }
                3 | 4 => {
                    let known = story
                        .group
                        .members
                        .keys()
                        .find(|id| id.starts_with(who))
                        .cloned()
                        .unwrap_or_default();
                    story.sync(&known, &[]);
                }
                5 => {
                    let known = story
                        .group
                        .members
                        .keys()
                        .find(|id| id.starts_with(who))
                        .cloned()
                        .unwrap_or_default();
                    let _ = story.heartbeat(&known, instance);
                }
                6 => {
                    let known = story
                        .group
                        .members
                        .keys()
                        .find(|id| id.starts_with(who))
                        .cloned()
                        .unwrap_or_default();
                    let now = story.now;
                    let _ = story.group.leave(&known, None, now, &mut story.answers);
                }
                _ => story.wait(Duration::from_millis(next(8_000))),
            }
            story.wait(Duration::ZERO);
            let due = story.group.deadline();
            assert!(
                due.is_none_or(|at| at > story.now),
                "seed {seed}: something stays due"
            );
        }
        while let Some(at) = story.group.deadline() {
            story.wait(at - story.now);
        }
        assert!(
            story.group.is_forgettable(),
            "seed {seed}: {:?}",
            story.group
        );
        let answered: Vec<Ticket> = story
            .answers
            .iter()
            .map(|answer| match answer {
                Answer::Join(ticket, _) | Answer::Sync(ticket, _) => *ticket,
            })
            .collect();
        assert_eq!(
            answered.len(),
            answered.iter().collect::<BTreeSet<_>>().len(),
            "seed {seed}: answered twice"
        );
        assert_eq!(
            answered.iter().copied().collect::<BTreeSet<_>>(),
            (1..=story.tickets).collect(),
            "seed {seed}"
        );
    }
}
