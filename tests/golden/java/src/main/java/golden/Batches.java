package golden;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.StringJoiner;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.record.TimestampType;

/**
 * Prints record batches as Kafka's own builder makes them into the file named. One row: magic, codec, first offset, last offset, producer
 * id, epoch, first sequence, last sequence, control, transactional, highest timestamp, bytes in hex, records as
 * "offset:timestamp:key:value" in hex, "~" for null.
 */
public final class Batches {
  public static void main(String[] args) throws IOException {
    try (PrintStream out = new PrintStream(args[0], StandardCharsets.UTF_8)) {
      printAll(out);
    }
  }

  private static void printAll(PrintStream out) {
    for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
      print(out, build(2, 0, codec, -1, -1, -1, false, records(3)));
      print(out, build(2, 1L << 40, codec, 4711, 7, Integer.MAX_VALUE - 1, true, records(5)));
    }
    print(out, build(2, 5, "none", (1L << 62) + 3, 32767, 0, false, records(60)));
    print(out, build(2, 0, "none", 99, 1, 3, false, withoutHeaders()));
    for (byte magic = 0; magic < 2; magic++) {
      print(out, build(magic, 9, "none", -1, -1, -1, false, withoutHeaders()));
      print(out, build(magic, 9, "gzip", -1, -1, -1, false, withoutHeaders()));
    }
  }

  private static SimpleRecord[] withoutHeaders() {
    return new SimpleRecord[] {new SimpleRecord(1_700_000_000_000L, "k".getBytes(), "v".getBytes())};
  }

  private static SimpleRecord[] records(int count) {
    SimpleRecord[] records = new SimpleRecord[count];
    for (int i = 0; i < count; i++) {
      byte[] key = i % 3 == 1 ? null : ("key" + i).getBytes(StandardCharsets.UTF_8);
      byte[] value = i % 3 == 2 ? null : ("value".repeat(i * 7 % 40)).getBytes(StandardCharsets.UTF_8);
      Header[] headers = i % 2 == 0 ? new Header[0] : new Header[] {new RecordHeader("h", null), new RecordHeader("i", new byte[3])};
      records[i] = new SimpleRecord(1_700_000_000_000L + (i * 37L % 11) * 1000, key, value, headers);
    }
    return records;
  }

  private static MemoryRecords build(
      int magic,
      long offset,
      String codec,
      long id,
      int epoch,
      int sequence,
      boolean transactional,
      SimpleRecord[] records) {
    return MemoryRecords.withRecords(
        (byte) magic,
        offset,
        Compression.of(CompressionType.forName(codec)).build(),
        TimestampType.CREATE_TIME,
        id,
        (short) epoch,
        sequence,
        RecordBatch.NO_PARTITION_LEADER_EPOCH,
        transactional,
        records);
  }

  private static void print(PrintStream out, MemoryRecords records) {
    RecordBatch batch = records.batches().iterator().next();
    StringJoiner row = new StringJoiner("\t");
    row.add(Byte.toString(batch.magic())).add(batch.compressionType().name);
    row.add(Long.toString(batch.baseOffset())).add(Long.toString(batch.lastOffset()));
    row.add(Long.toString(batch.producerId())).add(Short.toString(batch.producerEpoch()));
    row.add(Integer.toString(batch.baseSequence())).add(Integer.toString(batch.lastSequence()));
    row.add(Boolean.toString(batch.isControlBatch())).add(Boolean.toString(batch.isTransactional()));
    row.add(Long.toString(batch.maxTimestamp())).add(Leaves.hex(records.buffer().duplicate()));
    StringJoiner contents = new StringJoiner(" ");
    for (Record record : batch) {
      contents.add(record.offset() + ":" + record.timestamp() + ":" + hex(record.key()) + ":" + hex(record.value()));
    }
    out.println(row.add(contents.toString()));
  }

  private static String hex(ByteBuffer bytes) {
    if (bytes == null) return "~";
    byte[] copy = new byte[bytes.remaining()];
    bytes.duplicate().get(copy);
    return HexFormat.of().formatHex(copy);
  }

  private Batches() {}
}
