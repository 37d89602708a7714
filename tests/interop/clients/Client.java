// java.net.http.HttpClient, over HTTP/2 and over HTTP/1.1. Arguments and output as in common.py.
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.*;
import java.net.http.HttpRequest.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.concurrent.*;
import javax.net.ssl.*;

public class Client {
    static final String[] ECHO = {"get", "post-length", "post-stream", "head", "post-empty", "put-large"};
    static final String[] DAV = {"put-length", "get", "put-stream", "get"};

    public static void main(String[] args) throws Exception {
        String base = args[0], kind = args[2];
        int count = Integer.parseInt(args[3]);
        SSLContext trust = trusting(args[1]);
        ExecutorService pool = Executors.newFixedThreadPool(4);
        for (int worker = 0; worker < 4; worker++) {
            int first = worker;
            pool.submit(() -> {
                HttpClient client = HttpClient.newBuilder()
                    .version(first % 2 == 0 ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1)
                    .connectTimeout(Duration.ofSeconds(60)).sslContext(trust).build();
                for (int pair = first; pair < count / 2; pair += 4) {
                    for (int place = 2 * pair; place <= 2 * pair + 1; place++) {
                        send(client, base, kind, place, pair, args[4 + 2 * (pair % 2)], args[5 + 2 * (pair % 2)]);
                    }
                }
            });
        }
        pool.shutdown();
        pool.awaitTermination(10, TimeUnit.MINUTES);
        System.exit(0);
    }

    static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var in = Files.newInputStream(Path.of(file))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context;
    }

    static void send(HttpClient client, String base, String kind, int place, int pair, String user, String token) {
        String[] shapes = kind.equals("dav") ? DAV : ECHO;
        String shape = shapes[place % shapes.length], nonce = "java-" + place, body = "";
        String path = kind.equals("dav") ? "/java-" + pair + ".txt" : "/java/" + place;
        if (shape.endsWith("large")) body = "x".repeat(100000);
        else if (kind.equals("dav") && shape.startsWith("put")) body = user + " java-" + pair;
        else if (shape.endsWith("length") || shape.endsWith("stream")) body = "y".repeat(1 + place % 700);
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        String method = shape.split("-")[0].toUpperCase();
        BodyPublisher publisher = shape.endsWith("stream")
            ? BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(bytes))
            : bytes.length > 0 ? BodyPublishers.ofByteArray(bytes) : BodyPublishers.noBody();
        String status, echo = "-", text = "-";
        try {
            HttpResponse<String> got = client.send(
                HttpRequest.newBuilder(URI.create(base + path)).timeout(Duration.ofSeconds(60))
                    .header("Authorization", "Bearer " + token).header("X-Nonce", nonce)
                    .method(method, publisher).build(),
                HttpResponse.BodyHandlers.ofString());
            status = String.valueOf(got.statusCode());
            echo = got.headers().firstValue("x-echo").orElse("-");
            text = got.body().strip().replaceAll("[\\t\\n]", " ");
            text = text.isEmpty() ? "-" : text.substring(0, Math.min(160, text.length()));
        } catch (Exception error) {
            status = error.getClass().getSimpleName();
        }
        String line = String.join("\t", shape, user, nonce, String.valueOf(bytes.length), status, echo, text);
        synchronized (Client.class) { System.out.println(line); }
    }
}
