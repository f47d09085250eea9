//! Records to try things with.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use backstitch_schemas::{
    Act, ActKind, Address, Codec, Command, DeadLetter, DeadLetterReason, Decision, Definition,
    Direction, HeaderField, JournalEntry, Line, OrderPlaced, Parent, RecordKind, Reply,
    ReplyOutcome, SourcePosition, Start, Undo, WaitEvent, Want,
};

pub(crate) fn command() -> Command {
    Command {
        saga: "process-order/4711".to_owned(),
        definition: "process-order".to_owned(),
        step: "charge_payment".to_owned(),
        direction: Direction::Undo,
        attempt: 3,
        activity: "charge-payment".to_owned(),
        idempotency_key: "process-order/4711/charge_payment/undo".to_owned(),
        done_key: Some("process-order/4711/charge_payment/do".to_owned()),
        input: br#"{"payment":"p-1"}"#.to_vec(),
        output: Some(br#"{"payment_id":"p-1"}"#.to_vec()),
        reply_topic: "backstitch.inbox".to_owned(),
        reply_partition: 2,
        sent_at_ms: 1_772_323_200_123,
        deadline_ms: 1_772_323_205_123,
        heartbeat_ms: Some(10_000),
    }
}

pub(crate) fn reply() -> Reply {
    Reply {
        saga: "process-order/4711".to_owned(),
        step: "charge_payment".to_owned(),
        direction: Direction::Do,
        attempt: 1,
        idempotency_key: "process-order/4711/charge_payment/do".to_owned(),
        outcome: ReplyOutcome::Refused,
        output: None,
        code: Some("card_declined".to_owned()),
        reason: Some("die Karte läuft ab".to_owned()),
        worker: None,
        at_ms: 1_772_323_200_456,
    }
}

pub(crate) fn start() -> Start {
    Start {
        definition: "process-order".to_owned(),
        saga: "process-order/4711".to_owned(),
        event: br#"{"type":"OrderPlaced","order_id":"4711"}"#.to_vec(),
        source: Some(SourcePosition {
            topic: "orders".to_owned(),
            partition: 5,
            offset: 1 << 40,
        }),
        event_time_ms: 1_772_323_199_000,
        by: None,
        at_ms: 1_772_323_200_000,
        parent: Some(parent()),
    }
}

pub(crate) fn parent() -> Parent {
    Parent {
        saga: "split-order/4711".to_owned(),
        step: "part[2]".to_owned(),
        idempotency_key: "split-order/4711/part[2]/do".to_owned(),
    }
}

pub(crate) fn event() -> WaitEvent {
    WaitEvent {
        saga: "~process-order.shipment_confirmed/4711".to_owned(),
        step: None,
        value: br#"{"order_id":"4711","at":"D\u00fcsseldorf"}"#.to_vec(),
        source: SourcePosition {
            topic: "shipments".to_owned(),
            partition: 3,
            offset: 815,
        },
        until_ms: Some(1_772_326_800_000),
        at_ms: 1_772_323_200_000,
    }
}

pub(crate) fn want() -> Want {
    Want {
        saga: "~process-order.shipment_confirmed/4711".to_owned(),
        waiter: "process-order/4711".to_owned(),
        step: "shipment_confirmed#2".to_owned(),
        cancel: true,
        at_ms: 1_772_323_200_000,
    }
}

pub(crate) fn undo() -> Undo {
    Undo {
        saga: "process-order/4711".to_owned(),
        idempotency_key: "split-order/4711/part[2]/undo".to_owned(),
        parent: parent(),
        at_ms: 1_772_323_200_000,
    }
}

pub(crate) fn decision() -> Decision {
    Decision {
        saga: "process-order/4711".to_owned(),
        step: Some("large_order".to_owned()),
        approved: true,
        by: "ada".to_owned(),
        role: Some("sales-lead".to_owned()),
        reason: None,
        at_ms: 1_772_323_200_000,
    }
}

pub(crate) fn act() -> Act {
    Act {
        saga: "process-order/4711".to_owned(),
        act: ActKind::Waive,
        step: Some("ship_order".to_owned()),
        by: "ada".to_owned(),
        reason: Some("sent by hand".to_owned()),
        at_ms: 1_772_323_300_000,
    }
}

pub(crate) fn journal_entry() -> JournalEntry {
    JournalEntry {
        saga: "process-order/4711".to_owned(),
        saga_seq: 2,
        shard: 3,
        shard_seq: 90_071,
        at_ms: 1_772_323_200_500,
        definition_hash: "b3:0123456789abcdef".to_owned(),
        cause: "reply".to_owned(),
        status: "running".to_owned(),
        body: br#"{"step":"check_fraud","outcome":"done"}"#.to_vec(),
        previous_hash: [7; 32],
        hash: [9; 32],
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
    }
}

pub(crate) fn dead_letter() -> DeadLetter {
    DeadLetter {
        reason: DeadLetterReason::UnknownSchema,
        detail: "no schema is known under fingerprint 0011223344556677".to_owned(),
        topic: "orders".to_owned(),
        partition: 0,
        offset: 17,
        timestamp_ms: -1,
        key: Some(vec![0xff, 0xfe]),
        value: Some(vec![0xc3, 0x01, 0x77]),
        headers: vec![
            HeaderField {
                name: "traceparent".to_owned(),
                value: Some(b"00-x".to_vec()),
            },
            HeaderField {
                name: "empty".to_owned(),
                value: None,
            },
        ],
        by: "orchestrator-1".to_owned(),
        at_ms: 1_772_323_200_000,
    }
}

pub(crate) fn definition() -> Definition {
    Definition {
        hash: "b3:0123456789abcdef".to_owned(),
        name: "process-order".to_owned(),
        source: "saga: process-order\nsteps:\n  - do: check-fraud\n".to_owned(),
        at_ms: 1_772_000_000_000,
    }
}

pub(crate) fn order_placed() -> OrderPlaced {
    OrderPlaced {
        kind: "OrderPlaced".to_owned(),
        order_id: "4711".to_owned(),
        customer_id: "c-42".to_owned(),
        total: 12_000,
        currency: "EUR".to_owned(),
        lines: vec![
            Line {
                sku: "a".to_owned(),
                n: 1,
            },
            Line {
                sku: "b".to_owned(),
                n: 64,
            },
        ],
        address: Address {
            street: "Königsallee 1".to_owned(),
            city: "Düsseldorf".to_owned(),
            country: "DE".to_owned(),
        },
        placed_at_ms: 1_772_323_199_000,
        fail_at: Some("charge-payment".to_owned()),
        fail_how: None,
    }
}

/// Any record, so that one test can go through all of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Any {
    Start(Start),
    Command(Command),
    Reply(Reply),
    Act(Act),
    Event(WaitEvent),
    Want(Want),
    Undo(Undo),
    Decision(Decision),
    JournalEntry(JournalEntry),
    DeadLetter(DeadLetter),
    Definition(Definition),
    OrderPlaced(OrderPlaced),
}

impl Any {
    pub(crate) fn sample(kind: RecordKind) -> Self {
        match kind {
            RecordKind::Start => Self::Start(start()),
            RecordKind::Command => Self::Command(command()),
            RecordKind::Reply => Self::Reply(reply()),
            RecordKind::Act => Self::Act(act()),
            RecordKind::Event => Self::Event(event()),
            RecordKind::Want => Self::Want(want()),
            RecordKind::Undo => Self::Undo(undo()),
            RecordKind::Decision => Self::Decision(decision()),
            RecordKind::JournalEntry => Self::JournalEntry(journal_entry()),
            RecordKind::DeadLetter => Self::DeadLetter(dead_letter()),
            RecordKind::Definition => Self::Definition(definition()),
            RecordKind::OrderPlaced => Self::OrderPlaced(order_placed()),
        }
    }

    pub(crate) fn encode(&self, codec: &Codec) -> Vec<u8> {
        match self {
            Self::Start(record) => codec.encode_start(record),
            Self::Command(record) => codec.encode_command(record),
            Self::Reply(record) => codec.encode_reply(record),
            Self::Act(record) => codec.encode_act(record),
            Self::Event(record) => codec.encode_wait_event(record),
            Self::Want(record) => codec.encode_want(record),
            Self::Undo(record) => codec.encode_undo(record),
            Self::Decision(record) => codec.encode_decision(record),
            Self::JournalEntry(record) => codec.encode_journal_entry(record),
            Self::DeadLetter(record) => codec.encode_dead_letter(record),
            Self::Definition(record) => codec.encode_definition(record),
            Self::OrderPlaced(record) => codec.encode_order_placed(record),
        }
        .unwrap()
    }

    pub(crate) fn decode(
        kind: RecordKind,
        codec: &Codec,
        bytes: &[u8],
    ) -> Result<Self, backstitch_schemas::DecodeError> {
        match kind {
            RecordKind::Start => codec.decode_start(bytes).map(Self::Start),
            RecordKind::Command => codec.decode_command(bytes).map(Self::Command),
            RecordKind::Reply => codec.decode_reply(bytes).map(Self::Reply),
            RecordKind::Act => codec.decode_act(bytes).map(Self::Act),
            RecordKind::Event => codec.decode_wait_event(bytes).map(Self::Event),
            RecordKind::Want => codec.decode_want(bytes).map(Self::Want),
            RecordKind::Undo => codec.decode_undo(bytes).map(Self::Undo),
            RecordKind::Decision => codec.decode_decision(bytes).map(Self::Decision),
            RecordKind::JournalEntry => codec.decode_journal_entry(bytes).map(Self::JournalEntry),
            RecordKind::DeadLetter => codec.decode_dead_letter(bytes).map(Self::DeadLetter),
            RecordKind::Definition => codec.decode_definition(bytes).map(Self::Definition),
            RecordKind::OrderPlaced => codec.decode_order_placed(bytes).map(Self::OrderPlaced),
        }
    }
}
