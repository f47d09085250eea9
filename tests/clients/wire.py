"""What goes over the wire between a client and a broker: which requests, in which versions.

A recorder stands between the two. Clients take it for the broker, for it writes its own port over the broker's in the answers that name
brokers (Metadata, FindCoordinator, DescribeCluster); beyond that it changes nothing.
"""

import asyncio
import collections
import socket
import struct
import threading

# The protocol's names of its requests. https://kafka.apache.org/protocol#protocol_api_keys
APIS = {
    0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 8: "OffsetCommit", 9: "OffsetFetch", 10: "FindCoordinator", 11: "JoinGroup",
    12: "Heartbeat", 13: "LeaveGroup", 14: "SyncGroup", 15: "DescribeGroups", 16: "ListGroups", 17: "SaslHandshake", 18: "ApiVersions",
    19: "CreateTopics", 20: "DeleteTopics", 21: "DeleteRecords", 22: "InitProducerId", 23: "OffsetForLeaderEpoch", 24: "AddPartitionsToTxn",
    25: "AddOffsetsToTxn", 26: "EndTxn", 27: "WriteTxnMarkers", 28: "TxnOffsetCommit", 29: "DescribeAcls", 30: "CreateAcls", 31: "DeleteAcls",
    32: "DescribeConfigs", 33: "AlterConfigs", 34: "AlterReplicaLogDirs", 35: "DescribeLogDirs", 36: "SaslAuthenticate", 37: "CreatePartitions",
    38: "CreateDelegationToken", 39: "RenewDelegationToken", 40: "ExpireDelegationToken", 41: "DescribeDelegationToken", 42: "DeleteGroups",
    43: "ElectLeaders", 44: "IncrementalAlterConfigs", 45: "AlterPartitionReassignments", 46: "ListPartitionReassignments", 47: "OffsetDelete",
    48: "DescribeClientQuotas", 49: "AlterClientQuotas", 50: "DescribeUserScramCredentials", 51: "AlterUserScramCredentials",
    55: "DescribeQuorum", 57: "UpdateFeatures", 60: "DescribeCluster", 61: "DescribeProducers", 64: "UnregisterBroker",
    65: "DescribeTransactions", 66: "ListTransactions", 68: "ConsumerGroupHeartbeat", 69: "ConsumerGroupDescribe",
    71: "GetTelemetrySubscriptions", 72: "PushTelemetry", 74: "ListConfigResources", 75: "DescribeTopicPartitions", 76: "ShareGroupHeartbeat",
    77: "ShareGroupDescribe", 78: "ShareFetch", 79: "ShareAcknowledge", 80: "AddRaftVoter", 81: "RemoveRaftVoter",
    83: "InitializeShareGroupState", 84: "ReadShareGroupState", 85: "WriteShareGroupState", 86: "DeleteShareGroupState",
    87: "ReadShareGroupStateSummary", 88: "StreamsGroupHeartbeat", 89: "StreamsGroupDescribe", 90: "DescribeShareGroupOffsets",
    91: "AlterShareGroupOffsets", 92: "DeleteShareGroupOffsets",
}
API_VERSIONS = 18
# The requests whose answers name brokers.
NAMES_BROKERS = (3, 10, 60)
HOSTS = (b"127.0.0.1", b"localhost")


def name_of(api):
    """The name of a request, or its number where it is newer than this file."""
    return APIS.get(api, f"API {api}")


def address(bootstrap):
    """The first address of a list of bootstrap servers, as (host, port)."""
    host, _, port = bootstrap.split(",")[0].rpartition(":")
    return host.strip("[]"), int(port)


def served(bootstrap):
    """The requests that a broker serves, by number: (first version, last version). Asked for as every client asks: ApiVersions 0."""
    client_id = b"clients"
    request = struct.pack(">hhih", API_VERSIONS, 0, 1, len(client_id)) + client_id
    with socket.create_connection(address(bootstrap), timeout=10) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        stream = connection.makefile("rb")
        (size,) = struct.unpack(">i", stream.read(4))
        answer = stream.read(size)
    _, error, count = struct.unpack_from(">ihi", answer)
    if error:
        raise RuntimeError(f"{bootstrap} answers ApiVersions with error {error}")
    return {api: (first, last) for api, first, last in struct.iter_unpack(">hhh", answer[10 : 10 + 6 * count])}


class Recorder:
    """Stands before a broker, and keeps the requests that come through: `used` has the versions of each, by number."""

    def __init__(self, bootstrap):
        self.used = collections.defaultdict(set)
        self._host, self._port = address(bootstrap)
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def bootstrap(self):
        """The address that a client is given."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self):
        """Ends what still runs: a client that was killed leaves connections behind."""
        self._server.close()
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _serve(self, from_client, to_client):
        try:
            from_broker, to_broker = await asyncio.open_connection(self._host, self._port)
        except OSError:
            to_client.close()
            return
        # The request of each correlation id, for the answer does not say what it answers.
        asked = {}
        try:
            await asyncio.gather(
                self._pump(from_client, to_broker, lambda frame: self._request(frame, asked)),
                self._pump(from_broker, to_client, lambda frame: self._answer(frame, asked)),
            )
        except asyncio.CancelledError:
            to_client.close()
            to_broker.close()

    async def _pump(self, source, sink, change):
        try:
            while True:
                size = await source.readexactly(4)
                frame = change(await source.readexactly(struct.unpack(">i", size)[0]))
                sink.write(size + frame)
                await sink.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            sink.close()

    def _request(self, frame, asked):
        api, version, correlation = struct.unpack_from(">hhi", frame)
        self.used[api].add(version)
        asked[correlation] = api
        return frame

    def _answer(self, frame, asked):
        if asked.pop(struct.unpack_from(">i", frame)[0], None) in NAMES_BROKERS:
            for host in HOSTS:
                frame = frame.replace(host + struct.pack(">i", self._port), host + struct.pack(">i", self.port))
        return frame
