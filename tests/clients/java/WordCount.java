import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.LongStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

/** Kafka Streams' word count with exactly_once_v2, stopped half way and gone on with by another instance, which restores the counts. */
public final class WordCount {
    private static final int LINES = 200;

    private WordCount() {
    }

    public static void main(String[] args) {
        String servers = Telling.bootstrap(args);
        Telling telling = new Telling("kafka-streams");
        telling.show("counts-words-exactly-once-over-a-restart", () -> run(servers, Map.of("session.timeout.ms", 6000, "heartbeat.interval.ms", 500)));
        telling.show("counts-words-with-the-streams-group-protocol", () -> run(servers, Map.of("group.protocol", "streams")));
        System.exit(0);
    }

    private static void run(String servers, Map<String, Object> settings) throws Exception {
        String lines = Telling.unique("lines");
        String counts = Telling.unique("counts");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", servers))) {
            admin.createTopics(List.of(new NewTopic(lines, 2, (short) 1), new NewTopic(counts, 1, (short) 1))).all().get();
        }
        count(servers, lines, counts, 0, LINES / 2, settings);
        count(servers, lines, counts, LINES / 2, LINES, settings);
        // Each count once, and in order: nothing lost, nothing twice, nothing from a transaction that was given up.
        Map<String, List<Long>> seen = read(servers, counts, LINES * 2);
        Telling.same(seen.get("common"), LongStream.rangeClosed(1, LINES).boxed().toList());
        Telling.same(seen.values().stream().mapToInt(List::size).sum(), LINES * 2);
    }

    private static void count(String servers, String lines, String counts, int from, int to, Map<String, Object> settings) throws Exception {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(lines, Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withKeySerde(Serdes.String()).withValueSerde(Serdes.Long())
                .withCachingDisabled())
            .toStream()
            .to(counts, Produced.with(Serdes.String(), Serdes.Long()));
        Path state = Files.createTempDirectory("word-count");
        Properties properties = new Properties();
        properties.putAll(Map.of("application.id", lines, "bootstrap.servers", servers, "processing.guarantee", "exactly_once_v2",
            "commit.interval.ms", 50, "state.dir", state.toString(), "auto.offset.reset", "earliest", "replication.factor", 1));
        properties.putAll(settings);
        Throwable[] failure = {null};
        try (KafkaStreams streams = new KafkaStreams(builder.build(), properties)) {
            streams.setUncaughtExceptionHandler(error -> {
                failure[0] = error;
                return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            try (KafkaProducer<String, String> made = new KafkaProducer<>(Map.of("bootstrap.servers", servers), new StringSerializer(), new StringSerializer())) {
                for (int n = from; n < to; n++) {
                    made.send(new ProducerRecord<>(lines, n % 2, null, "common word" + n % 10));
                }
                made.flush();
            }
            try {
                read(servers, counts, to * 2);
            } catch (Exception late) {
                if (failure[0] != null) {
                    Throwable cause = failure[0];
                    while (cause.getCause() != null) {
                        cause = cause.getCause();
                    }
                    throw cause instanceof Exception known ? known : late;
                }
                throw late;
            }
            streams.close(Duration.ofSeconds(20));
        }
    }

    /** The first counts that were committed, by word. */
    private static Map<String, List<Long>> read(String servers, String counts, int enough) throws Exception {
        Map<String, List<Long>> seen = new HashMap<>();
        Map<String, Object> settings = Map.of("bootstrap.servers", servers, "isolation.level", "read_committed", "auto.offset.reset", "earliest");
        try (KafkaConsumer<String, Long> reader = new KafkaConsumer<>(settings, new StringDeserializer(), new LongDeserializer())) {
            reader.assign(List.of(new TopicPartition(counts, 0)));
            Telling.until(enough + " counts", () -> {
                reader.poll(Duration.ofMillis(200)).forEach(record -> seen.computeIfAbsent(record.key(), word -> new ArrayList<>()).add(record.value()));
                return seen.values().stream().mapToInt(List::size).sum() >= enough;
            });
        }
        return seen;
    }
}
