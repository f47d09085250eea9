//! Kafka's frames by hand: a request as it goes over the wire, and an answer as it comes.

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "a failure is the test's"
)]

use std::io::{self, Read};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};

/// A request with its length, under a number that its answer will have.
pub fn framed<R: Request>(request: &R, version: i16, number: i32) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(number)
        .with_client_id(Some(StrBytes::from_static_str("by-hand")));
    let mut body = BytesMut::new();
    encode_request_header_into_buffer(&mut body, &header).unwrap();
    request.encode(&mut body, version).unwrap();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length[..], &body[..]].concat()
}

/// The bytes of the next answer.
pub fn next_answer(mut stream: impl Read) -> io::Result<Bytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut answer)?;
    Ok(Bytes::from(answer))
}

/// What an answer says, which has to be the one to the request of that number, and nothing else.
pub fn understood<R: Request>(mut answer: Bytes, version: i16, number: i32) -> R::Response {
    let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
    assert_eq!(header.correlation_id, number);
    let response = R::Response::decode(&mut answer, version).unwrap();
    assert_eq!(answer.remaining(), 0, "nothing is left over");
    response
}
