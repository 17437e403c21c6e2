import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * A stateful application with exactly_once_v2: a repartition topic, a store with a changelog, one output per input.
 *
 * <p>An input `K:partition:n|` belongs to key `partition-n%5`, so that all inputs of a key come from one partition, in order:
 * what follows for each key does not depend on how tasks take turns. Its output is `key=count:hash of all inputs so far|`.
 */
public final class Application {
  private static final int KEYS_PER_PARTITION = 5;
  private static final Duration CLOSE_AT_MOST = Duration.ofSeconds(60);

  public static void main(String[] words) throws Exception {
    Worker.run(words, Application::run);
  }

  private static void run(Map<String, String> options, Worker.Output out) throws InterruptedException {
    try (KafkaStreams streams = new KafkaStreams(topology(options), settings(options))) {
      streams.setUncaughtExceptionHandler(error -> {
        out.line("E uncaught " + Worker.oneLine(error));
        return StreamThreadExceptionResponse.REPLACE_THREAD;
      });
      streams.setStateListener((now, before) -> {
        out.line("S " + before + " " + now);
        if (now == KafkaStreams.State.RUNNING) {
          Worker.ready();
        }
      });
      streams.start();
      while (!Worker.stopping()) {
        Thread.sleep(50);
      }
      if (!streams.close(CLOSE_AT_MOST)) {
        out.line("E not closed within " + CLOSE_AT_MOST);
      }
    }
  }

  private static Properties settings(Map<String, String> options) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("bootstrap"));
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, options.get("id"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
    settings.put(StreamsConfig.STATE_DIR_CONFIG, options.get("state"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, options.getOrDefault("threads", "2"));
    settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    return settings;
  }

  private static Topology topology(Map<String, String> options) {
    StreamsBuilder builder = new StreamsBuilder();
    builder.<String, String>stream(options.get("topic"))
        .map((key, value) -> keyed(value.split("\\|", 2)[0]))
        .groupByKey(Grouped.as("keyed"))
        .aggregate(() -> "0:0", (key, value, total) -> next(value, total),
            Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as("totals"))
        .toStream()
        .mapValues((key, total) -> key + "=" + total + "|")
        .to(options.get("output"));
    return builder.build();
  }

  private static KeyValue<String, String> keyed(String value) {
    String[] parts = value.split(":");
    long number = Long.parseLong(parts[2]);
    return KeyValue.pair(parts[1] + "-" + number % KEYS_PER_PARTITION, parts[2]);
  }

  private static String next(String value, String total) {
    String[] parts = total.split(":");
    return (Long.parseLong(parts[0]) + 1) + ":" + (Long.parseLong(parts[1]) * 31 + Long.parseLong(value));
  }
}
