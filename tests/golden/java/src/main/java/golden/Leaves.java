package golden;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;

/**
 * The primitive values of a body in wire order as "name=hex", "~" for null; null arrays and structures have none. They
 * are read by Kafka's generic schema reader, which shares no code with the writers of the message classes;
 */
final class Leaves {
  private final List<String> leaves = new ArrayList<>();

  static List<String> of(Schema schema, ByteBuffer body) {
    Leaves result = new Leaves();
    try {
      result.structure(schema, schema.read(body));
    } catch (Exception e) {
      throw new IllegalStateException(schema.toString(), e);
    }
    return result.leaves;
  }

  static String hex(ByteBuffer buffer) {
    byte[] bytes = new byte[buffer.remaining()];
    buffer.get(bytes);
    return HexFormat.of().formatHex(bytes);
  }

  private void structure(Schema schema, Struct struct) throws Exception {
    for (BoundField field : schema.fields()) {
      if (field.def.type instanceof TaggedFields tagged) {
        tags(tagged, (Map<?, ?>) struct.get(field));
      } else {
        value(field.def.name, field.def.type, struct.get(field));
      }
    }
  }

  private void tags(TaggedFields known, Map<?, ?> present) throws Exception {
    Map<Integer, Field> fields = Filler.fieldsOf(known);
    for (Map.Entry<?, ?> entry : present.entrySet()) {
      Field field = fields.get(entry.getKey());
      if (field != null) value(field.name, field.type, entry.getValue());
    }
  }

  private void value(String name, Type type, Object value) throws Exception {
    if (type.isArray()) {
      if (value == null) return;
      for (Object element : (Object[]) value) value(name, type.arrayElementType().get(), element);
    } else if (type instanceof Schema schema) {
      if (value != null) structure(schema, (Struct) value);
    } else {
      leaves.add(name + "=" + (value == null ? "~" : encode(type, value)));
    }
  }

  private static String encode(Type type, Object value) throws ReflectiveOperationException {
    if (value instanceof String text) return HexFormat.of().formatHex(text.getBytes(StandardCharsets.UTF_8));
    if (value instanceof ByteBuffer bytes) return hex(bytes.duplicate());
    if (value.getClass().getSimpleName().equals("MemoryRecords")) return hex(Filler.bytesOf(value));
    if (value instanceof Boolean flag) return flag ? "01" : "00";
    ByteBuffer fixed = ByteBuffer.allocate(16);
    if (value instanceof Uuid id) {
      fixed.putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits());
    } else if (value instanceof Double number) {
      fixed.putDouble(number);
    } else {
      integer(type, ((Number) value).longValue(), fixed);
    }
    return hex(fixed.flip());
  }

  private static void integer(Type type, long value, ByteBuffer out) {
    if (type == Type.INT8) out.put((byte) value);
    else if (type == Type.INT16 || type == Type.UINT16) out.putShort((short) value);
    else if (type == Type.INT32 || type == Type.UNSIGNED_INT32) out.putInt((int) value);
    else if (type == Type.INT64) out.putLong(value);
    else throw new IllegalStateException("no encoding for " + type);
  }
}
