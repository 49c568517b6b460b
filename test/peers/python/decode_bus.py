"""Decodes every record of some topics with the schema registry as the only source of schemas.

Usage: decode_bus.py BOOTSTRAP_SERVERS REGISTRY_URL TOPIC...

Prints one JSON object: "counts" (topic -> event type -> records), "header_mismatches" (records whose header and envelope
name different event types or runs) and "example" (topic -> its first envelope).
"""

import json
import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

TIMEOUT_S = 30


def records(consumer: Consumer, topic: str):
    """Every committed record of the topic from its beginning to its present end."""
    partitions = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    unfinished = set(partitions)
    while unfinished:
        message = consumer.poll(TIMEOUT_S)
        if message is None:
            raise TimeoutError(f"{topic}: nothing for {TIMEOUT_S} s, partitions {sorted(unfinished)} have not ended")
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            unfinished.discard(message.partition())
        else:
            raise KafkaException(error)
    consumer.unassign()


def main(servers: str, registry_url: str, topics: list[str]) -> None:
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": registry_url}))
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            # Nothing is committed under it; the library wants one.
            "group.id": "python-peer",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    counts: dict[str, dict[str, int]] = {}
    example: dict[str, dict] = {}
    header_mismatches = 0
    try:
        for topic in topics:
            by_type = counts.setdefault(topic, {})
            for message in records(consumer, topic):
                envelope = deserialize(message.value(), SerializationContext(topic, MessageField.VALUE))
                headers = {name: value.decode("utf-8") for name, value in message.headers()}
                if (headers["event_type"], headers["platform_run_id"]) != (
                    envelope["event_type"],
                    envelope["platform_run_id"],
                ):
                    header_mismatches += 1
                by_type[envelope["event_type"]] = by_type.get(envelope["event_type"], 0) + 1
                example.setdefault(topic, envelope)
    finally:
        consumer.close()
    print(json.dumps({"counts": counts, "header_mismatches": header_mismatches, "example": example}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
