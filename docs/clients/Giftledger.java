// A client of Giftledger's HTTP door. Java 17, nothing else. Copy it, change it. Commands and answers are JSON texts: read
// them with whatever your project has.

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

public final class Giftledger {
    static final Set<String> FINAL = Set.of("taken", "refused", "conflict", "malformed");
    /** With these nothing is decided and nothing will be, however often one asks. */
    static final Set<Integer> HOPELESS = Set.of(400, 401, 403, 404, 405, 410, 413, 415);
    static final Set<String> HOPELESS_CODES =
        Set.of("not_allowed", "token_missing", "token_unknown", "token_expired", "token_replaced", "token_revoked");
    static final int BULK_LINES = 10_000;
    static final int BULK_BYTES = 16 << 20;

    /** No outcome in time: ask again later, with the same id. */
    public static final class Undecided extends Exception {
        Undecided(String message) { super(message); }
    }

    /** The server will not do it: the token, the address, or the form of the request is wrong. */
    public static final class Denied extends Exception {
        public final int status;
        Denied(int status, String problem) { super(status + " " + problem); this.status = status; }
    }

    /** What an event of the feed asks for; then store the cursor. The event is null where nothing happened. */
    public interface Handler {
        void handle(String event, String cursor) throws IOException;
    }

    /** No answer, or half of one, or one that says: later. */
    private static final class Later extends Exception {
        final double seconds;
        Later(String message, double seconds) { super(message); this.seconds = seconds; }
    }

    private interface Ask<T> {
        T ask() throws Later, Denied, InterruptedException;
    }

    private final String url;
    private final String token;
    private final Duration patience;
    private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(10)).build();

    /** The token may be null. */
    public Giftledger(String url, String token, Duration patience) {
        this.url = url;
        this.token = token;
        this.patience = patience;
    }

    /** The final answer to one command: look at its state. The id stays the same, so asking again is safe. */
    public String append(String command) throws Undecided, Denied, InterruptedException {
        return untilDecided(() -> {
            try {
                var response = http.send(post("/v1/commands", "application/json", command), BodyHandlers.ofString());
                judge(response, response.body());
                if (FINAL.contains(field(response.body(), "state"))) return response.body();
                throw new Later(response.body(), retryAfter(response));
            } catch (IOException broken) {
                throw new Later(broken.toString(), 0);
            }
        });
    }

    /** The final answers to many commands, in their order. What has no outcome yet is sent again; what the token does not
     * allow comes back as undecided, with its code. */
    public List<String> bulk(List<String> commands) throws Undecided, Denied, InterruptedException {
        var answers = new ArrayList<String>();
        for (int from = 0, to; from < commands.size(); from = to) {
            int size = 0;
            for (to = from; to < commands.size() && to - from < BULK_LINES && size < BULK_BYTES; to++) {
                size += commands.get(to).getBytes(StandardCharsets.UTF_8).length + 1;
            }
            answers.addAll(Arrays.asList(batch(commands.subList(from, to))));
        }
        return answers;
    }

    /** Calls the handler for every event from a cursor on, until it fails. Give the cursor that you stored as `after` the
     * next time. An event may come twice: drop what (shard, sequence) says you had. */
    public void follow(String after, Handler handler) throws Denied, InterruptedException, IOException {
        String[] last = {after};
        for (int[] waits = {1}; ; waits[0]++) {
            try {
                var path = "/v1/events?after=" + URLEncoder.encode(last[0], StandardCharsets.UTF_8);
                var response = open(request(path).header("Accept", "text/event-stream").build());
                // This HttpClient has no time-out for silence. A feed says something every 15 s: watch that from outside.
                read(response, lines -> {
                    String kind = "", data = "", cursor = null;
                    for (var line : (Iterable<String>) lines::iterator) {
                        if (line.startsWith("id: ")) cursor = line.substring(4);
                        else if (line.startsWith("data: ")) data += line.substring(6);
                        else if (line.startsWith("event: ")) kind = line.substring(7);
                        else if (line.isEmpty()) {
                            if (kind.equals("end")) return null;
                            if (cursor != null) {
                                try {
                                    handler.handle(data.isEmpty() ? null : data, cursor);
                                } catch (IOException error) {
                                    throw new HandlerFailed(error);
                                }
                                last[0] = cursor;
                                waits[0] = 0;
                            }
                            kind = "";
                            data = "";
                            cursor = null;
                        }
                    }
                    return null;
                });
            } catch (HandlerFailed failed) {
                throw (IOException) failed.getCause();
            } catch (Later later) {
                sleep(later.seconds); // the connection broke: go on behind the last whole event
            }
            sleep(pause(waits[0]));
        }
    }

    private static final class HandlerFailed extends RuntimeException {
        HandlerFailed(IOException cause) { super(cause); }
    }

    private <T> T untilDecided(Ask<T> ask) throws Undecided, Denied, InterruptedException {
        long giveUp = System.nanoTime() + patience.toNanos();
        for (int tries = 1; ; tries++) {
            try {
                return ask.ask();
            } catch (Later later) {
                double wait = later.seconds > 0 ? later.seconds : pause(tries);
                if (System.nanoTime() + (long) (wait * 1e9) > giveUp) {
                    throw new Undecided("no outcome after " + tries + " tries: " + later.getMessage());
                }
                sleep(wait);
            }
        }
    }

    private String[] batch(List<String> commands) throws Undecided, Denied, InterruptedException {
        var answers = new String[commands.size()];
        return untilDecided(() -> {
            var left = new ArrayList<Integer>();
            for (int n = 0; n < answers.length; n++) if (answers[n] == null) left.add(n);
            var body = new StringBuilder();
            for (int n : left) body.append(commands.get(n)).append('\n');
            var response = open(post("/v1/commands/bulk", "application/x-ndjson", body.toString()));
            read(response, lines -> {
                lines.forEach(line -> {
                    if (FINAL.contains(field(line, "state")) || HOPELESS_CODES.contains(field(line, "code"))) {
                        answers[left.get(Integer.parseInt(field(line, "line")) - 1)] = line;
                    }
                });
                return null;
            });
            if (Arrays.asList(answers).contains(null)) throw new Later("some lines have no outcome yet", 0);
            return answers;
        });
    }

    private HttpRequest.Builder request(String path) {
        var request = HttpRequest.newBuilder(URI.create(url + path)).timeout(Duration.ofSeconds(60));
        return token == null ? request : request.header("Authorization", "Bearer " + token);
    }

    private HttpRequest post(String path, String type, String body) {
        return request(path).header("Content-Type", type).POST(BodyPublishers.ofString(body)).build();
    }

    private HttpResponse<Stream<String>> open(HttpRequest request) throws Later, Denied, InterruptedException {
        try {
            var response = http.send(request, BodyHandlers.ofLines());
            if (response.statusCode() >= 300) {
                var text = read(response, lines -> String.join("\n", lines.toList()));
                judge(response, text);
                throw new Later(text, retryAfter(response));
            }
            return response;
        } catch (IOException broken) {
            throw new Later(broken.toString(), 0);
        }
    }

    private static void judge(HttpResponse<?> response, String text) throws Later, Denied {
        int status = response.statusCode();
        if (status < 300 || FINAL.contains(field(text, "state"))) return;
        if (HOPELESS.contains(status)) throw new Denied(status, text);
        throw new Later(text, retryAfter(response));
    }

    private interface Reading<T> {
        T read(Stream<String> lines);
    }

    private static <T> T read(HttpResponse<Stream<String>> response, Reading<T> reading) throws Later {
        try (var lines = response.body()) {
            return reading.read(lines);
        } catch (UncheckedIOException broken) {
            throw new Later(broken.getCause().toString(), 0);
        }
    }

    /** A plain field of a JSON object, or an empty text. Within a text a quote has a backslash before it, so that nothing
     * in there is taken for a field. */
    static String field(String json, String name) {
        Matcher found = Pattern.compile("[{,]\"" + name + "\":\"?([A-Za-z0-9_.-]+)").matcher(json);
        return found.find() ? found.group(1) : "";
    }

    private static double retryAfter(HttpResponse<?> response) {
        return response.headers().firstValue("retry-after").map(Double::parseDouble).orElse(0.0);
    }

    /** 0.1 s, then doubled up to 10 s, each between half and all of it, so that many clients do not come at once. */
    private static double pause(int tries) {
        return Math.min(10, 0.1 * Math.pow(2, Math.min(Math.max(tries - 1, 0), 10))) * ThreadLocalRandom.current().nextDouble(0.5, 1);
    }

    private static void sleep(double seconds) throws InterruptedException {
        Thread.sleep((long) (seconds * 1_000));
    }

    /** java Giftledger.java URL append|bulk < LINES, or URL follow CURSOR_FILE: a command, an answer, an event a line. */
    public static void main(String[] arguments) throws Exception {
        var client = new Giftledger(arguments[0], null, Duration.ofMinutes(5));
        var input = new java.io.BufferedReader(new java.io.InputStreamReader(System.in, StandardCharsets.UTF_8));
        switch (arguments[1]) {
            case "append" -> {
                for (String line; (line = input.readLine()) != null; ) System.out.println(client.append(line));
            }
            case "bulk" -> client.bulk(input.lines().toList()).forEach(System.out::println);
            case "follow" -> {
                Path file = Path.of(arguments[2]), fresh = Path.of(arguments[2] + ".new");
                // Seldom enough that the disk keeps up: what came behind the last stored cursor comes again.
                int[] count = {0};
                client.follow(Files.exists(file) ? Files.readString(file) : "start", (event, cursor) -> {
                    if (event != null) System.out.println(event);
                    if (event != null && ++count[0] % 100 != 0) return;
                    Files.writeString(fresh, cursor);
                    Files.move(fresh, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
                });
            }
            default -> throw new IllegalArgumentException(arguments[1]);
        }
    }
}
