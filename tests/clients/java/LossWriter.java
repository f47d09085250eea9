import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.StringSerializer;

/** A writer of the loss test. See ../loss/writers.py for its arguments and ../loss/ledger.py for what it writes. */
public final class LossWriter {
    private static final int TRANSACTION_RECORDS = 20;
    private static final double ABORTED_SHARE = 0.25;
    /** Records a turn without transactions. */
    private static final int TURN_RECORDS = 4;
    /** After each turn and each transaction. */
    private static final long PAUSE_MS = 10;

    private final Map<String, Object> settings = new HashMap<>();
    private final String topic;
    private final int partitions;
    private final boolean transactional;
    private final BufferedWriter ledger;
    private final Random chance;
    private KafkaProducer<String, String> producer;
    private int sent;
    private int transactions;

    private LossWriter(String[] args) throws IOException {
        topic = args[1];
        partitions = Integer.parseInt(args[2]);
        ledger = Files.newBufferedWriter(Path.of(args[3]));
        transactional = args[5].equals("transactional");
        chance = new Random(Long.parseLong(args[6]));
        settings.putAll(Map.of("bootstrap.servers", args[0], "acks", "all", "enable.idempotence", true, "linger.ms", 2, "retry.backoff.ms", 20,
            "retry.backoff.max.ms", 100, "reconnect.backoff.ms", 10, "reconnect.backoff.max.ms", 100));
        if (transactional) {
            settings.putAll(Map.of("transactional.id", topic, "transaction.timeout.ms", 30_000));
        }
        open();
    }

    public static void main(String[] args) throws Exception {
        LossWriter writer = new LossWriter(args);
        long end = System.nanoTime() + Duration.ofSeconds(Long.parseLong(args[4])).toNanos();
        while (System.nanoTime() < end) {
            if (writer.transactional) {
                writer.transaction();
            } else {
                writer.turn();
            }
            Thread.sleep(PAUSE_MS);
        }
        writer.producer.close(Duration.ofSeconds(120));
        writer.ledger.close();
        System.exit(0);
    }

    private void open() {
        producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
        if (transactional) {
            retried(producer::initTransactions);
        }
    }

    /** For a producer that can go on no more: what it still had fails as it is closed. */
    private void openAnew(Exception trouble) {
        note("\"trouble\": " + quoted(trouble));
        producer.close(Duration.ZERO);
        open();
    }

    private static String quoted(Exception error) {
        return '"' + error.toString().replaceAll("[\"\\\\\\p{Cntrl}]", " ") + '"';
    }

    /** Acknowledgements come from the client's own thread. */
    private synchronized void note(String line) {
        try {
            ledger.write("{" + line + ", \"at\": " + System.currentTimeMillis() + "}\n");
            if (line.startsWith("\"ending\"")) {
                flushLedger();
            }
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private static void retried(Runnable work) {
        while (true) {
            try {
                work.run();
                return;
            } catch (RetriableException again) {
                // The same call goes on where the last one stopped.
            }
        }
    }

    private void send(String transaction) {
        int number = sent++;
        int partition = chance.nextInt(partitions);
        note("\"sent\": " + number + ", \"partition\": " + partition + transaction);
        try {
            producer.send(new ProducerRecord<>(topic, partition, null, topic + "/" + number), (place, error) -> {
                if (error != null) {
                    note("\"failed\": " + number + ", \"error\": " + quoted(error));
                } else {
                    note("\"acked\": " + number + ", \"partition\": " + place.partition() + ", \"offset\": " + place.offset());
                }
            });
        } catch (KafkaException | IllegalStateException error) {
            note("\"failed\": " + number + ", \"error\": " + quoted(error));
            throw error;
        }
    }

    private void turn() {
        try {
            for (int n = 0; n < TURN_RECORDS; n++) {
                send("");
            }
        } catch (KafkaException | IllegalStateException error) {
            openAnew(error);
        }
        flushLedger();
    }

    /** Whoever kills the broker aims by it. */
    private synchronized void flushLedger() {
        try {
            ledger.flush();
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private void transaction() {
        int transaction = transactions++;
        String wanted = chance.nextDouble() < ABORTED_SHARE ? "aborted" : "committed";
        boolean asked = false;
        try {
            producer.beginTransaction();
            note("\"begun\": " + transaction);
            for (int n = 0; n < TRANSACTION_RECORDS; n++) {
                send(", \"transaction\": " + transaction);
            }
            // Half of what is aborted is in the log by then, and half is on its way and given up.
            if (wanted.equals("aborted") && chance.nextBoolean()) {
                producer.flush();
            }
            note("\"ending\": " + transaction + ", \"as\": \"" + wanted + "\"");
            if (wanted.equals("aborted")) {
                retried(producer::abortTransaction);
            } else {
                asked = true;
                retried(producer::commitTransaction);
            }
            note("\"ended\": " + transaction + ", \"as\": \"" + wanted + "\"");
        } catch (KafkaException | IllegalStateException error) {
            giveUp(transaction, asked, error);
        }
    }

    /** A transaction that failed is aborted, if the client lets us. One whose commit was asked for may have any end, if it does not. */
    private void giveUp(int transaction, boolean asked, Exception error) {
        try {
            retried(producer::abortTransaction);
            note("\"ended\": " + transaction + ", \"as\": \"aborted\"");
        } catch (KafkaException | IllegalStateException worse) {
            openAnew(error);
            note("\"ended\": " + transaction + ", \"as\": \"" + (asked ? "unknown" : "aborted") + "\"");
        }
    }
}
