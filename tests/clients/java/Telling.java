import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.utils.AppInfoParser;

/** How the Java programs say what they saw: one line of JSON a fact. */
final class Telling {
    /** Longest wait for anything that should come. */
    static final Duration PATIENCE = Duration.ofSeconds(30);

    private static final ExecutorService WORKER = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        return thread;
    });

    private final String client;

    Telling(String client) {
        this.client = client;
    }

    interface Work {
        void run() throws Exception;
    }

    /** Does the work and prints how it went. */
    void show(String fact, Work work) {
        long began = System.nanoTime();
        String result = "passed";
        String detail = "";
        try {
            WORKER.submit(() -> {
                work.run();
                return null;
            }).get(3 * PATIENCE.toSeconds(), TimeUnit.SECONDS);
        } catch (ExecutionException wrapped) {
            Throwable cause = wrapped.getCause();
            while (cause instanceof ExecutionException && cause.getCause() != null) {
                cause = cause.getCause();
            }
            result = cause instanceof UnsupportedVersionException ? "refused" : "failed";
            detail = cause.getClass().getSimpleName() + ": " + cause.getMessage();
        } catch (Exception error) {
            result = "failed";
            detail = error.getClass().getSimpleName() + ": " + error.getMessage();
        }
        double seconds = (System.nanoTime() - began) / 1e9;
        System.out.printf(Locale.ROOT, "{\"client\": %s, \"version\": %s, \"fact\": %s, \"result\": %s, \"detail\": %s, \"seconds\": %.1f}%n",
            quoted(client), quoted(AppInfoParser.getVersion()), quoted(fact), quoted(result), quoted(detail), seconds);
        System.out.flush();
    }

    private static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        text.chars().limit(500).forEach(c -> {
            if (c == '"' || c == '\\') {
                out.append('\\').append((char) c);
            } else if (c < ' ') {
                out.append(' ');
            } else {
                out.append((char) c);
            }
        });
        return out.append('"').toString();
    }

    /** A name that no other run has. */
    static String unique(String name) {
        return name + "-" + UUID.randomUUID().toString().substring(0, 13);
    }

    /** Returns when the condition holds. The condition itself takes a moment, or there is a short pause. */
    static void until(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (System.nanoTime() < end) {
            if (condition.call()) {
                return;
            }
            Thread.sleep(20);
        }
        throw new IllegalStateException("no " + what + " within " + PATIENCE);
    }

    static void same(Object got, Object wanted) {
        if (!Objects.deepEquals(got, wanted)) {
            throw new IllegalStateException("got " + got + ", wanted " + wanted);
        }
    }

    static List<String> words(int count, String word) {
        List<String> made = new ArrayList<>();
        for (int n = 0; n < count; n++) {
            made.add(word + n);
        }
        return made;
    }

    static String bootstrap(String[] args) {
        if (args.length != 1) {
            System.err.println("it takes one argument: BOOTSTRAP");
            System.exit(2);
        }
        return args[0];
    }
}
