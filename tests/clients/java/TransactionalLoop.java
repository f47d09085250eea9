import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * The loop that Spring's container runs for a transactional listener: read, write, commit the offsets in the producer's transaction.
 * A third of the transactions are aborted and their records read again; once the loop is left in the middle of a transaction, without
 * closing anything, and another one with the same transactional id takes over.
 */
public final class TransactionalLoop {
    private static final int RECORDS = 300;
    private static final int PARTITIONS = 2;
    private static final Random RANDOM = new Random(7);

    private TransactionalLoop() {
    }

    public static void main(String[] args) {
        String servers = Telling.bootstrap(args);
        new Telling("java-transactional-loop").show("each-record-once-with-aborts-and-a-restart", () -> run(servers));
        System.exit(0); // What was left open on purpose must not keep the program.
    }

    private static void run(String servers) throws Exception {
        String source = Telling.unique("loop-source");
        String sink = Telling.unique("loop-sink");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", servers))) {
            admin.createTopics(List.of(new NewTopic(source, PARTITIONS, (short) 1), new NewTopic(sink, 1, (short) 1))).all().get();
        }
        try (KafkaProducer<String, String> made = producer(servers, Map.of("enable.idempotence", true))) {
            for (int n = 0; n < RECORDS; n++) {
                made.send(new ProducerRecord<>(source, n % PARTITIONS, null, "v" + n));
            }
            made.flush();
        }
        int aborted = loop(servers, source, sink, RECORDS / 2, true);
        aborted += loop(servers, source, sink, RECORDS, false);

        List<String> wanted = new ArrayList<>(Telling.words(RECORDS, "v"));
        List<String> committed = read(servers, sink, "read_committed");
        Collections.sort(wanted);
        Collections.sort(committed);
        Telling.same(committed, wanted);
        if (aborted == 0 || read(servers, sink, "read_uncommitted").size() <= RECORDS) {
            throw new IllegalStateException("nothing was aborted, so nothing was shown");
        }
    }

    /** Copies until so many records of the source are committed; returns how many transactions it gave up. */
    private static int loop(String servers, String source, String sink, int enough, boolean leaveInTheMiddle) throws Exception {
        KafkaConsumer<String, String> reader = consumer(servers, Map.of("group.id", source, "max.poll.records", 20, "session.timeout.ms", 6000,
            "heartbeat.interval.ms", 500, "isolation.level", "read_committed"));
        reader.subscribe(List.of(source));
        KafkaProducer<String, String> writer = producer(servers, Map.of("transactional.id", sink, "transaction.timeout.ms", 20_000));
        writer.initTransactions();
        int[] seen = {0, 0};
        Telling.until(enough + " committed records", () -> {
            ConsumerRecords<String, String> records = reader.poll(Duration.ofMillis(500));
            long committed = committed(reader, source);
            if (committed >= enough) {
                return true;
            }
            if (records.isEmpty()) {
                return false;
            }
            writer.beginTransaction();
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            for (ConsumerRecord<String, String> record : records) {
                writer.send(new ProducerRecord<>(sink, 0, null, record.value()));
                offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
            }
            writer.sendOffsetsToTransaction(offsets, reader.groupMetadata());
            if (seen[0]++ % 3 == RANDOM.nextInt(2)) {
                writer.abortTransaction();
                seen[1]++;
                rewind(reader);
            } else {
                writer.commitTransaction();
            }
            return false;
        });
        if (leaveInTheMiddle) {
            writer.beginTransaction();
            writer.send(new ProducerRecord<>(sink, 0, null, "left behind"));
            writer.flush();
            reader.close(); // Its partitions are free at once; the transaction is left to whoever comes next.
        } else {
            writer.close();
            reader.close();
        }
        return seen[1];
    }

    private static long committed(KafkaConsumer<String, String> reader, String source) {
        long sum = 0;
        for (OffsetAndMetadata offset : reader.committed(reader.assignment()).values()) {
            sum += offset == null ? 0 : offset.offset();
        }
        return reader.assignment().size() == PARTITIONS ? sum : 0;
    }

    private static void rewind(KafkaConsumer<String, String> reader) {
        reader.committed(reader.assignment()).forEach((place, offset) -> reader.seek(place, offset == null ? 0 : offset.offset()));
    }

    private static List<String> read(String servers, String topic, String isolation) throws Exception {
        TopicPartition place = new TopicPartition(topic, 0);
        List<String> values = new ArrayList<>();
        try (KafkaConsumer<String, String> reader = consumer(servers, Map.of("isolation.level", isolation))) {
            reader.assign(List.of(place));
            long end = reader.endOffsets(List.of(place)).get(place);
            Telling.until("end of " + topic, () -> {
                reader.poll(Duration.ofMillis(200)).forEach(record -> values.add(record.value()));
                return reader.position(place) >= end;
            });
        }
        return values;
    }

    private static KafkaConsumer<String, String> consumer(String servers, Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", servers, "auto.offset.reset", "earliest", "enable.auto.commit", false));
        all.putAll(settings);
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    private static KafkaProducer<String, String> producer(String servers, Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", servers, "acks", "all"));
        all.putAll(settings);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }
}
