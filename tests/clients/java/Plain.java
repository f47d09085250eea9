import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's own Java client: producer, consumer of both group protocols, admin. */
public final class Plain {
    private static final long BEGAN = 1_700_000_000_000L;
    private final String servers;
    private final Admin admin;

    private Plain(String servers) {
        this.servers = servers;
        this.admin = Admin.create(Map.of("bootstrap.servers", servers));
    }

    public static void main(String[] args) {
        Plain plain = new Plain(Telling.bootstrap(args));
        Telling telling = new Telling("java");
        telling.show("creates-a-topic", () -> plain.topic("creates", 1, Map.of()));
        telling.show("keys-and-headers", plain::keysAndHeaders);
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd")) {
            telling.show("compresses-" + codec, () -> plain.produced(Map.of("compression.type", codec, "linger.ms", 50)));
        }
        telling.show("resumes-where-it-committed", () -> plain.resumes(Map.of()));
        telling.show("shares-a-group", () -> plain.shares(strategy("RangeAssignor")));
        telling.show("shares-a-group-cooperatively", () -> plain.shares(strategy("CooperativeStickyAssignor")));
        telling.show("comes-back-as-static-member", plain::comesBack);
        telling.show("produces-idempotently", () -> plain.produced(Map.of("enable.idempotence", true)));
        telling.show("commits-and-aborts", plain::transactions);
        telling.show("fences-the-older-producer", plain::fences);
        telling.show("offsets-by-time", plain::byTime);
        telling.show("log-append-time", plain::logAppendTime);
        telling.show("describes-the-cluster", plain::describesTheCluster);
        telling.show("configs", plain::configs);
        telling.show("adds-partitions", plain::addsPartitions);
        telling.show("groups", plain::groups);
        telling.show("deletes-offsets", plain::deletesOffsets);
        telling.show("deletes-records", plain::deletesRecords);
        telling.show("deletes-a-topic", plain::deletesATopic);
        telling.show("transactions-listed", plain::transactionsListed);
        telling.show("log-dirs", plain::logDirs);
        telling.show("next-generation-group", () -> plain.resumes(Map.of("group.protocol", "consumer")));
        plain.admin.close(Duration.ofSeconds(5));
        System.exit(0); // What hangs in a client must not keep the program.
    }

    private static Map<String, Object> strategy(String assignor) {
        return Map.of("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor);
    }

    private static <T> T got(Future<T> future) throws Exception {
        return future.get(Telling.PATIENCE.toSeconds(), java.util.concurrent.TimeUnit.SECONDS);
    }

    private String topic(String name, int partitions, Map<String, String> configs) throws Exception {
        String made = Telling.unique("java-" + name);
        got(admin.createTopics(List.of(new NewTopic(made, partitions, (short) 1).configs(configs))).all());
        return made;
    }

    private KafkaProducer<byte[], byte[]> producer(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", servers, "acks", "all", "delivery.timeout.ms", 20_000,
            "request.timeout.ms", 10_000, "max.block.ms", 20_000));
        all.putAll(settings);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group, Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", servers, "auto.offset.reset", "earliest", "enable.auto.commit", false,
            "fetch.max.wait.ms", 200));
        if (!settings.containsKey("group.protocol")) {
            all.put("heartbeat.interval.ms", 500);
        }
        if (group != null) {
            all.put("group.id", group);
        }
        all.putAll(settings);
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static void send(KafkaProducer<byte[], byte[]> to, String topic, List<String> values) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (String value : values) {
            sent.add(to.send(new ProducerRecord<>(topic, 0, null, bytes(value))));
        }
        for (Future<RecordMetadata> one : sent) {
            got(one);
        }
    }

    private static List<ConsumerRecord<byte[], byte[]>> take(KafkaConsumer<byte[], byte[]> from, int count) throws Exception {
        List<ConsumerRecord<byte[], byte[]>> taken = new ArrayList<>();
        Telling.until(count + " records", () -> {
            ConsumerRecords<byte[], byte[]> polled = from.poll(Duration.ofMillis(500));
            polled.forEach(taken::add);
            return taken.size() >= count;
        });
        return taken;
    }

    private List<ConsumerRecord<byte[], byte[]>> read(String topic, int count, String isolation) throws Exception {
        try (KafkaConsumer<byte[], byte[]> reader = consumer(null, Map.of("isolation.level", isolation))) {
            reader.assign(List.of(new TopicPartition(topic, 0)));
            return take(reader, count);
        }
    }

    private void readsAs(String topic, List<String> wanted, String isolation) throws Exception {
        List<String> values = new ArrayList<>();
        read(topic, wanted.size(), isolation).forEach(record -> values.add(new String(record.value(), StandardCharsets.UTF_8)));
        Telling.same(values, wanted);
    }

    private String filled(String name, int count) throws Exception {
        String topic = topic(name, 1, Map.of());
        try (KafkaProducer<byte[], byte[]> made = producer(Map.of())) {
            send(made, topic, Telling.words(count, "v"));
        }
        return topic;
    }

    private void produced(Map<String, Object> settings) throws Exception {
        String topic = topic("produced", 1, Map.of());
        try (KafkaProducer<byte[], byte[]> made = producer(settings)) {
            send(made, topic, Telling.words(200, "v"));
        }
        readsAs(topic, Telling.words(200, "v"), "read_uncommitted");
    }

    private void keysAndHeaders() throws Exception {
        String topic = topic("headers", 1, Map.of());
        List<RecordHeader> headers = List.of(new RecordHeader("origin", bytes("java")), new RecordHeader("null", (byte[]) null),
            new RecordHeader("origin", bytes("again")));
        byte[] key = {(byte) 0xff, 0};
        try (KafkaProducer<byte[], byte[]> made = producer(Map.of())) {
            got(made.send(new ProducerRecord<>(topic, 0, key, bytes("bytes"), List.copyOf(headers))));
            got(made.send(new ProducerRecord<>(topic, 0, bytes("k"), null)));
        }
        List<ConsumerRecord<byte[], byte[]>> records = read(topic, 2, "read_uncommitted");
        Telling.same(records.get(0).key(), key);
        Telling.same(records.get(0).headers().toArray(), headers.toArray());
        Telling.same(records.get(1).value(), null);
    }

    private void resumes(Map<String, Object> settings) throws Exception {
        String topic = filled("resumes", 10);
        String group = Telling.unique("java-group");
        TopicPartition place = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> first = consumer(group, settings)) {
            first.subscribe(List.of(topic));
            take(first, 4);
            first.commitSync(Map.of(place, new OffsetAndMetadata(4)));
        }
        try (KafkaConsumer<byte[], byte[]> second = consumer(group, settings)) {
            second.subscribe(List.of(topic));
            Telling.same(take(second, 1).get(0).offset(), 4L);
            Telling.same(second.committed(Set.of(place)).get(place).offset(), 4L);
        }
    }

    /** A member in a thread of its own. */
    private final class Member extends Thread {
        private final AtomicBoolean leaves = new AtomicBoolean();
        private final AtomicInteger owned = new AtomicInteger();
        private final AtomicInteger revocations = new AtomicInteger();
        private final KafkaConsumer<byte[], byte[]> consumer;

        Member(String group, String topic, Map<String, Object> settings) {
            consumer = consumer(group, settings);
            consumer.subscribe(List.of(topic), new org.apache.kafka.clients.consumer.ConsumerRebalanceListener() {
                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    revocations.addAndGet(partitions.isEmpty() ? 0 : 1);
                }

                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                }
            });
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            while (!leaves.get()) {
                consumer.poll(Duration.ofMillis(100));
                owned.set(consumer.assignment().size());
            }
            consumer.close();
        }

        void leave() throws Exception {
            leaves.set(true);
            join(Telling.PATIENCE.toMillis());
        }
    }

    private void shares(Map<String, Object> settings) throws Exception {
        String topic = topic("shares", 4, Map.of());
        String group = Telling.unique("java-group");
        Member leaves = new Member(group, topic, settings);
        Member stays = new Member(group, topic, settings);
        Telling.until("even sharing of 4 partitions", () -> leaves.owned.get() == 2 && stays.owned.get() == 2);
        leaves.leave();
        Telling.until("take-over of 4 partitions", () -> stays.owned.get() == 4);
        stays.leave();
    }

    private void comesBack() throws Exception {
        String topic = topic("static", 2, Map.of());
        String group = Telling.unique("java-group");
        Member stays = new Member(group, topic, Map.of("group.instance.id", "stays"));
        Member comes = new Member(group, topic, Map.of("group.instance.id", "comes"));
        Telling.until("sharing of 2 partitions", () -> stays.owned.get() == 1 && comes.owned.get() == 1);
        int before = stays.revocations.get();
        comes.leave();
        Member back = new Member(group, topic, Map.of("group.instance.id", "comes"));
        Telling.until("return of the member", () -> back.owned.get() == 1);
        Telling.same(stays.owned.get(), 1);
        Telling.same(stays.revocations.get(), before);
        back.leave();
        stays.leave();
    }

    private KafkaProducer<byte[], byte[]> transactional(String id) {
        KafkaProducer<byte[], byte[]> made = producer(Map.of("transactional.id", id, "transaction.timeout.ms", 20_000));
        made.initTransactions();
        return made;
    }

    private void transactions() throws Exception {
        String topic = topic("transactions", 1, Map.of());
        try (KafkaProducer<byte[], byte[]> made = transactional(topic)) {
            for (String word : List.of("a", "aborted", "b")) {
                made.beginTransaction();
                send(made, topic, Telling.words(5, word));
                if (word.equals("aborted")) {
                    made.abortTransaction();
                } else {
                    made.commitTransaction();
                }
            }
        }
        List<String> wanted = new ArrayList<>(Telling.words(5, "a"));
        wanted.addAll(Telling.words(5, "b"));
        readsAs(topic, wanted, "read_committed");
        wanted.addAll(5, Telling.words(5, "aborted"));
        readsAs(topic, wanted, "read_uncommitted");
    }

    private void fences() throws Exception {
        String topic = topic("fences", 1, Map.of());
        try (KafkaProducer<byte[], byte[]> older = transactional(topic)) {
            older.beginTransaction();
            send(older, topic, Telling.words(1, "v"));
            try (KafkaProducer<byte[], byte[]> newer = transactional(topic)) {
                newer.beginTransaction();
                send(newer, topic, Telling.words(1, "v"));
                newer.commitTransaction();
                try {
                    older.commitTransaction();
                } catch (ProducerFencedException | InvalidProducerEpochException fenced) {
                    return;
                }
                throw new IllegalStateException("the older producer of a transactional id committed");
            }
        }
    }

    private ListOffsetsResultInfo offset(String topic, OffsetSpec spec) throws Exception {
        TopicPartition place = new TopicPartition(topic, 0);
        return got(admin.listOffsets(Map.of(place, spec)).partitionResult(place));
    }

    private void byTime() throws Exception {
        String topic = topic("time", 1, Map.of());
        try (KafkaProducer<byte[], byte[]> made = producer(Map.of())) {
            for (int n = 0; n < 10; n++) {
                got(made.send(new ProducerRecord<>(topic, 0, BEGAN + n * 1000L, null, bytes("v"))));
            }
        }
        Telling.same(offset(topic, OffsetSpec.forTimestamp(BEGAN)).offset(), 0L);
        Telling.same(offset(topic, OffsetSpec.forTimestamp(BEGAN + 3500)).offset(), 4L);
        Telling.same(offset(topic, OffsetSpec.forTimestamp(BEGAN + 99_000)).offset(), -1L);
        Telling.same(offset(topic, OffsetSpec.maxTimestamp()).offset(), 9L);
        Telling.same(offset(topic, OffsetSpec.maxTimestamp()).timestamp(), BEGAN + 9000);
    }

    private void logAppendTime() throws Exception {
        String topic = topic("append-time", 1, Map.of("message.timestamp.type", "LogAppendTime"));
        try (KafkaProducer<byte[], byte[]> made = producer(Map.of())) {
            got(made.send(new ProducerRecord<>(topic, 0, 1000L, null, bytes("v"))));
        }
        ConsumerRecord<byte[], byte[]> record = read(topic, 1, "read_uncommitted").get(0);
        Telling.same(record.timestampType(), TimestampType.LOG_APPEND_TIME);
        Telling.same(record.timestamp() > BEGAN, true);
    }

    private void describesTheCluster() throws Exception {
        Telling.same(got(admin.describeCluster().nodes()).size(), 1);
        Telling.same(got(admin.describeCluster().clusterId()).isEmpty(), false);
    }

    private List<String> settings(ConfigResource resource) throws Exception {
        Config config = got(admin.describeConfigs(List.of(resource)).all()).get(resource);
        return List.of(config.get("retention.ms").value(), config.get("cleanup.policy").value());
    }

    private void alter(ConfigResource resource, String name, String value, AlterConfigOp.OpType how) throws Exception {
        got(admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry(name, value), how)))).all());
    }

    private void configs() throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic("configs", 1, Map.of("retention.ms", "86400000")));
        Telling.same(settings(resource), List.of("86400000", "delete"));
        alter(resource, "retention.ms", "3600000", AlterConfigOp.OpType.SET);
        alter(resource, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
        Telling.until("changed setting", () -> settings(resource).equals(List.of("3600000", "delete,compact")));
        try {
            alter(resource, "retention.ms", "soon", AlterConfigOp.OpType.SET);
        } catch (ExecutionException error) {
            Telling.same(error.getCause().getClass(), InvalidConfigurationException.class);
            return;
        }
        throw new IllegalStateException("an impossible value was taken");
    }

    private void addsPartitions() throws Exception {
        String topic = topic("grows", 1, Map.of());
        got(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all());
        Telling.until("three partitions", () -> got(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size() == 3);
    }

    private void groups() throws Exception {
        String topic = filled("groups", 3);
        String group = Telling.unique("java-group");
        try (KafkaConsumer<byte[], byte[]> member = consumer(group, Map.of())) {
            member.subscribe(List.of(topic));
            take(member, 3);
            member.commitSync();
            Telling.same(got(admin.listGroups().all()).stream().anyMatch(listed -> listed.groupId().equals(group)), true);
            var described = got(admin.describeConsumerGroups(List.of(group)).all()).get(group);
            Telling.same(described.groupState(), GroupState.STABLE);
            Telling.same(described.members().size(), 1);
        }
        got(admin.deleteConsumerGroups(List.of(group)).all());
    }

    private void deletesOffsets() throws Exception {
        String topic = topic("offsets", 1, Map.of());
        String group = Telling.unique("java-group");
        TopicPartition place = new TopicPartition(topic, 0);
        got(admin.alterConsumerGroupOffsets(group, Map.of(place, new OffsetAndMetadata(5, Optional.of(0), "note"))).all());
        OffsetAndMetadata kept = got(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(place);
        Telling.same(List.of(kept.offset(), kept.metadata(), kept.leaderEpoch()), List.of(5L, "note", Optional.of(0)));
        got(admin.deleteConsumerGroupOffsets(group, Set.of(place)).all());
        Telling.same(got(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(place), null);
    }

    private void deletesRecords() throws Exception {
        String topic = filled("records", 10);
        TopicPartition place = new TopicPartition(topic, 0);
        Telling.same(got(admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(7))).lowWatermarks().get(place)).lowWatermark(), 7L);
        Telling.same(offset(topic, OffsetSpec.earliest()).offset(), 7L);
    }

    private void deletesATopic() throws Exception {
        String topic = topic("gone", 1, Map.of());
        got(admin.deleteTopics(List.of(topic)).all());
        Telling.until("end of the topic", () -> !got(admin.listTopics().names()).contains(topic));
    }

    private void transactionsListed() throws Exception {
        String topic = topic("listed", 1, Map.of());
        try (KafkaProducer<byte[], byte[]> made = transactional(topic)) {
            made.beginTransaction();
            send(made, topic, Telling.words(1, "v"));
            Telling.same(got(admin.listTransactions().all()).stream().anyMatch(listed -> listed.transactionalId().equals(topic)), true);
            Telling.same(got(admin.describeTransactions(List.of(topic)).all()).get(topic).state(), TransactionState.ONGOING);
            made.abortTransaction();
        }
    }

    private void logDirs() throws Exception {
        String topic = filled("dirs", 10);
        long size = got(admin.describeLogDirs(List.of(1)).allDescriptions()).get(1).values().stream()
            .flatMap(dir -> dir.replicaInfos().entrySet().stream())
            .filter(replica -> replica.getKey().topic().equals(topic)).mapToLong(replica -> replica.getValue().size()).sum();
        Telling.same(size > 0, true);
    }
}
