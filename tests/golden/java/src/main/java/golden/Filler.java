package golden;

import java.lang.reflect.Field;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;

/** Sets the fields that a version has to values that are not their defaults, a different one each time. */
final class Filler {
  enum Variant {
    FULL, // every field set, two elements in each array
    NULL, // as FULL, but what may be null is null
    TAGS, // as FULL, and every structure carries a tag that no release knows
    DEFAULT // as constructed
  }

  private static final int UNKNOWN_TAG = 300;

  // A row of Batches: one record, producer id 99, epoch 1, first sequence 3.
  private static final String BATCH =
      "00000000000000000000003affffffff0283eb17690000000000000000018bcfe568000000018bcfe568000000000000"
          + "0000630001000000030000000110000000026b027600";

  private final Variant variant;
  private int counter = 0;

  Filler(Variant variant) {
    this.variant = variant;
  }

  static boolean isFlexible(Schema schema) {
    BoundField[] fields = schema.fields();
    return fields.length > 0 && fields[fields.length - 1].def.type instanceof TaggedFields;
  }

  void fill(Message message, Schema schema) throws Exception {
    if (variant == Variant.DEFAULT) return;
    for (BoundField field : schema.fields()) {
      if (field.def.type instanceof TaggedFields tagged) {
        for (var known : fieldsOf(tagged).values()) set(message, known.name, known.type);
        if (variant == Variant.TAGS) {
          message.unknownTaggedFields().add(new RawTaggedField(UNKNOWN_TAG, bytes(3)));
        }
      } else {
        set(message, field.def.name, field.def.type);
      }
    }
  }

  // Private in old releases.
  @SuppressWarnings("unchecked")
  static Map<Integer, org.apache.kafka.common.protocol.types.Field> fieldsOf(TaggedFields tagged) throws Exception {
    Field fields = TaggedFields.class.getDeclaredField("fields");
    fields.setAccessible(true);
    return (Map<Integer, org.apache.kafka.common.protocol.types.Field>) fields.get(tagged);
  }

  private void set(Message message, String schemaName, Type type) throws Exception {
    Field field = member(message.getClass(), schemaName);
    boolean makeNull = variant == Variant.NULL && type.isNullable();
    field.set(message, makeNull ? null : value(type, field, field.get(message)));
  }

  private static Field member(Class<?> owner, String schemaName) {
    String wanted = schemaName.replace("_", "");
    for (Field field : owner.getDeclaredFields()) {
      if (field.getName().toLowerCase(Locale.ROOT).equals(wanted)) {
        field.setAccessible(true);
        return field;
      }
    }
    throw new IllegalStateException(owner + " has no " + schemaName);
  }

  private Object value(Type type, Field field, Object present) throws Exception {
    if (type.isArray()) return array(type.arrayElementType().get(), field);
    if (type instanceof Schema schema) return structure(field.getType(), schema);
    if (type == Type.BOOLEAN) return !(Boolean) present;
    return primitive(type, field.getType());
  }

  private Object structure(Class<?> type, Schema schema) throws Exception {
    Message message = (Message) type.getDeclaredConstructor().newInstance();
    fill(message, schema);
    return message;
  }

  @SuppressWarnings("unchecked")
  private Object array(Type element, Field field) throws Exception {
    // Keyed arrays are a collection class of their own whose superclass names the element.
    boolean keyed = field.getType() != List.class;
    var generic = (ParameterizedType) (keyed ? field.getType().getGenericSuperclass() : field.getGenericType());
    Class<?> elementType = (Class<?>) generic.getActualTypeArguments()[0];
    Collection<Object> elements =
        keyed ? (Collection<Object>) field.getType().getDeclaredConstructor().newInstance() : new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      elements.add(element instanceof Schema schema ? structure(elementType, schema) : primitive(element, elementType));
    }
    return elements;
  }

  private Object primitive(Type type, Class<?> javaType) throws ReflectiveOperationException {
    int n = ++counter;
    if (type == Type.INT8) return (byte) (n % 120 + 1);
    if (type == Type.INT16) return (short) (0x0100 + n);
    if (type == Type.UINT16) return 0xff00 | (n & 0xff);
    if (type == Type.INT32) return 0x01000000 + n;
    if (type == Type.UNSIGNED_INT32) return 0xff000000L + n;
    if (type == Type.INT64) return 0x0100000000000000L + n;
    if (type == Type.FLOAT64) return n + 0.5;
    if (type == Type.UUID) return new Uuid(0x0123456789abcdefL, n);
    if (javaType == String.class) return text(n);
    if (javaType == byte[].class) return bytes(n % 7 + 1);
    if (javaType == ByteBuffer.class) return ByteBuffer.wrap(bytes(n % 7 + 1));
    if (javaType.getSimpleName().endsWith("Records")) return records(javaType);
    throw new IllegalStateException("no value for " + type + " as " + javaType);
  }

  // Releases keep these classes in different packages.
  private static Object records(Class<?> baseRecords) throws ReflectiveOperationException {
    Class<?> memoryRecords = Class.forName(baseRecords.getPackageName() + ".MemoryRecords");
    ByteBuffer batch = ByteBuffer.wrap(HexFormat.of().parseHex(BATCH));
    return memoryRecords.getMethod("readableRecords", ByteBuffer.class).invoke(null, batch);
  }

  static ByteBuffer bytesOf(Object memoryRecords) throws ReflectiveOperationException {
    return ((ByteBuffer) memoryRecords.getClass().getMethod("buffer").invoke(memoryRecords)).duplicate();
  }

  // Some are longer than one byte of a varint can say, some have characters of several bytes.
  private static String text(int n) {
    if (n % 13 == 0) return "long-" + n + "-".repeat(150);
    return n % 5 == 0 ? "ü" + n : "s" + n;
  }

  private byte[] bytes(int size) {
    byte[] bytes = new byte[size];
    for (int i = 0; i < size; i++) bytes[i] = (byte) (0xf0 + i);
    return bytes;
  }
}
