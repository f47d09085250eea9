//! Codes about what a definition means.

use super::Code;

pub(super) const PATHS: [Code; 20] = [
    Code {
        code: "BS0201",
        title: "a name is not in its form",
        text: "Sagas and activities are kebab-case (`charge-payment`): they are parts of names of topics. Steps, \
               tags, branches, variables, items and codes of failures are snake_case (`charge_payment`): CEL reads \
               `a-b` as a subtraction. Names have at most 100 characters; topics are named as Kafka allows.",
        wrong: "saga: Pay
steps:
  - do: charge_card
    undo: yes
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
",
    },
    Code {
        code: "BS0202",
        title: "two steps have the same id",
        text: "An id names a step in expressions, in the journal and in idempotency keys. By default it is the \
               activity with `_` for `-`; a second step of the same activity needs an `id` of its own.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: yes
  - do: charge-card
    undo: yes
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
  - do: charge-card
    id: charge_tip
    undo: yes
",
    },
    Code {
        code: "BS0203",
        title: "an expression cannot be read",
        text: "Where logic stands (`when`, `key`) the whole text is CEL; where data stands (`with`, `output`, \
               `tags`) a text that begins with `=` is, and `==x` is the text `=x`. An expression has at most 4,096 \
               characters, 32 open brackets and two comprehensions inside each other, and calls functions that CEL \
               has.",
        wrong: "saga: pay
steps:
  - do: charge-card
    when: event.total >
    undo: yes
",
        right: "saga: pay
steps:
  - do: charge-card
    when: event.total > 100
    undo: yes
",
    },
    Code {
        code: "BS0204",
        title: "a name is not in scope",
        text: "A start rule sees `event` and `now`; tags and steps also `key` and `steps.<id>`, and steps \
               `vars.<name>`; an undo also `result`, which is null if the step gave none; the steps of an \
               `on_failure` also `failure`; the steps of an `each` also its item and `index`. The `key` and the \
               `accept` of a `wait` see `message` and `now` alone: a record is looked at before it is known whose \
               it is.",
        wrong: "saga: pay
steps:
  - do: charge-card
    with: { amount: =total }
    undo: yes
",
        right: "saga: pay
steps:
  - do: charge-card
    with: { amount: =event.total }
    undo: yes
",
    },
    Code {
        code: "BS0205",
        title: "an expression names a step that is not there",
        text: "`steps.<id>` is followed by the id of a step of this definition, with `_` and not `-`.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: yes
output: =steps.charge_cart
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
output: =steps.charge_card
",
    },
    Code {
        code: "BS0206",
        title: "an expression names a step that has not run",
        text: "A step sees what has been answered on the way to it. Steps run in order, so what is written later \
               has not run; the branches of a `parallel` run side by side, and of a `choose` only one case runs, so \
               neither sees anything of another. The `undo` of a step also sees the step itself.",
        wrong: "saga: pay
steps:
  - parallel:
      card:
        - do: charge-card
          undo: yes
      mail:
        - do: send-receipt
          with: { payment: =steps.charge_card.payment_id }
          undo: nothing
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
  - do: send-receipt
    with: { payment: =steps.charge_card.payment_id }
    undo: nothing
",
    },
    Code {
        code: "BS0207",
        title: "a step may have run, and nothing says how to undo it",
        text: "Before the pivot a saga can turn back, and then each step that may have run is undone, newest first. \
               So each step before the pivot says how: `undo: yes` (the same activity takes it back), `undo: { do: \
               other }`, or `undo: nothing` where there is nothing worth undoing. Without a pivot this holds for \
               every step, and so it does where the pivot is done on some paths only.",
        wrong: "saga: pay
steps:
  - do: reserve-stock
  - do: charge-card
    pivot: true
",
        right: "saga: pay
steps:
  - do: reserve-stock
    undo: yes
  - do: charge-card
    pivot: true
",
    },
    Code {
        code: "BS0208",
        title: "there is more than one pivot",
        text: "The pivot is the step after which a saga only goes forward. There is one such point on a path; the \
               cases of a `choose` are paths of their own, and each may have one.",
        wrong: "saga: pay
steps:
  - do: charge-card
    pivot: true
  - do: ship-order
    pivot: true
",
        right: "saga: pay
steps:
  - do: charge-card
    pivot: true
  - do: ship-order
",
    },
    Code {
        code: "BS0209",
        title: "a text looks like a forgotten expression",
        text: "In `with`, `output`, `set`, `show` and `tags` only a text that begins with `=` is an expression: \
               `=event.total` is a number, `event.total` are eleven letters.",
        wrong: "saga: pay
steps:
  - do: charge-card
    with: { amount: event.total }
    undo: yes
",
        right: "saga: pay
steps:
  - do: charge-card
    with: { amount: =event.total }
    undo: yes
",
    },
    Code {
        code: "BS0210",
        title: "a step may have no output",
        text: "A step that was skipped, that is in one case of a `choose`, whose failure was ignored or caught, or \
               that stands in an `each` without items has no output, which reads as null; a field of null is an \
               error, which parks the saga. Write `steps.x.?field` for null instead, `steps.x.?field.orValue(0)` \
               for another value, or ask `has(steps.x)`; a `when` that asks counts for what stands under it.",
        wrong: "saga: pay
steps:
  - do: find-coupon
    when: event.total > 100
    undo: nothing
  - do: charge-card
    with: { coupon: =steps.find_coupon.code }
    undo: yes
",
        right: "saga: pay
steps:
  - do: find-coupon
    when: event.total > 100
    undo: nothing
  - do: charge-card
    with: { coupon: =steps.find_coupon.?code }
    undo: yes
",
    },
    Code {
        code: "BS0211",
        title: "a part is never reached",
        text: "What stands behind an `end` or a `fail` on every path, behind a case that always holds, or under a \
               condition that never does, is written for nothing, and hides a mistake more often than not.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: yes
  - end: { paid: true }
  - do: send-receipt
    undo: nothing
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
  - do: send-receipt
    undo: nothing
  - end: { paid: true }
",
    },
    Code {
        code: "BS0212",
        title: "`end` stands where something runs beside it",
        text: "`end` completes the saga at once. Inside a `parallel` or an `each`, other branches or items may be \
               half done then, and nobody would finish or undo them.",
        wrong: "saga: pay
steps:
  - parallel:
      card:
        - do: charge-card
          undo: yes
        - end: { paid: true }
      stock:
        - do: reserve-stock
          undo: yes
",
        right: "saga: pay
steps:
  - parallel:
      card:
        - do: charge-card
          undo: yes
      stock:
        - do: reserve-stock
          undo: yes
  - end: { paid: true }
",
    },
    Code {
        code: "BS0213",
        title: "the pivot stands where it is not one moment",
        text: "Once the pivot is done, the saga only goes forward. Inside a `parallel`, an `each` or a `repeat` \
               there would be several such moments, or one of which the others know nothing.",
        wrong: "saga: pay
steps:
  - each: line
    over: event.lines
    steps:
      - do: ship-line
        pivot: true
",
        right: "saga: pay
steps:
  - do: charge-card
    pivot: true
  - each: line
    over: event.lines
    steps:
      - do: ship-line
",
    },
    Code {
        code: "BS0214",
        title: "the pivot may not be done",
        text: "A pivot with a `when`, or whose failure is ignored or caught, is not done on every path. Then a saga \
               may turn back long after it, and each step that follows needs an undo. In a case of a `choose` it is \
               plain to see which path has the pivot.",
        wrong: "saga: pay
steps:
  - do: charge-card
    when: event.total > 0
    pivot: true
",
        right: "saga: pay
steps:
  - choose:
      - when: event.total > 0
        steps:
          - do: charge-card
            pivot: true
      - else: []
",
    },
    Code {
        code: "BS0215",
        title: "`fail` after the pivot",
        text: "After the pivot nothing turns back: a saga that fails there is parked for a person. Fail before the \
               pivot, or do what makes good and `end`.",
        wrong: "saga: pay
steps:
  - do: charge-card
    pivot: true
  - fail: too_late
    when: now > event.due_ms
",
        right: "saga: pay
steps:
  - fail: too_late
    when: now > event.due_ms
  - do: charge-card
    pivot: true
",
    },
    Code {
        code: "BS0216",
        title: "a variable is asked for before it is set",
        text: "A variable is there once a `set` has run. If no path to here sets it, this is an error; if some do, \
               a warning: to ask for a variable that is not there parks the saga. Give it a value first, or write \
               `vars.?name.orValue(0)`.",
        wrong: "saga: pay
steps:
  - do: charge-card
    with: { amount: =vars.amount }
    undo: yes
  - set: { amount: =event.total }
",
        right: "saga: pay
steps:
  - set: { amount: =event.total }
  - do: charge-card
    with: { amount: =vars.amount }
    undo: yes
",
    },
    Code {
        code: "BS0217",
        title: "the name of an item means something else",
        text: "The item of an `each` is a name in expressions. A name that is there already (`event`, `key`, \
               `steps`, `index`, a type of CEL such as `list`) would hide it, or be hidden.",
        wrong: "saga: pay
steps:
  - each: event
    over: event.lines
    steps:
      - do: ship-line
        undo: yes
",
        right: "saga: pay
steps:
  - each: line
    over: event.lines
    steps:
      - do: ship-line
        undo: yes
",
    },
    Code {
        code: "BS0218",
        title: "a wait can never be answered",
        text: "A record goes to the saga that its `key` names, if `accept` holds for it. A key that does not depend \
               on the record (`message`), or a condition that never holds, lets no record through, or all of them \
               to one saga.",
        wrong: r#"saga: pay
steps:
  - wait: payment
    topic: payments
    key: '"order"'
    within: 2d
"#,
        right: "saga: pay
steps:
  - wait: payment
    topic: payments
    key: message.order_id
    within: 2d
",
    },
    Code {
        code: "BS0219",
        title: "a wait may last for ever",
        text: "An event that never comes keeps the saga open, with all that it has reserved. Say how long to wait \
               (`within`) and what then (`on_timeout`), or give the saga a `deadline`.",
        wrong: "saga: pay
steps:
  - wait: payment
    topic: payments
    key: message.order_id
",
        right: "saga: pay
steps:
  - wait: payment
    topic: payments
    key: message.order_id
    within: 2d
    on_timeout: park
",
    },
    Code {
        code: "BS0220",
        title: "a limit of time leaves no room for another",
        text: "A budget shorter than the first backoff allows no second attempt, a `total` shorter than `reply` \
               cuts the first one, a `start` or `heartbeat` as long as `reply` is never reached, and nothing lasts \
               longer than the deadline of its saga.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: yes
    retry: { attempts: 5, backoff: 10s..1m, budget: 5s }
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
    retry: { attempts: 5, backoff: 1s..1m, budget: 5m }
",
    },
];
