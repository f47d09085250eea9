//! The saga core: definitions, expressions, state and advance(). Pure: no clock, no randomness, no IO.
