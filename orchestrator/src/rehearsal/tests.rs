//! Tests of rehearsals as a whole.

use std::collections::BTreeSet;

use backstitch_saga::Definition;
use backstitch_schemas::{ActKind, Codec};

use super::cast::Cast;
use super::expect::Tested;
use super::explore::{Explored, Extent};
use super::post::Stored;
use super::rehearse::Rehearsal;
use super::run::{End, Run};
use super::script::{Case, Script};
use super::test_file::Test;
use super::turns::Begins;
use super::witness::Witness;
use super::workers::Deed;
use super::world::{BEGIN_MS, World};
use crate::store::{CommitPlan, Epoch, ShardCommit, ShardId};

pub(super) fn rehearsal(main: &str, children: &[&str]) -> Rehearsal {
    let read = |text: &str| {
        Definition::from_yaml(text).unwrap_or_else(|wrong| panic!("{wrong:#?}\n{text}"))
    };
    let children = children.iter().map(|text| read(text)).collect();
    Rehearsal::new(Cast::new(read(main), children), None)
}

pub(super) fn play(rehearsal: &Rehearsal, case: &str) -> Run {
    let case: Case = case.parse().unwrap();
    let run = rehearsal.play(&case, true).unwrap();
    if let Some(violation) = &run.violation {
        panic!("{case}: {violation}\n{:#?}", run.story);
    }
    run
}

pub(super) fn explore(rehearsal: &Rehearsal, pairs_max: usize) -> Explored {
    let extent = Extent {
        pairs_max,
        ..Extent::default()
    };
    let explored = rehearsal.explore(extent);
    if let Some(broken) = &explored.broken {
        panic!("{}: {}\n{:#?}", broken.case, broken.what, broken.story);
    }
    explored
}

const ORDER: &str = include_str!("../../definitions/order.yaml");

#[test]
fn an_order_in_which_nothing_goes_otherwise_completes() {
    let order = rehearsal(ORDER, &[]);
    let run = play(&order, "p0");
    assert_eq!(run.end, End::Completed);
    assert_eq!(run.done.len(), 4);
    assert_eq!(run.undone, Vec::<String>::new());
}

#[test]
fn a_refused_payment_releases_the_stock_and_nothing_else() {
    let order = rehearsal(ORDER, &[]);
    let run = play(&order, "p0+charge_payment:refused");
    assert_eq!(run.end, End::Compensated);
    assert_eq!(run.undone, ["reserve_stock"]);
}

#[test]
fn each_thing_that_can_go_otherwise_with_an_order_ends_settled_or_parked() {
    let order = rehearsal(ORDER, &[]);
    let explored = explore(&order, 500);
    assert!(explored.singles > 50, "{}", explored.singles);
    assert!(explored.groups.len() > 4, "{:#?}", explored.groups);
    assert_eq!(explored.coverage.missed, []);
}

/// All verbs but `run`: one saga.
const TOUR: &str = r#"
saga: tour
start:
  - topic: tours
    when: event.kind in ["short", "long"]
    key: event.id
deadline: 30d
defaults: { timeout: 5s, retry: { attempts: 2, backoff: 100ms..1s } }
steps:
  - do: check
    with: { id: =event.id }
    undo: nothing
  - choose:
      - when: steps.check.score >= 80
        steps:
          - approve: risky
            by: [lead]
            within: 1d
      - when: event.kind == "long"
        steps:
          - do: extend
            undo: yes
      - else: []
  - each: stop
    over: event.stops
    at_once: 2
    steps:
      - do: reserve
        with: { place: =stop.place, n: =index }
        undo: yes
    collect: =steps.reserve.number
  - parallel:
      bus:
        - do: book-bus
          undo: { do: cancel-bus, with: { ticket: =result.?ticket } }
      guide:
        - do: book-guide
          undo: yes
          on_failure:
            - do: note-absence
              with: { why: =failure.code }
              undo: nothing
  - repeat:
      - do: ask-weather
        undo: nothing
    until: steps.ask_weather.good
    most: 3
    pause: 1h
  - set: { stops: =size(steps.each_1) }
  - wait: paid
    topic: payments
    key: message.tour
    accept: message.amount >= 10
    within: 2d
    on_timeout:
      - do: remind
        undo: nothing
  - sleep: 1h
  - do: send-tickets
    with: { stops: =vars.stops }
    pivot: true
output: { stops: =vars.stops }
"#;

#[test]
fn each_branch_of_a_definition_has_a_path_that_takes_it() {
    let tour = rehearsal(TOUR, &[]);
    let words: Vec<&str> = tour
        .paths()
        .iter()
        .map(|path| path.words.as_str())
        .collect();
    assert_eq!(
        words,
        [
            "as usual",
            "an event that no start rule takes",
            "case 2 of `choose_1`",
            "`else` of `choose_1`",
            "`each_1` over 0 items",
            "`each_1` over 3 items",
            "`repeat_1` goes round 2 times",
            "`repeat_1` goes round too often",
        ]
    );
    let begun = |path: usize| play(&tour, &format!("p{path}")).begun;
    assert!(begun(0).contains(&"risky".to_owned()));
    assert!(begun(1).is_empty());
    assert!(begun(2).contains(&"extend".to_owned()));
    assert!(begun(5).contains(&"reserve[2]".to_owned()));
    assert!(begun(6).contains(&"ask_weather[1]".to_owned()));
}

#[test]
fn a_list_that_is_given_empty_has_paths_with_items_too() {
    let definition = Definition::from_yaml(TOUR).unwrap();
    let event = serde_json::json!({ "id": "1", "kind": "long", "stops": [] });
    let tour = Rehearsal::new(Cast::new(definition, Vec::new()), Some(&event));
    let words = |path: &super::paths::Path| path.words == "`each_1` over 3 items";
    let path = tour.paths().iter().position(words).unwrap();
    let begun = play(&tour, &format!("p{path}")).begun;
    assert!(begun.contains(&"reserve[2]".to_owned()), "{begun:?}");
}

#[test]
fn all_verbs_take_all_that_can_go_otherwise() {
    let tour = rehearsal(TOUR, &[]);
    let explored = explore(&tour, 300);
    assert_eq!(explored.coverage.missed, []);
    assert_eq!(explored.notes, BTreeSet::new());
}

#[test]
fn an_event_that_comes_early_is_kept_and_one_that_is_late_is_not_waited_for() {
    let tour = rehearsal(TOUR, &[]);
    for coming in ["early", "twice"] {
        let run = play(&tour, &format!("p0+paid:{coming}"));
        assert!(!run.begun.contains(&"remind".to_owned()), "{coming}");
        assert_eq!(run.end, End::Completed);
    }
    for coming in ["late", "never"] {
        let run = play(&tour, &format!("p0+paid:{coming}"));
        assert!(run.begun.contains(&"remind".to_owned()), "{coming}");
        assert_eq!(run.end, End::Completed);
    }
}

const PARENT: &str = r#"
saga: parent
steps:
  - do: plan
    undo: yes
  - run: child
    key: key + "-c"
    with: { size: =event.size }
  - do: finish
    undo: yes
output: { child: =steps.child.number }
"#;

const CHILD: &str = r#"
saga: child
steps:
  - do: pick
    with: { size: =event.size }
    undo: yes
  - do: pack
    undo: yes
output: { number: =steps.pick.number }
"#;

#[test]
fn a_child_is_undone_with_its_parent() {
    let family = rehearsal(PARENT, &[CHILD]);
    let run = play(&family, "p0+finish:refused");
    assert_eq!(run.end, End::Compensated);
    assert_eq!(run.undone, ["child", "plan"]);
}

#[test]
fn the_steps_of_a_child_can_be_named() {
    let family = rehearsal(PARENT, &[CHILD]);
    let run = play(&family, "p0+child/pack:refused");
    assert_eq!(run.end, End::Compensated);
    assert_eq!(run.undone, ["plan"]);
    let explored = explore(&family, 300);
    assert_eq!(explored.coverage.missed, []);
}

#[test]
fn what_is_parked_is_brought_to_an_end_by_a_resume() {
    let order = rehearsal(ORDER, &[]);
    for undo in ["failed", "refused", "silent"] {
        let run = play(
            &order,
            &format!("p0+ship_order:refused+reserve_stock.undo:{undo}"),
        );
        assert_eq!(run.end.name(), "parked", "{undo}");
        assert_eq!(run.resumed, Some(End::Compensated), "{undo}");
    }
    let family = rehearsal(PARENT, &[CHILD]);
    let run = play(&family, "p0+finish:refused+child/pick.undo:refused");
    let at = "child/pick".to_owned();
    let is_parked = true;
    assert_eq!(run.end, End::Waiting { at, is_parked });
    assert_eq!(run.resumed, Some(End::Compensated));
}

#[test]
fn the_same_seed_plays_the_same_cases() {
    let order = rehearsal(ORDER, &[]);
    let of = |seed, threads| {
        order.explore(Extent {
            seed,
            threads,
            pairs_max: 40,
        })
    };
    let (one, two, other) = (of(7, 1), of(7, 2), of(8, 2));
    assert_eq!(one.groups, two.groups);
    assert_eq!(one.pairs, 40);
    assert!(one.pairs_cut > 40);
    assert_ne!(one.groups, other.groups);
}

// ---- the tester itself is tested: what is wrong has to be found ------------------------------------

pub(super) fn test_file(rehearsal: &Rehearsal, text: &str) -> Vec<Tested> {
    let tests = Test::read_all(text, rehearsal.cast());
    let tests = tests.unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    tests.iter().map(|test| rehearsal.test(test)).collect()
}

const REFUSED: &str = "
test: a refused payment releases the stock and nothing else
event: { type: OrderPlaced, order_id: '4711', customer_id: c, total: 120, currency: EUR,
         address: { country: DE }, lines: [{ sku: a, n: 1 }] }
answers: { charge_payment: { refused: card_declined } }
expect: { status: compensated, undone: [reserve_stock], never: [ship_order], within: 1s, tags: { country: DE } }
";

#[test]
fn a_test_that_comes_as_expected_passes() {
    let order = rehearsal(ORDER, &[]);
    let tested = test_file(&order, REFUSED);
    assert!(tested[0].passed(), "{tested:#?}");
}

#[test]
fn a_definition_that_forgets_an_undo_fails_the_test_that_expects_it() {
    let forgets = ORDER.replace(
        "    undo:
      do: release-stock # another activity; `undo: yes` would ask reserve-stock itself
      with:
        order_id: =event.order_id
        lines: =event.lines
        fail_at: =event.?fail_at
        fail_how: =event.?fail_how
",
        "    undo: nothing
",
    );
    assert_ne!(forgets, ORDER);
    let order = rehearsal(&forgets, &[]);
    let tested = test_file(&order, REFUSED);
    let unmet: Vec<&str> = tested[0].unmet.iter().map(|one| one.what).collect();
    assert_eq!(unmet, ["undone"]);
}

#[test]
fn each_key_of_expect_can_fail() {
    let order = rehearsal(ORDER, &[]);
    let text = "
- test: it does not come so
  answers: { reserve_stock: failed busy ×1 then done, ship_order: refused no_carrier }
  expect:
    status: parked
    undone: [reserve_stock]
    never: [charge_payment]
    done: [ship_order]
    output: { order_id: x }
    within: 1ms
    parked_at: ship_order
    tags: { country: XX }
";
    let tested = test_file(&order, text);
    let unmet: Vec<&str> = tested[0].unmet.iter().map(|one| one.what).collect();
    assert_eq!(
        unmet,
        [
            "status",
            "parked_at",
            "undone",
            "never",
            "done",
            "output",
            "within",
            "tags"
        ]
    );
}

#[test]
fn what_is_wrong_in_a_test_file_is_told_with_its_place() {
    let order = rehearsal(ORDER, &[]);
    let text = "test: x
evnt: {}
answers: { charge_paymnt: done, ship_order: maybe, check_fraud.undo: done }
expect: { staus: completed, undone: [reserve_stok], status: compleated }
";
    let wrong = Test::read_all(text, order.cast()).unwrap_err();
    let told: Vec<String> = wrong
        .iter()
        .map(|one| {
            let help = one.help.clone().unwrap_or_default();
            format!(
                "{}:{} {} ({help})",
                one.place.line, one.place.column, one.message
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "2:1 a test has no `evnt` (did you mean `event`?)",
            "3:12 among what workers answer, `process-order` has no `charge_paymnt` (did you mean `charge_payment`?)",
            "3:45 `maybe` is no answer (write done, refused CODE, failed CODE, failed CODE ×2 then done, unanswered, \
             late 30s, twice or worker_crash; `{ done: {…} }` gives the output)",
            "3:52 `check_fraud` has no undo that anyone is asked for ()",
            "4:11 `expect` has no `staus` (did you mean `status`?)",
            "4:38 `process-order` has no `reserve_stok` (did you mean `reserve_stock`?)",
            "4:61 `status` has no `compleated` (did you mean `completed`?)",
        ]
    );
}

#[test]
fn workers_that_forget_what_they_answered_are_found() {
    let order = rehearsal(ORDER, &[]);
    let path = &order.paths.all[0];
    let script = Script::of(&"p0+charge_payment:worker_crash".parse().unwrap());
    let mut world = World::new(&order.cast, &path.data, &script);
    world.workers.is_forgetful = true;
    world.begin(&order.event_of(0).unwrap(), Begins::ByAny);
    world.run();
    world.judge();
    let wrong = world.wrong.unwrap();
    assert!(wrong.starts_with("W-1"), "{wrong}");
}

#[test]
fn an_undo_that_only_the_ledger_knows_of_is_found() {
    let order = rehearsal(ORDER, &[]);
    let path = &order.paths.all[0];
    let script = Script::of(&"p0+charge_payment:refused".parse().unwrap());
    let mut world = World::new(&order.cast, &path.data, &script);
    world.begin(&order.event_of(0).unwrap(), Begins::ByAny);
    world.run();
    let is_undo = |deed: &Deed| deed.direction == backstitch_schemas::Direction::Undo;
    world.workers.deeds.retain(|deed| !is_undo(deed));
    world.judge();
    let wrong = world.wrong.unwrap();
    assert!(wrong.starts_with("S-2"), "{wrong}");
}

#[test]
fn a_record_that_is_put_aside_is_found() {
    let order = rehearsal(ORDER, &[]);
    let path = &order.paths.all[0];
    let script = Script::default();
    let mut world = World::new(&order.cast, &path.data, &script);
    world.begin(&order.event_of(0).unwrap(), Begins::ByAny);
    let stranger = Stored::act(
        &world.codec,
        "process-order/nobody",
        ActKind::Cancel,
        BEGIN_MS,
    );
    world.send(0, stranger);
    world.run();
    world.judge();
    let wrong = world.wrong.unwrap();
    assert!(wrong.starts_with("S-8"), "{wrong}");
}

#[test]
fn a_command_that_no_commit_asked_for_is_found() {
    let witness = Witness::default();
    let command = backstitch_schemas::Command {
        saga: "order/1".to_owned(),
        definition: "order".to_owned(),
        step: "charge".to_owned(),
        direction: backstitch_schemas::Direction::Do,
        attempt: 1,
        activity: "charge".to_owned(),
        idempotency_key: "order/1/charge/do".to_owned(),
        done_key: None,
        input: b"{}".to_vec(),
        output: None,
        reply_topic: "inbox".to_owned(),
        reply_partition: 0,
        sent_at_ms: 0,
        deadline_ms: 5_000,
        heartbeat_ms: None,
    };
    let wrong = witness.command_leaves(&command).unwrap_err();
    assert!(wrong.starts_with("S-3"), "{wrong}");
}

#[test]
fn a_commit_from_another_place_is_found() {
    let mut witness = Witness::default();
    let plan = CommitPlan {
        shards: vec![ShardCommit {
            id: ShardId(0),
            epoch: Epoch(1),
            offset_from: 3,
            offset_to: 4,
            journal_seq: 0,
            published_seq: 0,
        }],
        journal: Vec::new(),
        sagas: Vec::new(),
    };
    let wrong = witness.see(&Codec::single_object(), &plan).unwrap_err();
    assert!(wrong.starts_with("S-7"), "{wrong}");
}
