import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** The Java client's worker; the contract is in tests/integration/README.md. Runs with every client from 2.8. */
public final class Worker {
  private static volatile boolean stopping;
  private static final CountDownLatch finished = new CountDownLatch(1);

  interface Work {
    void run(Map<String, String> options, Output out) throws Exception;
  }

  public static void main(String[] words) throws Exception {
    switch (words[0]) {
      case "produce":
        run(words, Worker::produce);
        break;
      case "transform":
        run(words, (options, out) -> new Transform(options, out).run());
        break;
      default:
        run(words, Worker::consume);
    }
  }

  /** Does the work, which looks at stopping(), and ends the process. */
  static void run(String[] words, Work work) throws Exception {
    Map<String, String> options = parse(words);
    Runtime.getRuntime().addShutdownHook(new Thread(Worker::stopAndWait));
    Thread input = new Thread(Worker::stopAtEndOfInput);
    input.setDaemon(true);
    input.start();
    try (Output out = new Output(Path.of(options.get("out")))) {
      work.run(options, out);
    } finally {
      finished.countDown();
    }
    // A JVM that SIGTERM ends would tell 143.
    Runtime.getRuntime().halt(0);
  }

  static boolean stopping() {
    return stopping;
  }

  private static void stopAndWait() {
    stopping = true;
    try {
      finished.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    Runtime.getRuntime().halt(0);
  }

  private static void stopAtEndOfInput() {
    try {
      while (System.in.read() >= 0) {}
    } catch (IOException e) {
      // An input that fails has ended.
    }
    stopping = true;
  }

  private static void produce(Map<String, String> options, Output out) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", options.get("bootstrap"));
    settings.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    settings.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    settings.put("acks", options.getOrDefault("acks", "all"));
    settings.put("enable.idempotence", options.getOrDefault("idempotent", "true"));
    if (!settings.get("enable.idempotence").equals("true")) {
      // Without idempotence a retry could overtake what is in flight, on any cluster.
      settings.put("max.in.flight.requests.per.connection", "1");
    }
    if (options.containsKey("retries")) {
      settings.put("retries", options.get("retries"));
    }
    String topic = options.get("topic");
    int partitions = Integer.parseInt(options.get("partitions"));
    double perSecond = Double.parseDouble(options.get("rate"));
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
      producer.partitionsFor(topic);
      if (options.containsKey("warm")) {
        for (int partition = 0; partition < partitions; partition++) {
          send(producer, options, out, topic, partition, 0);
        }
        producer.flush();
      }
      ready();
      long first = options.containsKey("warm") ? partitions : 0;
      long began = System.nanoTime();
      for (long i = first; !stopping; i++) {
        long due = began + (long) ((i - first) * 1e9 / perSecond);
        while (!stopping && due - System.nanoTime() > 0) {
          LockSupport.parkNanos(Math.min(due - System.nanoTime(), 2_000_000));
        }
        if (!stopping) {
          send(producer, options, out, topic, (int) (i % partitions), i / partitions);
        }
      }
    }
  }

  private static void send(KafkaProducer<String, String> producer, Map<String, String> options, Output out, String topic,
      int partition, long number) {
    String value = String.format("%-100s", options.get("id") + ":" + partition + ":" + number + "|");
    try {
      producer.send(new ProducerRecord<>(topic, partition, null, value), (metadata, error) -> {
        if (error != null) {
          out.line("F " + partition + " " + number + " " + oneLine(error));
          out.line("E " + oneLine(error));
        } else {
          out.line("A " + partition + " " + number + " " + (metadata.hasOffset() ? metadata.offset() : -1));
        }
      });
    } catch (RuntimeException error) {
      out.line("E " + oneLine(error));
    }
  }

  private static void consume(Map<String, String> options, Output out) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", options.get("bootstrap"));
    settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    settings.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    settings.put("group.id", options.get("group"));
    settings.put("auto.offset.reset", "earliest");
    settings.put("auto.commit.interval.ms", "1000");
    settings.put("isolation.level", options.getOrDefault("isolation", "read_uncommitted"));
    if (options.containsKey("protocol")) {
      settings.put("group.protocol", options.get("protocol"));
    }
    try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
      Map<TopicPartition, Boolean> seen = new HashMap<>();
      consumer.subscribe(List.of(options.get("topic")), new ConsumerRebalanceListener() {
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> gone) {}

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> fresh) {
          if (options.containsKey("from-beginning")) {
            fresh.stream().filter(p -> seen.put(p, true) == null).forEach(p -> consumer.seekToBeginning(List.of(p)));
          }
        }
      });
      boolean told = false;
      while (!stopping) {
        try {
          for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
            out.line("C " + record.partition() + " " + record.offset() + " " + record.value().split("\\|", 2)[0]);
          }
        } catch (RuntimeException error) {
          out.line("E " + oneLine(error));
        }
        if (!told && !consumer.assignment().isEmpty()) {
          ready();
          told = true;
        }
      }
    }
  }

  static void ready() {
    System.out.println("READY");
    System.out.flush();
  }

  static String oneLine(Throwable error) {
    return error.toString().replace('\n', ' ');
  }

  private static Map<String, String> parse(String[] words) {
    Map<String, String> options = new HashMap<>();
    for (int i = 1; i < words.length; i++) {
      String name = words[i].substring(2);
      boolean flag = i + 1 == words.length || words[i + 1].startsWith("--");
      options.put(name, flag ? "" : words[++i]);
    }
    return options;
  }

  /** Lines reach the file within 100 ms. */
  static final class Output implements AutoCloseable {
    private final BufferedWriter writer;
    private boolean closed;

    Output(Path path) throws IOException {
      writer = Files.newBufferedWriter(path, StandardCharsets.UTF_8);
      Thread flusher = new Thread(this::keepFlushing);
      flusher.setDaemon(true);
      flusher.start();
    }

    synchronized void line(String text) {
      try {
        writer.write(text);
        writer.write('\n');
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    private void keepFlushing() {
      while (true) {
        LockSupport.parkNanos(100_000_000);
        synchronized (this) {
          if (closed) {
            return;
          }
          try {
            writer.flush();
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        }
      }
    }

    @Override
    public synchronized void close() throws IOException {
      closed = true;
      writer.close();
    }
  }
}
