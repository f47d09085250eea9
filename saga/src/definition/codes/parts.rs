//! Codes about what a definition means.

use super::Code;

pub(super) const PARTS: [Code; 10] = [
    Code {
        code: "BS0221",
        title: "a reaction that never comes about",
        text: "`on_timeout` needs a time that can run out (`within`), and `set`, `sleep` and `end` never fail.",
        wrong: "saga: pay
steps:
  - wait: payment
    topic: payments
    key: message.order_id
    on_timeout: ignore
deadline: 5d
",
        right: "saga: pay
steps:
  - wait: payment
    topic: payments
    key: message.order_id
    within: 2d
    on_timeout: ignore
deadline: 5d
",
    },
    Code {
        code: "BS0222",
        title: "a key is the same for everything",
        text: "The same key is the same saga. A start rule with a constant key starts one saga ever; a `match` \
               without a value of the saga lets all sagas wait under one key.",
        wrong: r#"saga: pay
start: { topic: orders, key: '"order"' }
steps:
  - do: charge-card
    undo: yes
"#,
        right: "saga: pay
start: { topic: orders, key: event.order_id }
steps:
  - do: charge-card
    undo: yes
",
    },
    Code {
        code: "BS0223",
        title: "a step after the pivot may have to be undone, and nothing says how",
        text: "After the pivot the saga as a whole does not turn back, but a part of it may: branches that are not \
               needed are undone, and so is what has run in a step whose failure is caught. There, too, a step says \
               how it is undone, or that there is nothing to undo.",
        wrong: "saga: pay
steps:
  - do: charge-card
    pivot: true
  - parallel:
      mail:
        - do: send-mail
      text:
        - do: send-text
    need: any
",
        right: "saga: pay
steps:
  - do: charge-card
    pivot: true
  - parallel:
      mail:
        - do: send-mail
          undo: nothing
      text:
        - do: send-text
          undo: nothing
    need: any
",
    },
    Code {
        code: "BS0224",
        title: "names clash as topics",
        text: "Kafka does not keep `.` and `_` apart in the names of metrics, so that of two topics that differ in \
               nothing else the second is refused. And the orchestrator's own topics, which begin with \
               `backstitch.` if nothing else is configured, carry no events.",
        wrong: "saga: pay
start:
  - topic: shop.orders
    key: event.order_id
  - topic: shop_orders
    key: event.order_id
steps:
  - do: charge-card
    undo: yes
",
        right: "saga: pay
start:
  - topic: shop.orders
    key: event.order_id
  - topic: shop.returns
    key: event.order_id
steps:
  - do: charge-card
    undo: yes
",
    },
    Code {
        code: "BS0225",
        title: "a saga may grow very large",
        text: "Each occurrence of a step is a line in the saga's ledger, and items and rounds inside each other \
               multiply. Beyond 20,000 lines each transition has much to carry: say how many there may be, or `run` \
               a saga for each item, which has a ledger of its own.",
        wrong: "saga: pay
steps:
  - each: shop
    over: event.shops
    steps:
      - each: line
        over: shop.lines
        steps:
          - do: ship-line
            undo: yes
",
        right: "saga: pay
steps:
  - each: shop
    over: event.shops
    most: 20
    steps:
      - each: line
        over: shop.lines
        most: 100
        steps:
          - do: ship-line
            undo: yes
",
    },
    Code {
        code: "BS0226",
        title: "a step gives nothing",
        text: "`parallel`, `choose`, `repeat`, `sleep`, `set`, `fail` and `end` have no output, and an `each` only \
               with `collect`. The steps inside have outputs of their own, and what was set is under `vars`.",
        wrong: "saga: pay
steps:
  - each: line
    id: lines
    over: event.lines
    steps:
      - do: ship-line
        undo: yes
output: =steps.lines
",
        right: "saga: pay
steps:
  - each: line
    id: lines
    over: event.lines
    steps:
      - do: ship-line
        undo: yes
    collect: =steps.ship_line.parcel
output: =steps.lines
",
    },
    Code {
        code: "BS0227",
        title: "a saga runs itself",
        text: "A child keeps its parent open. A saga that runs itself on every path, by itself or by way of others, \
               never ends; one that does so on some paths (a warning) must come to a path without.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: yes
  - run: pay
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
  - repeat:
      - do: check-payment
        undo: nothing
    until: steps.check_payment.done
    pause: 1h
    most: 10
",
    },
    Code {
        code: "BS0228",
        title: "no file defines a saga that is run",
        text: "When several files are checked together, a saga that is run by one of them should be defined by \
               another. To check one file alone says nothing of the others.",
        wrong: "saga: pay
steps:
  - run: ship-parcels
# file: ship.yaml
saga: ship-parcel
steps:
  - do: book-carrier
    undo: yes
",
        right: "saga: pay
steps:
  - run: ship-parcel
# file: ship.yaml
saga: ship-parcel
steps:
  - do: book-carrier
    undo: yes
",
    },
    Code {
        code: "BS0229",
        title: "a child has its pivot before its parent",
        text: "The undo of a `run` takes the child back, which is refused once the pivot of the child is done. If \
               the parent turns back then, it is stuck. Run such a child after the pivot of the parent.",
        wrong: "saga: pay
steps:
  - run: ship-parcel
  - do: charge-card
    undo: yes
# file: ship.yaml
saga: ship-parcel
steps:
  - do: book-carrier
    pivot: true
",
        right: "saga: pay
steps:
  - do: charge-card
    pivot: true
  - run: ship-parcel
# file: ship.yaml
saga: ship-parcel
steps:
  - do: book-carrier
    pivot: true
",
    },
    Code {
        code: "BS0230",
        title: "two files define the same saga",
        text: "A saga takes the latest version of its name. Two files of one name would take turns at being the \
               latest.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: yes
# file: other.yaml
saga: pay
steps:
  - do: charge-account
    undo: yes
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
# file: other.yaml
saga: pay-by-account
steps:
  - do: charge-account
    undo: yes
",
    },
];
