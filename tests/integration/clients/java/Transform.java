import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;

/** Reads, writes and commits positions in transactions. Runs with every client from 2.8. */
final class Transform implements ConsumerRebalanceListener {
  private static final int TRIES = 10; // of a call that timed out

  private final Worker.Output out;
  private final String input;
  private final String output;
  private final String id;
  private final int partitions;
  private final int recordsAtMost;
  private final long nanosAtMost;
  private final int abortEvery;
  private final KafkaProducer<String, String> producer;
  private final KafkaConsumer<String, String> consumer;

  private final Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>(); // positions of the open transaction
  private long number; // of the open transaction, or of the last one
  private boolean open;
  private int records;
  private long began;

  Transform(Map<String, String> options, Worker.Output out) {
    this.out = out;
    input = options.get("topic");
    output = options.get("output");
    id = options.get("id");
    partitions = Integer.parseInt(options.get("partitions"));
    recordsAtMost = Integer.parseInt(options.getOrDefault("every", "100"));
    nanosAtMost = Long.parseLong(options.getOrDefault("interval", "200")) * 1_000_000;
    abortEvery = Integer.parseInt(options.getOrDefault("abort-every", "0"));
    producer = new KafkaProducer<>(producerSettings(options));
    consumer = new KafkaConsumer<>(consumerSettings(options));
  }

  private static Properties producerSettings(Map<String, String> options) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", options.get("bootstrap"));
    settings.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    settings.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    settings.put("transactional.id", options.get("id"));
    return settings;
  }

  private static Properties consumerSettings(Map<String, String> options) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", options.get("bootstrap"));
    settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    settings.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    settings.put("group.id", options.get("group"));
    settings.put("auto.offset.reset", "earliest");
    settings.put("enable.auto.commit", "false");
    settings.put("isolation.level", "read_committed");
    settings.put("max.poll.records", options.getOrDefault("every", "100"));
    return settings;
  }

  void run() {
    boolean told = false;
    try (consumer; producer) {
      producer.initTransactions();
      consumer.subscribe(List.of(input), this);
      while (!Worker.stopping()) {
        guarded(this::step);
        if (!told && !consumer.assignment().isEmpty()) {
          Worker.ready();
          told = true;
        }
      }
      guarded(this::finish);
    } catch (KafkaException error) {
      out.line("E fatal " + Worker.oneLine(error));
      throw error;
    }
  }

  /** What an application does about an error: abort, go back to what is committed, go on. */
  private void guarded(Runnable work) {
    try {
      work.run();
    } catch (KafkaException error) {
      out.line("E abortable " + Worker.oneLine(error));
      abort("undone"); // throws where nothing but a new producer would help
    }
  }

  private void step() {
    for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(50))) {
      begin();
      send(record);
    }
    if (open && (records >= recordsAtMost || System.nanoTime() - began >= nanosAtMost)) {
      finish();
    }
  }

  private void begin() {
    if (!open) {
      producer.beginTransaction();
      open = true;
      ++number;
      records = 0;
      next.clear();
      began = System.nanoTime();
    }
  }

  private void send(ConsumerRecord<String, String> record) {
    String value = record.value().split("\\|", 2)[0];
    String[] parts = value.split(":");
    int partition = (int) ((record.partition() + Long.parseLong(parts[parts.length - 1])) % partitions);
    String text = String.format("%-100s", value + "/" + id + "." + number + "|");
    producer.send(new ProducerRecord<>(output, partition, null, text));
    next.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
    ++records;
  }

  private void finish() {
    if (!open) {
      return;
    }
    if (abortEvery > 0 && number % abortEvery == 0) {
      if (number % 2 == 0) {
        producer.flush(); // else some of its records never leave the client
      }
      abort("aborted");
      return;
    }
    producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
    persistently(producer::commitTransaction);
    tell("committed");
  }

  private void abort(String word) {
    if (open) {
      persistently(producer::abortTransaction);
      tell(word);
    }
    Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment());
    for (TopicPartition partition : consumer.assignment()) {
      OffsetAndMetadata position = committed.get(partition);
      if (position == null) {
        consumer.seekToBeginning(List.of(partition));
      } else {
        consumer.seek(partition, position);
      }
    }
  }

  /** A call that timed out may be made again, says its documentation. */
  private void persistently(Runnable call) {
    for (int i = 1;; i++) {
      try {
        call.run();
        return;
      } catch (TimeoutException error) {
        out.line("E retriable " + Worker.oneLine(error));
        if (i == TRIES) {
          throw error;
        }
      }
    }
  }

  private void tell(String word) {
    out.line("T " + number + " " + word + " " + records);
    open = false;
  }

  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> gone) {
    guarded(this::finish);
  }

  @Override
  public void onPartitionsLost(Collection<TopicPartition> gone) {
    out.line("E retriable partitions lost: " + gone);
    abort("undone");
  }

  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> fresh) {}
}
