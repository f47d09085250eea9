//! The worker kit and the reference order workers.
