//! Events that start sagas, and events that have to come.

use super::checker::Checker;
use super::flow::Around;
use super::sight::{At, Sight};
use super::state::State;
use crate::definition::model::Wait;

impl<'c> Checker<'c> {
    pub(super) fn start_rules(&mut self) {
        let definition = self.definition;
        let nothing = State::default();
        for (n, rule) in definition.start.iter().enumerate() {
            let place = format!("start[{n}]");
            let mut known = State::default();
            let at = At::outside(&nothing, Sight::Start);
            if let Some(when) = &rule.when {
                let place = format!("{place}.when");
                self.condition(when, &place, &at);
                known.know(when, true);
                if when.source() == "false" {
                    let diagnostic = self
                        .places
                        .warning(
                            "BS0211",
                            self.places.span(&place),
                            "nothing ever starts a saga by this rule".to_owned(),
                        )
                        .with_help("leave the rule out");
                    self.push(diagnostic);
                }
            }
            let place = format!("{place}.key");
            let at = At::outside(&known, Sight::Start);
            self.key(&rule.key, &place, &at);
            if rule.key.references().is_empty() {
                let diagnostic = self
                    .places
                    .warning(
                        "BS0222",
                        self.places.span(&place),
                        "each event has this same key, so there is only one saga".to_owned(),
                    )
                    .with_help("name the field that tells one piece of business from another: `event.order_id`");
                self.push(diagnostic);
            }
        }
    }

    pub(super) fn wait(&mut self, wait: &Wait, place: &str, state: &State<'c>, around: &Around) {
        let at = At {
            sight: Sight::Message,
            failure: false,
            ..self.at(place, state, around)
        };
        let place_of_key = format!("{place}.key");
        self.key(&wait.key, &place_of_key, &at);
        if !wait.key.references().contains("message") {
            self.never_answered(
                &place_of_key,
                "the key of a record does not depend on the record",
                "name the field of the record that says which saga it is for: `message.order_id`",
            );
        }
        if let Some(accept) = &wait.accept {
            let place_of_accept = format!("{place}.accept");
            self.condition(accept, &place_of_accept, &at);
            if accept.source() == "false" {
                self.never_answered(
                    &place_of_accept,
                    "no record is ever accepted",
                    "say which records are meant, or leave `accept` out for all",
                );
            }
        }
        if let Some(matches) = &wait.matches {
            let place_of_match = format!("{place}.match");
            let at = self.at(place, state, around);
            self.key(matches, &place_of_match, &at);
            if matches.references().is_empty() {
                let diagnostic = self
                    .places
                    .warning(
                        "BS0222",
                        self.places.span(&place_of_match),
                        "each saga waits under this same key, and a record goes to one of them"
                            .to_owned(),
                    )
                    .with_help("name a value of this saga: `steps.charge_payment.payment_id`, `event.order_id`");
                self.push(diagnostic);
            }
        }
        if wait.within_ms.is_none() && self.definition.deadline_ms.is_none() {
            let diagnostic = self
                .places
                .warning(
                    "BS0219",
                    self.places.span(place),
                    "this may wait for ever".to_owned(),
                )
                .with_note("it has no `within`, and the saga no `deadline`")
                .with_help("say how long to wait, and what then: `within: 2d`, `on_timeout: park`");
            self.push(diagnostic);
        }
    }

    fn never_answered(&mut self, place: &str, message: &str, help: &str) {
        let diagnostic = self
            .places
            .error(
                "BS0218",
                self.places.span(place),
                format!("this wait can never be answered: {message}"),
            )
            .with_help(help);
        self.push(diagnostic);
    }
}
