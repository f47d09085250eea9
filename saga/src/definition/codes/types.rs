//! Codes about types, schemas and versions.

use super::Code;

pub(super) const TYPES: [Code; 11] = [
    Code {
        code: "BS0301",
        title: "a field is not in the schema",
        text: "The schema of the start event or of a wait's record (`input`), or of an activity's answer (`output` \
               in its contract), has no such field; or a child saga that is checked with it does not answer it. \
               Reading it parks each saga that comes to it. Fields that may be missing are read with `.?`.",
        wrong: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    with: { value: =event.totl }
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
        right: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    with: { value: =event.total }
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
    },
    Code {
        code: "BS0302",
        title: "an operator or a function is not defined for what it is given",
        text: "As CEL has it, an int and a double compare but do not add: write `double(event.n) * 1.5`. A text and \
               a number do not add: write `string(event.n)`. An optional value (`event.?x`) is none of these until \
               it says what counts where there is none: `event.?x.orValue(0)`.",
        wrong: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    with: { value: =event.total * 1.5 }
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
        right: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    with: { value: =double(event.total) * 1.5 }
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
    },
    Code {
        code: "BS0303",
        title: "something has no fields, or no elements",
        text: "Fields are read of objects, elements of lists by their position. A text has neither: `size(text)` is \
               its length.",
        wrong: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    with: { value: =event.order_id.length }
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
        right: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    with: { value: =size(event.order_id) }
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
    },
    Code {
        code: "BS0304",
        title: "something may be null where null is an error",
        text: "A schema allows null here (a union with `null`), and a field of null, or null as an operand, is an \
               error, which parks the saga. Ask first (`event.coupon != null && …`, also in a `when`), or write \
               `event.?coupon.code` for null instead. `has(event.coupon)` says that the field is there, and it may \
               be there and null.",
        wrong: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    with: { value: =event.coupon.code }
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
        right: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    with: { value: =event.?coupon.code }
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
    },
    Code {
        code: "BS0305",
        title: "a comparison always has the same answer",
        text: "Values of different types are never equal, a text is never a symbol that the schema does not have, \
               and an optional value (`event.?x`) never equals a plain one: `event.?x == null` is false even where \
               there is none.",
        wrong: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    with: { value: =event.status == "PAYED" }
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
        right: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    with: { value: =event.status == "PAID" }
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
    },
    Code {
        code: "BS0306",
        title: "an expression gives something else than is asked for",
        text: "A condition (`when`, `until`, `accept`) is true or false, what an `each` goes over is a list, a key \
               is a text or a whole number, and a time is milliseconds since 1970 or a text.",
        wrong: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    when: event.total
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
        right: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    when: event.total > 0
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "total", "type": "long" },
  { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
  { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
    { "name": "code", "type": "string" } ] }] },
  { "name": "lines", "type": { "type": "array", "items": "string" } } ] }
"#,
    },
    Code {
        code: "BS0307",
        title: "what is sent does not fit the schema",
        text: "The contract of an activity says what its workers are given (`input`), and the `input` of a \
               definition what its start event is. Each field without a default is written, of the right type, and \
               nothing else: a field that the schema does not have is most likely misspelt.",
        wrong: r#"saga: pay
activities:
  charge-card: { input: charge.avsc }
steps:
  - do: charge-card
    with: { order_id: =key, amount: 5 }
    undo: yes
# file: charge.avsc
{ "type": "record", "name": "Charge", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "amount_cents", "type": "long", "doc": "what the card is charged with" } ] }
"#,
        right: r#"saga: pay
activities:
  charge-card: { input: charge.avsc }
steps:
  - do: charge-card
    with: { order_id: =key, amount_cents: 5 }
    undo: yes
# file: charge.avsc
{ "type": "record", "name": "Charge", "fields": [
  { "name": "order_id", "type": "string" },
  { "name": "amount_cents", "type": "long", "doc": "what the card is charged with" } ] }
"#,
    },
    Code {
        code: "BS0308",
        title: "an error code is not in the contract",
        text: "Where a contract lists the `errors` of an activity, a code under `retry.not` that is none of them \
               never comes, and what was meant is tried again.",
        wrong: "saga: pay
activities:
  charge-card: { errors: [card_declined, bank_down] }
steps:
  - do: charge-card
    undo: yes
    retry: { not: [card_refused] }
",
        right: "saga: pay
activities:
  charge-card: { errors: [card_declined, bank_down] }
steps:
  - do: charge-card
    undo: yes
    retry: { not: [card_declined] }
",
    },
    Code {
        code: "BS0309",
        title: "a contract is for an activity that is not asked",
        text: "No step asks this activity, and one asks an activity of nearly that name, for which there is no \
               contract.",
        wrong: "saga: pay
activities:
  charge-cart: { timeout: 5s }
steps:
  - do: charge-card
    undo: yes
",
        right: "saga: pay
activities:
  charge-card: { timeout: 5s }
steps:
  - do: charge-card
    undo: yes
",
    },
    Code {
        code: "BS0310",
        title: "a schema has changed so that older documents do not fit",
        text: "Asked with `check --against OLD.yaml NEW.yaml`. Sagas in flight keep the definition they have \
               started with, but they share events and workers with new ones: what either writes, the other should \
               read. Give new fields a default, leave fields in place, and make an int a long only where everyone \
               reads longs already. Otherwise give the changed thing another name.",
        wrong: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [ { "name": "total", "type": "long" }, { "name": "currency", "type": "string" } ] }
# file: older.yaml
saga: pay
input: old.avsc
steps:
  - do: charge-card
    undo: yes
# file: old.avsc
{ "type": "record", "name": "Order", "fields": [ { "name": "total", "type": "long" } ] }
"#,
        right: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    undo: yes
# file: order.avsc
{ "type": "record", "name": "Order", "fields": [ { "name": "total", "type": "long" }, { "name": "currency", "type": "string", "default": "EUR" } ] }
# file: older.yaml
saga: pay
input: old.avsc
steps:
  - do: charge-card
    undo: yes
# file: old.avsc
{ "type": "record", "name": "Order", "fields": [ { "name": "total", "type": "long" } ] }
"#,
    },
    Code {
        code: "BS0311",
        title: "two texts are not versions of the same saga",
        text: "Versions are texts of one saga, told apart by their hashes. Under another name it is another saga: \
               those of the old name go on as they are, and are not started any more once its definition is gone.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: yes
# file: older.yaml
saga: pays
steps:
  - do: charge-card
    undo: yes
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
  - do: send-receipt
    undo: nothing
# file: older.yaml
saga: pay
steps:
  - do: charge-card
    undo: yes
",
    },
];
