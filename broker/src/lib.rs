//! The one way to Kafka: the client with every setting on purpose, and the embedded broker.
