import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's own producer, once for each compression: arguments are brokers and a file of lines "compression topic base64". */
class OtlpProducer {
  public static void main(String[] args) throws Exception {
    var lines = Files.readAllLines(Path.of(args[1]));
    for (String compression : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
      Map<String, Object> settings = Map.of(
        "bootstrap.servers", args[0], "compression.type", compression, "linger.ms", 100, "batch.size", 1_000_000,
        "key.serializer", ByteArraySerializer.class, "value.serializer", ByteArraySerializer.class);
      try (var producer = new KafkaProducer<byte[], byte[]>(settings)) {
        for (String line : lines) {
          String[] words = line.split(" ");
          if (!words[0].equals(compression)) continue;
          producer.send(new ProducerRecord<>(words[1], 0, null, Base64.getDecoder().decode(words[2])));
        }
      }
    }
  }
}
