package golden;

import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.Schema;

/**
 * Prints every message at every stable version that this release knows, into the file named first, except those of the file named
 * second (rows of another release). One row: api key, direction, version, variant, body in hex, and the
 * leaves that Kafka's generic schema reader finds in that body.
 */
public final class Messages {
  public static void main(String[] args) throws Exception {
    Set<String> done = new TreeSet<>();
    if (args.length > 1) {
      for (String line : Files.readAllLines(Path.of(args[1]))) {
        String[] columns = line.split("\t", 4);
        done.add(columns[0] + " " + columns[1] + " " + columns[2]);
      }
    }
    try (PrintStream out = new PrintStream(args[0], StandardCharsets.UTF_8)) {
      Messages messages = new Messages(out, done);
      for (ApiMessageType api : ApiMessageType.values()) {
        if (api.requestSchemas().length == 0) continue; // a key whose messages are gone
        messages.printAll(api, "request", api.requestSchemas(), api.newRequest().getClass());
        messages.printAll(api, "response", api.responseSchemas(), api.newResponse().getClass());
      }
    }
  }

  private final PrintStream out;
  private final Set<String> done;

  private Messages(PrintStream out, Set<String> done) {
    this.out = out;
    this.done = done;
  }

  private void printAll(
      ApiMessageType api, String direction, Schema[] schemas, Class<? extends ApiMessage> type)
      throws Exception {
    for (short version = 0; version < schemas.length && version <= newestStable(api); version++) {
      boolean known = schemas[version] != null && !done.contains(api.apiKey() + " " + direction + " " + version);
      if (!known) continue;
      for (Filler.Variant variant : Filler.Variant.values()) {
        boolean flexible = Filler.isFlexible(schemas[version]);
        if (variant == Filler.Variant.TAGS && !flexible) continue;
        ApiMessage message = type.getDeclaredConstructor().newInstance();
        new Filler(variant).fill(message, schemas[version]);
        print(api, direction, version, variant, schemas[version], message);
      }
    }
  }

  // The newest version may be unfinished; releases that know the notion take an argument.
  private static short newestStable(ApiMessageType api) throws ReflectiveOperationException {
    try {
      return (short) ApiMessageType.class.getMethod("highestSupportedVersion", boolean.class).invoke(api, false);
    } catch (NoSuchMethodException e) {
      return (short) ApiMessageType.class.getMethod("highestSupportedVersion").invoke(api);
    }
  }

  private void print(
      ApiMessageType api, String direction, short version, Filler.Variant variant, Schema schema, ApiMessage message) {
    ObjectSerializationCache cache = new ObjectSerializationCache();
    ByteBuffer body = ByteBuffer.allocate(message.size(cache, version));
    message.write(new ByteBufferAccessor(body), cache, version);
    if (body.hasRemaining()) throw new IllegalStateException("short write of " + message);
    body.flip();
    String hex = Leaves.hex(body.duplicate());
    List<String> leaves = Leaves.of(schema, body);
    if (body.hasRemaining()) throw new IllegalStateException("schema leaves bytes over: " + api + " " + version);
    out.println(
        String.join(
            "\t",
            Short.toString(api.apiKey()),
            direction,
            Short.toString(version),
            variant.name().toLowerCase(Locale.ROOT),
            hex,
            String.join(" ", leaves)));
  }
}
