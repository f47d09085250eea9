//! The two kinds of handlers, and how they are called: a panic is a failure, a hang has an end.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::memory::Tx;
use crate::work::{Answer, Work};

type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// A handler whose effect is in the database of the memory: it runs inside the transaction that remembers its answer.
///
/// Handlers of a batch run one after the other on one connection, so one should take a millisecond, not a second; whatever
/// waits for the network is [`External`].
pub trait Local: Send + Sync + 'static {
    /// Carries out one command. May be called again for the same key if the transaction did not commit.
    fn handle(&self, work: &Work, tx: &mut Tx<'_>) -> impl Future<Output = Answer> + Send;

    /// Whether [`Local::prepare`] is called. Default: no. Asked once, when the worker starts.
    fn prepares(&self) -> bool {
        false
    }

    /// Does what takes long and changes nothing, beside others and outside of the transaction, before [`Local::handle`]: looking
    /// something up over the network, say. While it runs, heartbeats are sent. May be called again for the same key.
    fn prepare(&self, work: &Work) -> impl Future<Output = ()> + Send {
        let _ = work;
        async {}
    }
}

/// A handler whose effect is elsewhere. It runs beside others, outside of any transaction; its answer is remembered after it.
///
/// A crash between the effect and the remembering runs it again with the same key, and an undo may come for a do that was
/// begun and never answered: **the outside must honour the idempotency key**, for undoing too.
pub trait External: Send + Sync + 'static {
    /// Carries out one command. Dropped, at an await, when the worker has drained for too long.
    fn handle(&self, work: &Work) -> impl Future<Output = Answer> + Send;
}

impl<H: Local> Local for Arc<H> {
    fn handle(&self, work: &Work, tx: &mut Tx<'_>) -> impl Future<Output = Answer> + Send {
        H::handle(self, work, tx)
    }

    fn prepares(&self) -> bool {
        H::prepares(self)
    }

    fn prepare(&self, work: &Work) -> impl Future<Output = ()> + Send {
        H::prepare(self, work)
    }
}

impl<H: External> External for Arc<H> {
    fn handle(&self, work: &Work) -> impl Future<Output = Answer> + Send {
        H::handle(self, work)
    }
}

/// [`Local`] without its type.
pub(crate) trait AnyLocal: Send + Sync {
    fn call<'a>(&'a self, work: &'a Work, tx: &'a mut Tx<'_>) -> Answering<'a>;

    /// Prepares; the answer is of no interest unless it is a failure.
    fn call_prepare(self: Arc<Self>, work: Arc<Work>) -> Answering<'static>;

    fn prepares(&self) -> bool;
}

impl<H: Local> AnyLocal for H {
    fn call<'a>(&'a self, work: &'a Work, tx: &'a mut Tx<'_>) -> Answering<'a> {
        Box::pin(self.handle(work, tx))
    }

    fn call_prepare(self: Arc<Self>, work: Arc<Work>) -> Answering<'static> {
        Box::pin(async move {
            self.prepare(&work).await;
            Answer::Done(serde_json::Value::Null)
        })
    }

    fn prepares(&self) -> bool {
        Local::prepares(self)
    }
}

/// [`External`] without its type.
pub(crate) trait AnyExternal: Send + Sync {
    fn call(self: Arc<Self>, work: Arc<Work>) -> Answering<'static>;
}

impl<H: External> AnyExternal for H {
    fn call(self: Arc<Self>, work: Arc<Work>) -> Answering<'static> {
        Box::pin(async move { self.handle(&work).await })
    }
}

#[derive(Clone)]
pub(crate) enum Handler {
    Local(Arc<dyn AnyLocal>),
    External(Arc<dyn AnyExternal>),
}

/// The handlers of a worker by activity.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    by_activity: HashMap<String, Handler>,
}

impl Handlers {
    pub(crate) fn insert(&mut self, activity: String, handler: Handler) -> bool {
        self.by_activity.insert(activity, handler).is_none()
    }

    pub(crate) fn get(&self, activity: &str) -> Option<&Handler> {
        self.by_activity.get(activity)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Handler)> {
        self.by_activity
            .iter()
            .map(|(activity, handler)| (activity.as_str(), handler))
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_set()
            .entries(self.by_activity.keys())
            .finish()
    }
}

/// Turns a panic of a handler into a failure, logged once, so that one bad command can't stop a worker.
pub(crate) struct Caught<'a> {
    answering: Answering<'a>,
    work: &'a Work,
}

impl<'a> Caught<'a> {
    pub(crate) fn new(answering: Answering<'a>, work: &'a Work) -> Self {
        Self { answering, work }
    }
}

impl Future for Caught<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let answering = &mut self.answering;
        // A handler that panicked is never polled again, so no broken state of its future is seen.
        match catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(panic) => {
                let said = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "no message".to_owned());
                tracing::error!(
                    saga.id = self.work.saga,
                    saga.step = self.work.step,
                    saga.attempt = self.work.attempt,
                    activity = self.work.activity,
                    panic = said,
                    "a handler panicked; the command counts as failed"
                );
                Poll::Ready(Answer::failed("handler_panicked", said))
            }
        }
    }
}
